//! Values that are one string of bytes: what most session libraries store.

use bytes::Bytes;
use holdfast_core::{Command, CommandError, Condition, Expiry, Reply, ValueType};

use super::args::{Args, Refusal};
use super::expiry::{After, Unit, deadline};
use super::many::Many;
use super::table::Spec;
use super::{Plan, plain};
use crate::redis::frame::Value;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::read("get", 2, get),
    Spec::read("mget", -2, mget).of_many_keys(),
    Spec::read("strlen", 2, strlen),
    Spec::write("set", -3, set),
    Spec::write("setex", 4, setex),
    Spec::write("psetex", 4, psetex),
    Spec::write("setnx", 3, setnx),
    Spec::write("getset", 3, getset),
    Spec::write("getex", -2, getex),
    Spec::write("getdel", 2, getdel),
    Spec::read("getrange", 4, getrange),
    Spec::read("substr", 4, getrange),
    Spec::write("mset", -3, mset).of_pairs(),
    Spec::write("append", 3, append),
    Spec::write("incr", 2, |args| count_by(args, 1)),
    Spec::write("decr", 2, |args| count_by(args, -1)),
    Spec::write("incrby", 3, |args| count_by(args, args.integer(2)?)),
    Spec::write("decrby", 3, decrby),
];

fn get(args: &Args<'_>) -> Result<Plan, Refusal> {
    Plan::one(args, Command::Get, plain)
}

fn mget(args: &Args<'_>) -> Result<Plan, Refusal> {
    let parts = args.keys(1)?.into_iter().map(|key| (key, Command::Get)).collect();
    Ok(Plan::Many(Many::new(parts, values)))
}

/// The values, null where there is no string.
fn values(replies: Vec<Reply>) -> Value {
    let mut values = Vec::with_capacity(replies.len());
    for reply in replies {
        values.push(match reply {
            Reply::Bytes(value) => Value::Bulk(value),
            Reply::Error(CommandError::WrongType) | Reply::Nil => Value::Null,
            other => return plain(other),
        });
    }
    Value::Array(values)
}

fn mset(args: &Args<'_>) -> Result<Plan, Refusal> {
    if args.len().is_multiple_of(2) {
        return Err(Refusal::arity(args.name));
    }
    let set = |index| {
        Ok((
            args.key(index)?,
            Command::Set { value: args.bytes(index + 1), expiry: Expiry::Never, condition: Condition::Always, return_old: false },
        ))
    };
    let parts = (1..args.len()).step_by(2).map(set).collect::<Result<_, _>>()?;
    Ok(Plan::Many(Many::new(parts, |replies| plain(replies.into_iter().find(|reply| *reply != Reply::Ok).unwrap_or(Reply::Ok)))))
}

fn count_by(args: &Args<'_>, by: i64) -> Result<Plan, Refusal> {
    Plan::one(args, Command::Increment { by }, plain)
}

fn decrby(args: &Args<'_>) -> Result<Plan, Refusal> {
    let by = args.integer(2)?.checked_neg().ok_or(Refusal::fixed("ERR decrement would overflow"))?;
    count_by(args, by)
}

fn append(args: &Args<'_>) -> Result<Plan, Refusal> {
    Plan::one(args, Command::Append { value: args.bytes(2) }, plain)
}

fn getrange(args: &Args<'_>) -> Result<Plan, Refusal> {
    let (from, to) = (args.integer(2)?, args.integer(3)?);
    Plan::one(args, Command::Get, move |reply| match reply {
        Reply::Bytes(bytes) => Value::Bulk(part(&bytes, from, to)),
        Reply::Nil => Value::fixed(""),
        other => plain(other),
    })
}

/// From one byte to another, both included; negative ones count from the end.
fn part(bytes: &Bytes, from: i64, to: i64) -> Bytes {
    let length = bytes.len() as i64;
    if from < 0 && to < 0 && from > to {
        return Bytes::new();
    }
    let place = |at: i64| if at < 0 { length.saturating_add(at).max(0) } else { at };
    let (from, to) = (place(from), place(to).min(length - 1));
    if from > to { Bytes::new() } else { bytes.slice(from as usize..=to as usize) }
}

fn strlen(args: &Args<'_>) -> Result<Plan, Refusal> {
    Plan::one(args, Command::Length { kind: ValueType::String }, plain)
}

fn set(args: &Args<'_>) -> Result<Plan, Refusal> {
    let Options { expiry, condition, return_old } = Options::parse(args, 3, true)?;
    let expiry = match expiry {
        None => Expiry::Never,
        Some(Lifetime::Keep) => Expiry::Keep,
        Some(Lifetime::Never) => return Err(Refusal::SYNTAX),
        Some(Lifetime::Until(until)) => until.expiry(args)?,
    };
    Plan::one(args, Command::Set { value: args.bytes(2), expiry, condition, return_old }, plain)
}

