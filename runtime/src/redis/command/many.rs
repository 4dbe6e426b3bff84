//! One command on many keys: each key is asked by itself, at its owner, many at a time. Such a command is not one step as in Redis.

use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_core::{Command, Reply};

use super::args::Refusal;
use crate::redis::Sessions;
use crate::redis::frame::Value;

/// How many keys are asked at the same time.
pub(super) const AT_ONCE: usize = 32;

/// The most bytes of values in one answer: as many as the largest value that can be configured.
pub(super) const MOST_BYTES: usize = 64 << 20;

/// How the answers of all keys become one, in the order of the keys.
pub(super) type Combine = Box<dyn FnOnce(Vec<Reply>) -> Value + Send>;

/// A command on many keys.
pub(crate) struct Many {
    /// What is asked of each.
    pub(super) parts: Vec<(Bytes, Command)>,
    /// What it answers.
    pub(super) combine: Combine,
}

impl Many {
    pub(super) fn new(parts: Vec<(Bytes, Command)>, combine: impl FnOnce(Vec<Reply>) -> Value + Send + 'static) -> Many {
        Many { parts, combine: Box::new(combine) }
    }

    pub(super) async fn run<S: Sessions>(self, sessions: &S) -> Value {
        let Many { parts, combine } = self;
        let mut answers = stream::iter(parts).map(|(key, command)| sessions.execute(key, command)).buffered(AT_ONCE);
        let (mut bytes, mut replies) = (0, Vec::new());
        while let Some(reply) = answers.next().await {
            // What is read is given up where it is too much; what is written is written.
            if let Reply::Bytes(value) = &reply {
                bytes += value.len();
                if bytes > MOST_BYTES {
                    return too_much();
                }
            }
            replies.push(reply);
        }
        combine(replies)
    }
}

/// The answer in place of values that are too much together.
pub(super) fn too_much() -> Value {
    Refusal::new(format!("ERR the values are more than {MOST_BYTES} bytes: ask for fewer at a time")).into()
}
