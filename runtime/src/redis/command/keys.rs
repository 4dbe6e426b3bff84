//! Commands about sessions whatever they hold, and those on many of them. Each session is asked by itself, at its owner, many at a time: such a
//! command is not one step as in Redis.

use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_core::{Command, Reply};

use super::args::{Args, Refusal};
use super::table::Spec;
use super::{Plan, plain};
use crate::redis::Sessions;
use crate::redis::frame::Value;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::write("del", -2, |args| sum(args, Command::Delete)).of_many_keys(),
    Spec::write("unlink", -2, |args| sum(args, Command::Delete)).of_many_keys(),
    Spec::read("exists", -2, |args| sum(args, Command::Exists)).of_many_keys(),
    Spec::read("type", 2, |args| Plan::one(args, Command::Type, plain)),
];

/// How many sessions are asked at the same time.
const AT_ONCE: usize = 32;

/// The most bytes of values in one answer: as many as the largest value that can be configured.
pub(super) const MOST_BYTES: usize = 64 << 20;

fn sum(args: &Args<'_>, command: Command) -> Result<Plan, Refusal> {
    if args.len() == 2 {
        return Plan::one(args, command, plain);
    }
    Ok(Plan::Many(Many::Sum { keys: args.keys(1)?, command }))
}

/// The same operation on many sessions.
pub(crate) enum Many {
    /// Their numbers, added up.
    Sum {
        /// The sessions.
        keys: Vec<Bytes>,
        /// What to do with each.
        command: Command,
    },
    /// Their values, null where there is no string.
    Values(Vec<Bytes>),
}

impl Many {
    pub(super) async fn run<S: Sessions>(self, sessions: &S) -> Value {
        match self {
            Many::Sum { keys, command } => add(keys, command, sessions).await,
            Many::Values(keys) => values(keys, sessions).await,
        }
    }
}

/// The answer in place of values that are too much together.
pub(super) fn too_much() -> Value {
    Refusal::new(format!("ERR the values are more than {MOST_BYTES} bytes: ask for fewer at a time")).into()
}

async fn add<S: Sessions>(keys: Vec<Bytes>, command: Command, sessions: &S) -> Value {
    let mut total = 0;
    let mut failed = None;
    let mut replies = stream::iter(keys).map(|key| sessions.execute(key, command.clone())).buffer_unordered(AT_ONCE);
    while let Some(reply) = replies.next().await {
        match reply {
            Reply::Int(number) => total += number,
            // The others go on: whoever deletes wants as many gone as can be.
            other => failed = Some(other),
        }
    }
    failed.map_or(Value::Int(total), plain)
}

async fn values<S: Sessions>(keys: Vec<Bytes>, sessions: &S) -> Value {
    let mut bytes = 0;
    let mut values = Vec::with_capacity(keys.len());
    let mut replies = stream::iter(keys).map(|key| sessions.execute(key, Command::Get)).buffered(AT_ONCE);
    while let Some(reply) = replies.next().await {
        values.push(match reply {
            Reply::Bytes(value) => {
                bytes += value.len();
                Value::Bulk(value)
            }
            Reply::Error(holdfast_core::CommandError::WrongType) => Value::Null,
            Reply::Error(error) => return plain(Reply::Error(error)),
            _ => Value::Null,
        });
        if bytes > MOST_BYTES {
            return too_much();
        }
    }
    Value::Array(values)
}
