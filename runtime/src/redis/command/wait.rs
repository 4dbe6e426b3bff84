//! `WAIT`: whatever was answered has been acknowledged by all copies, so that there is nothing to wait for.

use super::Plan;
use super::args::{Args, Refusal};
use super::table::Spec;
use crate::redis::Sessions;
use crate::redis::context::Context;
use crate::redis::frame::{Value, parse_integer};

pub(super) const COMMANDS: &[Spec] = &[Spec::server("wait", 3, wait)];

fn wait(args: &Args<'_>) -> Result<Plan, Refusal> {
    args.integer(1)?;
    match parse_integer(args.get(2)) {
        None => Err(Refusal::fixed("ERR timeout is not an integer or out of range")),
        Some(..0) => Err(Refusal::fixed("ERR timeout is negative")),
        Some(_) => Ok(Plan::Wait),
    }
}

/// How many copies have what was written before.
pub(super) fn copies<S: Sessions>(context: &Context<S>) -> Value {
    let counts = context.sessions.counts();
    Value::Int(usize::from(counts.copies).min(counts.members.saturating_sub(1)) as i64)
}
