//! What a session holds, and what a command makes of it: pure functions, run by the owner (`decide`) and by every holder (`apply`).

mod decide;
mod hashes;
mod lives;
mod notice;
mod sets;
mod sorted_set;
mod sorted_sets;
mod strings;
mod weight;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::Millis;
use crate::command::{ValueType, shallow};

pub use decide::{decide, decide_noticed};
pub use notice::{Notice, NoticeClass, Notices};
pub use sorted_set::{Score, SortedSet};
pub use weight::growth;

/// The content of a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Data {
    /// A blob, as most session libraries write it.
    String(Bytes),
    /// Fields that change one by one.
    Hash(BTreeMap<Bytes, Bytes>),
    /// Members, each once.
    Set(BTreeSet<Bytes>),
    /// Members in the order of their scores.
    SortedSet(Box<SortedSet>),
}

impl Data {
    /// Bytes of content, names of fields included.
    pub fn size(&self) -> u64 {
        match self {
            Data::String(bytes) => bytes.len() as u64,
            Data::Hash(fields) => fields.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum(),
            Data::Set(members) => members.iter().map(|member| member.len() as u64).sum(),
            Data::SortedSet(set) => set.size(),
        }
    }

    /// How many bytes, fields or members it has.
    pub fn len(&self) -> usize {
        match self {
            Data::String(bytes) => bytes.len(),
            Data::Hash(fields) => fields.len(),
            Data::Set(members) => members.len(),
            Data::SortedSet(set) => set.len(),
        }
    }

    /// Whether there is nothing in it: only a string can be empty and be there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its type.
    pub fn kind(&self) -> ValueType {
        match self {
            Data::String(_) => ValueType::String,
            Data::Hash(_) => ValueType::Hash,
            Data::Set(_) => ValueType::Set,
            Data::SortedSet(_) => ValueType::SortedSet,
        }
    }

    /// What tells it from other contents, never 0; see [`crate::Command::Fingerprint`].
    pub fn fingerprint(&self) -> u128 {
        let mut hash = Xxh3::new();
        let mut part = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(self.kind().name().as_bytes());
        match self {
            Data::String(bytes) => part(bytes),
            Data::Hash(fields) => fields.iter().for_each(|(name, value)| [name, value].into_iter().for_each(|bytes| part(bytes))),
            Data::Set(members) => members.iter().for_each(|member| part(member)),
            Data::SortedSet(set) => set.iter().for_each(|(member, score)| {
                part(member);
                part(&score.get().to_bits().to_le_bytes());
            }),
        }
        hash.digest128().max(1)
    }
}

/// Content and the end of its life on this member's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The content.
    pub data: Data,
    /// Nothing ends at 0, and there may be millions of these: so `None` takes no room of its own.
    ends: Option<NonZero<Millis>>,
}

impl Value {
    /// This content until `expires_at`; `None` lives for ever.
    pub fn new(data: Data, expires_at: Option<Millis>) -> Value {
        let mut value = Value { data, ends: None };
        value.set_expires_at(expires_at);
        value
    }

    /// When its life ends; `None` lives for ever.
    pub fn expires_at(&self) -> Option<Millis> {
        self.ends.map(NonZero::get)
    }

    /// Gives it another end of its life.
    pub fn set_expires_at(&mut self, expires_at: Option<Millis>) {
        self.ends = expires_at.map(|at| NonZero::new(at).unwrap_or(NonZero::<Millis>::MIN));
    }

    /// Whether its life is over.
    pub fn is_expired(&self, now: Millis) -> bool {
        self.ends.is_some_and(|at| at.get() <= now)
    }

    /// As it travels: clocks differ between members, so the time to live is what remains.
    /// Its holders let it live for longer by `slack`.
    pub fn to_image(&self, now: Millis, slack: Millis) -> Image {
        Image { data: self.data.clone(), ttl: self.expires_at().map(|at| at.saturating_sub(now)), slack }
    }
}

/// A value as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The content.
    pub data: Data,
    /// How long it lives on, in milliseconds. The time on the way is added: expiry may come late, never early.
    pub ttl: Option<u64>,
    /// How much longer it lives where its owner has failed, in milliseconds: so much its owner may have prolonged it without telling.
    pub slack: u64,
}

/// By how much the owner may prolong a life of `ttl` without telling the holders, in milliseconds.
pub fn slack(ttl: u64) -> u64 {
    (ttl / SLACK).min(MAX_SLACK)
}

/// One part in so many of a life may be added without telling, and never more than this, in milliseconds.
const SLACK: u64 = 16;
const MAX_SLACK: u64 = 30_000;

impl Image {
    /// A new value with this time to live.
    fn new(data: Data, ttl: Option<u64>) -> Image {
        Image { data, ttl, slack: ttl.map_or(0, slack) }
    }

    /// As it is kept.
    pub fn into_value(self, now: Millis) -> Value {
        Value::new(self.data, self.ttl.map(|ttl| now.saturating_add(ttl)))
    }
}

/// The effect of a write: what the keepers apply, the outcome already decided by the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The whole value is new.
    Replace(Image),
    /// It is gone.
    Delete,
    /// Another time to live, in milliseconds.
    Retime(Option<u64>),
    /// Fields set and removed; the time to live stays.
    Fields {
        /// Set to these values.
        set: Vec<(Bytes, Bytes)>,
        /// Removed.
        removed: Vec<Bytes>,
    },
    /// One after the other, as one step; none of them is several.
    Several(#[serde(deserialize_with = "shallow::deserialize")] Vec<Change>),
    /// Other bytes; the time to live stays.
    Rewrite(Bytes),
    /// Bytes at the end; the time to live stays.
    Append(Bytes),
    /// Members added to and removed from a set; the time to live stays.
    Members {
        /// Added.
        added: Vec<Bytes>,
        /// Removed.
        removed: Vec<Bytes>,
    },
    /// Members of a sorted set with new scores, and members removed; the time to live stays.
    Scores {
        /// Their scores from now on.
        set: Vec<(Bytes, Score)>,
        /// Removed.
        removed: Vec<Bytes>,
    },
}

/// Applies `change` to `value`. A change of a part of a value that is not there, or is of another type, leaves it as it is.
pub fn apply(value: &mut Option<Value>, change: Change, now: Millis) {
    match (change, value) {
        (Change::Replace(image), value) => *value = Some(image.into_value(now)),
        (Change::Delete, value) => *value = None,
        (Change::Several(changes), value) => changes.into_iter().for_each(|change| apply(value, change, now)),
        (_, None) => {}
        (Change::Retime(ttl), Some(value)) => value.set_expires_at(ttl.map(|ttl| now.saturating_add(ttl))),
        (change, Some(value)) => match (change, &mut value.data) {
            (Change::Fields { set, removed }, Data::Hash(fields)) => {
                for name in removed {
                    fields.remove(&name);
                }
                fields.extend(set);
            }
            (Change::Rewrite(new), Data::String(bytes)) => *bytes = new,
            (Change::Append(more), Data::String(bytes)) => *bytes = strings::joined(bytes, &more),
            (Change::Members { added, removed }, Data::Set(members)) => {
                for member in removed {
                    members.remove(&member);
                }
                members.extend(added);
            }
            (Change::Scores { set, removed }, Data::SortedSet(members)) => {
                for member in removed {
                    members.remove(&member);
                }
                for (member, score) in set {
                    members.insert(member, score);
                }
            }
            _ => {}
        },
    }
}