fn setex(args: &Args<'_>) -> Result<Plan, Refusal> {
    set_for(args, Unit::Seconds)
}

fn psetex(args: &Args<'_>) -> Result<Plan, Refusal> {
    set_for(args, Unit::Milliseconds)
}

fn set_for(args: &Args<'_>, unit: Unit) -> Result<Plan, Refusal> {
    let expiry = deadline(args, 2, unit, After::Now)?;
    Plan::one(args, Command::Set { value: args.bytes(3), expiry, condition: Condition::Always, return_old: false }, plain)
}

fn setnx(args: &Args<'_>) -> Result<Plan, Refusal> {
    let set = Command::Set { value: args.bytes(2), expiry: Expiry::Never, condition: Condition::IfAbsent, return_old: false };
    Plan::one(args, set, |reply| match reply {
        Reply::Ok => Value::Int(1),
        Reply::Nil => Value::Int(0),
        other => plain(other),
    })
}

fn getset(args: &Args<'_>) -> Result<Plan, Refusal> {
    let set = Command::Set { value: args.bytes(2), expiry: Expiry::Never, condition: Condition::Always, return_old: true };
    Plan::one(args, set, plain)
}

fn getdel(args: &Args<'_>) -> Result<Plan, Refusal> {
    Plan::one(args, Command::GetDel, plain)
}

fn getex(args: &Args<'_>) -> Result<Plan, Refusal> {
    let expiry = match Options::parse(args, 2, false)?.expiry {
        None | Some(Lifetime::Keep) => Expiry::Keep,
        Some(Lifetime::Never) => Expiry::Never,
        Some(Lifetime::Until(until)) => match until.expiry(args) {
            Ok(expiry) => expiry,
            // Redis looks at the time only if there is a value to return.
            Err(refusal) => {
                return Plan::one(args, Command::Get, |reply| match reply {
                    Reply::Bytes(_) => refusal.into(),
                    other => plain(other),
                });
            }
        },
    };
    Plan::one(args, Command::GetEx { expiry }, plain)
}

/// A time to live among the options, not looked at yet: Redis reads all options before it does.
#[derive(Clone, Copy)]
struct Until {
    index: usize,
    unit: Unit,
    after: After,
}

impl Until {
    fn expiry(self, args: &Args<'_>) -> Result<Expiry, Refusal> {
        deadline(args, self.index, self.unit, self.after)
    }
}

#[derive(Clone, Copy)]
enum Lifetime {
    Keep,
    Never,
    Until(Until),
}

/// The options of `SET` and `GETEX`.
struct Options {
    expiry: Option<Lifetime>,
    condition: Condition,
    return_old: bool,
}

impl Options {
    /// Reads what begins at `index`. Options may come again, but not contradict each other.
    fn parse(args: &Args<'_>, mut index: usize, set: bool) -> Result<Options, Refusal> {
        let mut options = Options { expiry: None, condition: Condition::Always, return_old: false };
        while index < args.len() {
            let word = args.get(index).to_ascii_uppercase();
            match &word[..] {
                b"NX" if set && options.condition != Condition::IfPresent => options.condition = Condition::IfAbsent,
                b"XX" if set && options.condition != Condition::IfAbsent => options.condition = Condition::IfPresent,
                b"GET" if set => options.return_old = true,
                b"KEEPTTL" if set && matches!(options.expiry, None | Some(Lifetime::Keep)) => options.expiry = Some(Lifetime::Keep),
                b"PERSIST" if !set && matches!(options.expiry, None | Some(Lifetime::Never)) => options.expiry = Some(Lifetime::Never),
                name => {
                    let (unit, after) = match name {
                        b"EX" => (Unit::Seconds, After::Now),
                        b"PX" => (Unit::Milliseconds, After::Now),
                        b"EXAT" => (Unit::Seconds, After::Epoch),
                        b"PXAT" => (Unit::Milliseconds, After::Epoch),
                        _ => return Err(Refusal::SYNTAX),
                    };
                    let again = match options.expiry {
                        None => true,
                        Some(Lifetime::Until(before)) => (before.unit, before.after) == (unit, after),
                        Some(_) => false,
                    };
                    index += 1;
                    if !again || index == args.len() {
                        return Err(Refusal::SYNTAX);
                    }
                    options.expiry = Some(Lifetime::Until(Until { index, unit, after }));
                }
            }
            index += 1;
        }
        Ok(options)
    }
}
