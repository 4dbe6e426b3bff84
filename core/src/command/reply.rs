//! What commands answer.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::shallow;
use crate::value::{Image, Score};

/// The type of a value, as `TYPE` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueType {
    /// No such key.
    None,
    /// Bytes.
    String,
    /// Fields.
    Hash,
    /// Members.
    Set,
    /// Members with scores.
    SortedSet,
}

impl ValueType {
    /// Its name in the Redis protocol.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::None => "none",
            ValueType::String => "string",
            ValueType::Hash => "hash",
            ValueType::Set => "set",
            ValueType::SortedSet => "zset",
        }
    }
}

/// The answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Ok,
    /// Nothing there, or a condition that did not hold.
    Nil,
    /// A number.
    Int(i64),
    /// A value.
    Bytes(Bytes),
    /// One entry for each thing asked.
    Array(Vec<Option<Bytes>>),
    /// All fields, sorted by name.
    Map(Vec<(Bytes, Bytes)>),
    /// The type of the value.
    Type(ValueType),
    /// It was refused or failed.
    Error(CommandError),
    /// One for each command of a batch.
    Batch(#[serde(deserialize_with = "shallow::deserialize")] Vec<Reply>),
    /// The guard of a batch did not hold: nothing was done.
    Refuted,
    /// See [`crate::Command::Fingerprint`].
    Fingerprint(u128),
    /// A whole value.
    Image(Image),
    /// A score.
    Score(Score),
    /// A score for each member asked, where there is one.
    Scores(Vec<Option<Score>>),
    /// Members and their scores, in their order.
    Scored(Vec<(Bytes, Score)>),
}

/// Why a command was not carried out, or is not known to have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CommandError {
    /// The key holds another type.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// The value would be larger than the configured limit.
    #[error("ERR value of {size} bytes is larger than sessions.maxBytes, which is {limit}")]
    TooLarge {
        /// What it would take, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Not all copies acknowledged in time. A write may still take effect.
    #[error("NOREPLICAS not acknowledged by all copies within {millis} ms; the outcome of a write is unknown")]
    NotAcknowledged {
        /// How long it was waited for.
        millis: u64,
    },
    /// The member that ran the write left the view before it answered. The write may have taken effect or not.
    #[error("UNKNOWN the member that ran this write left the cluster; its outcome is unknown")]
    OutcomeUnknown,
    /// Nothing was done: this member is not (or not yet) in the view.
    #[error("LOADING this member has not joined the cluster yet")]
    NotJoined,
    /// Nothing was done: too much waits to be replicated.
    #[error("BUSY {bytes} bytes wait to be replicated, the limit is {limit}: try again")]
    Backlog {
        /// What waits, in bytes.
        bytes: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Nothing was done: the session would have fewer copies than it should.
    #[error("NOREPLICAS only {have} of {want} copies can be made now; nothing was done")]
    UnderReplicated {
        /// Copies that can be made.
        have: usize,
        /// Copies that there should be.
        want: usize,
    },
    /// Nothing was done: too many commands wait already.
    #[error("BUSY {limit} commands wait already: try again")]
    TooManyCommands {
        /// The limit.
        limit: u64,
    },
    /// The value is no number.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// The field is no number.
    #[error("ERR hash value is not an integer")]
    FieldNotAnInteger,
    /// The number would not fit.
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    /// A batch within a batch.
    #[error("ERR a batch cannot be part of another one")]
    NestedBatch,
    /// Infinity minus infinity.
    #[error("ERR resulting score is not a number (NaN)")]
    NotAScore,
    /// Nothing was done: a member that would hold the session has too little memory left. Begins as in Redis.
    #[error(
        "OOM command not allowed when used memory > 'maxmemory': sessions take {bytes} of {budget} bytes at a member that would hold this one"
    )]
    OutOfMemory {
        /// What sessions and copies take there, in bytes.
        bytes: u64,
        /// What they may take, in bytes.
        budget: u64,
    },
    /// Nothing was done: there are as many sessions as there may be.
    #[error("ERR max number of sessions reached: sessions.maxActive is {limit}")]
    TooManySessions {
        /// The limit.
        limit: u64,
    },
    /// The replies of a batch would be too large together; what it writes is written.
    #[error("ERR the values of a transaction are more than {limit} bytes: ask for fewer at a time")]
    AnswerTooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
}

impl Reply {
    /// About how much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        const EACH: usize = 32;
        let content = match self {
            Reply::Bytes(bytes) => bytes.len(),
            Reply::Array(values) => values.iter().map(|value| EACH + value.as_ref().map_or(0, Bytes::len)).sum(),
            Reply::Map(pairs) => pairs.iter().map(|(name, value)| 2 * EACH + name.len() + value.len()).sum(),
            Reply::Scores(scores) => EACH * scores.len(),
            Reply::Scored(entries) => entries.iter().map(|(member, _)| 2 * EACH + member.len()).sum(),
            Reply::Image(image) => image.data.size() as usize + EACH * image.data.len(),
            Reply::Batch(replies) => replies.iter().map(Reply::size).sum(),
            Reply::Ok
            | Reply::Nil
            | Reply::Int(_)
            | Reply::Type(_)
            | Reply::Error(_)
            | Reply::Refuted
            | Reply::Fingerprint(_)
            | Reply::Score(_) => 0,
        };
        EACH + content
    }
}
