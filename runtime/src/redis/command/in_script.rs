//! Commands that a script calls: those on some keys, and those that need nothing but their arguments.

use bytes::Bytes;
use holdfast_core::Command;

use super::Plan;
use super::args::{Args, Refusal};
use super::many::{Combine, Many};
use super::pubsub::pong;
use super::table::find;
use crate::redis::frame::{Protocol, Request, Value};
use crate::redis::moment::Moment;

/// A command, read and found well-formed.
pub(crate) enum InScript {
    /// The answer depends on nothing.
    Answer(Value),
    /// What is asked of keys, and how their answers become one.
    Keys {
        /// What is asked of each.
        parts: Vec<(Bytes, Command)>,
        /// What it answers.
        combine: Combine,
    },
    /// A message.
    Publish {
        /// Where.
        channel: Bytes,
        /// What.
        payload: Bytes,
    },
}

/// Reads a command that a script calls at `now`, in milliseconds since 1970.
pub(crate) fn read_in_script(request: &Request<'_>, now: i64, is_read_only: bool) -> InScript {
    read(request, now, is_read_only).unwrap_or_else(|refusal| InScript::Answer(refusal.into()))
}

fn read(request: &Request<'_>, now: i64, is_read_only: bool) -> Result<InScript, Refusal> {
    let unknown = Refusal::fixed("ERR Unknown Redis command called from script");
    let Some((_, command)) = find(request.get(0)) else { return Err(unknown) };
    let spec = match request.len() {
        1 => Some(command),
        _ => command.subcommand(request.get(1)),
    };
    let Some(spec) = spec else { return Err(unknown) };
    if !spec.allows(request.len()) {
        return Err(Refusal::fixed("ERR Wrong number of args calling Redis command from script"));
    }
    if spec.flags.contains(&"noscript") {
        return Err(Refusal::fixed("ERR This Redis command is not allowed from script"));
    }
    if is_read_only && spec.flags.contains(&"write") {
        return Err(Refusal::fixed("ERR Write commands are not allowed from read-only scripts."));
    }
    match (spec.parse)(&Args::new(request, spec.name, &Moment::at(now)))? {
        Plan::Answer(value) => Ok(InScript::Answer(value)),
        Plan::Ping(text) => Ok(InScript::Answer(pong(text, Protocol::Resp2, false))),
        Plan::Publish { channel, payload } => Ok(InScript::Publish { channel, payload }),
        plan => match plan.into_parts() {
            Ok(Many { parts, combine }) => Ok(InScript::Keys { parts, combine }),
            Err(_) => Err(Refusal::fixed("ERR This Redis command is not allowed from script")),
        },
    }
}
