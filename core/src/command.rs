//! What can be asked of one session, and what comes back. Front doors translate their protocol into these; the owner of the session runs them,
//! wherever in the cluster it is. Times are relative and in milliseconds: wall clocks stay outside of the core.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The name of a session: any bytes, as the application's session library chose them.
pub type Key = Bytes;

/// An operation on exactly one key.
///
/// The meaning of each is that of the Redis 7 command named in its documentation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// `GET`: [`Reply::Bytes`] or [`Reply::Nil`].
    Get,
    /// `SET`, `SETEX`, `PSETEX`, `SETNX`: [`Reply::Ok`], [`Reply::Nil`] when the condition does not hold; with `return_old` the old value or nil.
    Set {
        /// The whole new value.
        value: Bytes,
        /// What becomes of the time to live.
        expiry: Expiry,
        /// When to write at all.
        condition: Condition,
        /// `GET` option: answer the value that was there before.
        return_old: bool,
    },
    /// `GETEX`: the value, its time to live changed as told.
    GetEx {
        /// What becomes of the time to live; [`Expiry::Keep`] makes it a plain read.
        expiry: Expiry,
    },
    /// `GETDEL`: the value, which is gone afterwards.
    GetDel,
    /// `DEL` of this key: [`Reply::Int`] 1 or 0.
    Delete,
    /// `EXISTS` of this key: [`Reply::Int`] 1 or 0.
    Exists,
    /// `TYPE`: [`Reply::Type`].
    Type,
    /// `EXPIRE`, `PEXPIRE` and their `AT` forms: [`Reply::Int`] 1 or 0. A time to live of 0 or less deletes.
    Expire {
        /// The new time to live.
        millis: i64,
        /// `NX`, `XX`, `GT`, `LT`.
        condition: ExpireCondition,
    },
    /// `PERSIST`: [`Reply::Int`] 1 if a time to live was taken away.
    Persist,
    /// `PTTL`: [`Reply::Int`] milliseconds, -1 without a time to live, -2 without the key.
    Ttl,
    /// `HSET`: [`Reply::Int`] the number of fields that are new.
    HashSet {
        /// Fields and their values; at least one.
        fields: Vec<(Bytes, Bytes)>,
    },
    /// `HSETNX`: [`Reply::Int`] 1 if the field was set.
    HashSetIfAbsent {
        /// The field.
        field: Bytes,
        /// Its value.
        value: Bytes,
    },
    /// `HGET`, `HMGET`: [`Reply::Array`] with one entry for each field asked.
    HashGet {
        /// The fields.
        fields: Vec<Bytes>,
    },
    /// `HGETALL`, `HKEYS`, `HVALS`, `HLEN`: [`Reply::Map`], empty without the key.
    HashGetAll,
    /// `HDEL`: [`Reply::Int`] the number of fields removed. The last field takes the key with it.
    HashDelete {
        /// The fields.
        fields: Vec<Bytes>,
    },
}

impl Command {
    /// Whether it can be run twice without harm, so that it may be tried again when its outcome is not known.
    pub fn is_read_only(&self) -> bool {
        matches!(
            self,
            Command::Get
                | Command::Exists
                | Command::Type
                | Command::Ttl
                | Command::HashGet { .. }
                | Command::HashGetAll
                | Command::GetEx { expiry: Expiry::Keep }
        )
    }
}

/// What a write does to the time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// Leave it as it is (`KEEPTTL`; `GETEX` without an option).
    Keep,
    /// No time to live (plain `SET`; `GETEX PERSIST`).
    Never,
    /// Ends after so many milliseconds; 0 means now.
    After(u64),
}

/// When `SET` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// In any case.
    Always,
    /// `NX`: only if the key is absent.
    IfAbsent,
    /// `XX`: only if the key is there.
    IfPresent,
}

/// When `EXPIRE` writes; a key without a time to live counts as one that lives for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpireCondition {
    /// In any case.
    Always,
    /// `NX`: only if it has no time to live.
    IfNone,
    /// `XX`: only if it has one.
    IfSome,
    /// `GT`: only if the new one is longer.
    IfLonger,
    /// `LT`: only if the new one is shorter.
    IfShorter,
    /// `XX LT`: only if it has one and the new one is shorter.
    IfSomeAndShorter,
}

/// The type of a value, as `TYPE` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueType {
    /// No such key.
    None,
    /// Bytes.
    String,
    /// Fields.
    Hash,
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
}
