//! What can be asked of one session, and what comes back. Front doors translate their protocol into these; the owner of the session runs them,
//! wherever in the cluster it is. Times are relative and in milliseconds: wall clocks stay outside of the core.

mod options;
mod reply;
pub(crate) mod shallow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::value::{Image, Score};
pub use options::{Comparison, Condition, ExpireCondition, Expiry, Guard, MemberBound, Range, ScoreBound};
pub use reply::{CommandError, Reply, ValueType};

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
    /// Several commands as one step, seen by nobody in parts: [`Reply::Batch`], or [`Reply::Refuted`] and nothing is done. One that fails keeps no other
    /// from being carried out.
    Batch {
        /// What has to hold.
        guard: Guard,
        /// The commands; none of them is a batch.
        #[serde(deserialize_with = "shallow::deserialize")]
        commands: Vec<Command>,
    },
    /// What tells one content from another, whoever holds it and however it came about: [`Reply::Fingerprint`], 0 without the key. The time to live has no
    /// part in it.
    Fingerprint,
    /// The whole value: [`Reply::Image`], or nil.
    Dump,
    /// The source of a `RENAME`: deletes the key; [`Reply::Int`] 1 or 0.
    MoveAway,
    /// The target of a `RENAME`: becomes what was there; [`Reply::Ok`], or nil when the condition does not hold.
    MoveHere {
        /// What is moved.
        image: Image,
        /// When to write at all.
        condition: Condition,
    },
    /// `STRLEN`, `HLEN`, `SCARD`, `ZCARD`: [`Reply::Int`] the bytes, fields or members of a value of this type.
    Length {
        /// The type that it has to have.
        kind: ValueType,
    },
    /// `INCRBY`, `DECRBY`: [`Reply::Int`] the new number.
    Increment {
        /// What is added.
        by: i64,
    },
    /// `APPEND`: [`Reply::Int`] the new length.
    Append {
        /// What comes at the end.
        value: Bytes,
    },
    /// `HINCRBY`: [`Reply::Int`] the new number.
    HashIncrement {
        /// The field.
        field: Bytes,
        /// What is added.
        by: i64,
    },
    /// `SADD`: [`Reply::Int`] the number of members that are new.
    SetAdd {
        /// The members.
        members: Vec<Bytes>,
    },
    /// `SREM`: [`Reply::Int`] the number of members removed. The last one takes the key with it.
    SetRemove {
        /// The members.
        members: Vec<Bytes>,
    },
    /// `SISMEMBER`, `SMISMEMBER`: [`Reply::Array`] with those of them that are members.
    SetGet {
        /// The members.
        members: Vec<Bytes>,
    },
    /// `SMEMBERS`: [`Reply::Array`] of all members, sorted.
    SetGetAll,
    /// `ZADD`: [`Reply::Int`] the number of members that are new, or changed as well.
    SortedSetAdd {
        /// Members and their scores.
        entries: Vec<(Bytes, Score)>,
        /// Whether only new members are added, or only known ones changed.
        condition: Condition,
        /// When a score changes.
        comparison: Comparison,
        /// `CH`: count those that changed, too.
        counts_changed: bool,
    },
    /// `ZINCRBY`, `ZADD` with `INCR`: [`Reply::Score`], or nil when a condition does not hold.
    SortedSetIncrement {
        /// The member.
        member: Bytes,
        /// What is added to its score.
        by: Score,
        /// Whether only a new member is added, or only a known one changed.
        condition: Condition,
        /// When a score changes.
        comparison: Comparison,
    },
    /// `ZREM`: [`Reply::Int`] the number of members removed. The last one takes the key with it.
    SortedSetRemove {
        /// The members.
        members: Vec<Bytes>,
    },
    /// `ZREMRANGEBYRANK` and the like: [`Reply::Int`] the number of members removed.
    SortedSetRemoveRange {
        /// Which.
        range: Range,
    },
    /// `ZSCORE`, `ZMSCORE`: [`Reply::Scores`].
    SortedSetScores {
        /// The members.
        members: Vec<Bytes>,
    },
    /// `ZRANK`, `ZREVRANK`: [`Reply::Int`], or nil without the member.
    SortedSetRank {
        /// The member.
        member: Bytes,
        /// Counted from the end.
        is_reverse: bool,
    },
    /// `ZRANGE` and the like: [`Reply::Scored`].
    SortedSetRange {
        /// Which.
        range: Range,
        /// From the end to the beginning.
        is_reverse: bool,
        /// So many are left out.
        skip: u64,
        /// The most.
        count: u64,
    },
    /// `ZCOUNT`, `ZLEXCOUNT`: [`Reply::Int`].
    SortedSetCount {
        /// Which.
        range: Range,
    },
    /// Makes the member that asks the owner of a key that does not exist, so that the key can be part of one step there: [`Reply::Int`] 0, and there is
    /// still nothing; 1 if the key exists, and nothing is done.
    Claim,
}

impl Command {
    /// Whether it is a batch with another one in it, which nobody carries out or decodes.
    pub fn is_nested(&self) -> bool {
        matches!(self, Command::Batch { commands, .. } if commands.iter().any(|command| matches!(command, Command::Batch { .. })))
    }

    /// Whether it can be run twice without harm, so that it may be tried again when its outcome is not known.
    pub fn is_read_only(&self) -> bool {
        match self {
            Command::Get
            | Command::Exists
            | Command::Type
            | Command::Ttl
            | Command::HashGet { .. }
            | Command::HashGetAll
            | Command::GetEx { expiry: Expiry::Keep }
            | Command::Fingerprint
            | Command::Dump
            | Command::Length { .. }
            | Command::SetGet { .. }
            | Command::SetGetAll
            | Command::SortedSetScores { .. }
            | Command::SortedSetRank { .. }
            | Command::SortedSetRange { .. }
            | Command::SortedSetCount { .. } => true,
            Command::Batch { commands, .. } => commands.iter().all(Command::is_read_only),
            Command::Set { .. }
            | Command::GetEx { .. }
            | Command::GetDel
            | Command::Delete
            | Command::Expire { .. }
            | Command::Persist
            | Command::HashSet { .. }
            | Command::HashSetIfAbsent { .. }
            | Command::HashDelete { .. }
            | Command::MoveAway
            | Command::MoveHere { .. }
            | Command::Increment { .. }
            | Command::Append { .. }
            | Command::HashIncrement { .. }
            | Command::SetAdd { .. }
            | Command::SetRemove { .. }
            | Command::SortedSetAdd { .. }
            | Command::SortedSetIncrement { .. }
            | Command::SortedSetRemove { .. }
            | Command::SortedSetRemoveRange { .. }
            | Command::Claim => false,
        }
    }
}
