//! How commands can be told to do what they do.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::value::Score;

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

/// When `ZADD` changes the score of a member that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// In any case.
    Always,
    /// `GT`: only to a higher one.
    Higher,
    /// `LT`: only to a lower one.
    Lower,
}

/// What has to hold for a batch to be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guard {
    /// Nothing.
    None,
    /// The content is the one that had this fingerprint ([`crate::Command::Fingerprint`]): what `WATCH` promises.
    Unchanged(u128),
    /// It is a string of exactly these bytes: whoever holds a lock knows its token.
    Equals(Bytes),
    /// It is there, whatever it is.
    Present,
}

/// A part of a sorted set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Range {
    /// From one rank to another, both included; negative ones count from the end.
    Ranks(i64, i64),
    /// From one score to another.
    Scores(ScoreBound, ScoreBound),
    /// From one member to another, in the order of their bytes. Means something only among members of one score.
    Members(MemberBound, MemberBound),
}

/// An end of a range of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreBound {
    /// The score.
    pub score: Score,
    /// Whether it is outside of the range itself.
    pub is_exclusive: bool,
}

/// An end of a range of members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberBound {
    /// Before all.
    First,
    /// This one, inside of the range.
    Inclusive(Bytes),
    /// This one, outside of the range.
    Exclusive(Bytes),
    /// After all.
    Last,
}
