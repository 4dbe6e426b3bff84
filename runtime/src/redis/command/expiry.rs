//! Times to live. Clients count in seconds or milliseconds, from now or from 1970; the owner of a session only ever hears how long from now.

use holdfast_core::{Command, ExpireCondition, Expiry, Reply};

use super::args::{Args, Refusal};
use super::table::Spec;
use super::{Plan, plain};
use crate::redis::frame::Value;
use crate::redis::moment::Moment;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::write("expire", -3, |args| expire(args, Unit::Seconds, After::Now)),
    Spec::write("pexpire", -3, |args| expire(args, Unit::Milliseconds, After::Now)),
    Spec::write("expireat", -3, |args| expire(args, Unit::Seconds, After::Epoch)),
    Spec::write("pexpireat", -3, |args| expire(args, Unit::Milliseconds, After::Epoch)),
    Spec::write("persist", 2, |args| Plan::one(args, Command::Persist, plain)),
    Spec::read("ttl", 2, |args| Plan::one(args, Command::Ttl, seconds)),
    Spec::read("pttl", 2, |args| Plan::one(args, Command::Ttl, plain)),
    Spec::read("expiretime", 2, |args| Plan::one(args, Command::Ttl, |reply| seconds(ends_at(reply)))),
    Spec::read("pexpiretime", 2, |args| Plan::one(args, Command::Ttl, |reply| plain(ends_at(reply)))),
];

/// What a time is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
}

/// Where a time is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Now,
    Epoch,
}

/// The time at `index`, which must be later than now if it is counted from now, and later than 1970 otherwise: as `SET` and `GETEX` want it.
pub(super) fn deadline(args: &Args<'_>, index: usize, unit: Unit, after: After) -> Result<Expiry, Refusal> {
    let time = args.integer(index)?;
    let refuse = || Refusal::expire_time(args.name);
    let time = millis(time, unit).filter(|millis| *millis > 0).ok_or_else(refuse)?;
    let from_now = match after {
        // The sum has to fit, as it has to in Redis, which keeps it.
        After::Now => time.checked_add(args.now()).map(|_| time).ok_or_else(refuse)?,
        After::Epoch => time.saturating_sub(args.now()),
    };
    Ok(Expiry::After(u64::try_from(from_now).unwrap_or(0)))
}

fn millis(time: i64, unit: Unit) -> Option<i64> {
    match unit {
        Unit::Seconds => time.checked_mul(1000),
        Unit::Milliseconds => Some(time),
    }
}

fn expire(args: &Args<'_>, unit: Unit, after: After) -> Result<Plan, Refusal> {
    let condition = condition(args)?;
    let refuse = || Refusal::expire_time(args.name);
    let time = millis(args.integer(2)?, unit).ok_or_else(refuse)?;
    let millis = match after {
        After::Now => time.checked_add(args.now()).map(|_| time).ok_or_else(refuse)?,
        After::Epoch => time.saturating_sub(args.now()),
    };
    Plan::one(args, Command::Expire { millis, condition }, plain)
}

fn condition(args: &Args<'_>) -> Result<ExpireCondition, Refusal> {
    let [mut nx, mut xx, mut gt, mut lt] = [false; 4];
    for index in 3..args.len() {
        let option =
            [("NX", &mut nx), ("XX", &mut xx), ("GT", &mut gt), ("LT", &mut lt)].into_iter().find(|(name, _)| args.is(index, name));
        let Some((_, given)) = option else { return Err(Refusal::quoting("ERR Unsupported option ", args.get(index), "")) };
        *given = true;
    }
    match (nx, xx, gt, lt) {
        (true, true, _, _) | (true, _, true, _) | (true, _, _, true) => {
            Err(Refusal::fixed("ERR NX and XX, GT or LT options at the same time are not compatible"))
        }
        (_, _, true, true) => Err(Refusal::fixed("ERR GT and LT options at the same time are not compatible")),
        (true, ..) => Ok(ExpireCondition::IfNone),
        // Without a time to live nothing is longer, so `GT` has `XX` in it; `LT` has not.
        (_, _, true, _) => Ok(ExpireCondition::IfLonger),
        (_, true, _, true) => Ok(ExpireCondition::IfSomeAndShorter),
        (_, _, _, true) => Ok(ExpireCondition::IfShorter),
        (_, true, ..) => Ok(ExpireCondition::IfSome),
        _ => Ok(ExpireCondition::Always),
    }
}

/// When a life ends that lasts so much longer, by the clock of this moment: whoever asks in a transaction is answered later.
fn ends_at(reply: Reply) -> Reply {
    match reply {
        Reply::Int(millis) if millis >= 0 => Reply::Int(millis.saturating_add(Moment::default().since_1970())),
        other => other,
    }
}

/// Rounded to the nearest second, as Redis does.
fn seconds(reply: Reply) -> Value {
    match reply {
        Reply::Int(millis) if millis >= 0 => Value::Int(millis.saturating_add(500) / 1000),
        other => plain(other),
    }
}
