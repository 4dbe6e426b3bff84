//! Values that are one string of bytes: what most session libraries store.

use holdfast_core::{Command, Condition, Expiry, Reply};

use super::args::{Args, Refusal};
use super::expiry::{After, Unit, deadline};
use super::keys::Many;
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
];

fn get(args: &Args<'_>) -> Result<Plan, Refusal> {
    Plan::one(args, Command::Get, plain)
}

fn mget(args: &Args<'_>) -> Result<Plan, Refusal> {
    Ok(Plan::Many(Many::Values(args.keys(1)?)))
}

fn strlen(args: &Args<'_>) -> Result<Plan, Refusal> {
    Plan::one(args, Command::Get, |reply| match reply {
        Reply::Bytes(bytes) => Value::Int(bytes.len() as i64),
        Reply::Nil => Value::Int(0),
        other => plain(other),
    })
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
