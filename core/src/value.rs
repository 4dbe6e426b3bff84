//! What a session holds, and what a command makes of it: pure functions, run by the owner (`decide`) and by every holder (`apply`).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::command::{Command, CommandError, Condition, ExpireCondition, Expiry, Reply, ValueType};

/// The content of a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Data {
    /// A blob, as most session libraries write it.
    String(Bytes),
    /// Fields that change one by one.
    Hash(BTreeMap<Bytes, Bytes>),
}

impl Data {
    /// Bytes of content, names of fields included.
    pub fn size(&self) -> u64 {
        match self {
            Data::String(bytes) => bytes.len() as u64,
            Data::Hash(fields) => fields.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum(),
        }
    }
}

/// Content and the end of its life on this member's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The content.
    pub data: Data,
    /// When it ends; `None` lives for ever.
    pub expires_at: Option<Millis>,
}

impl Value {
    /// Whether its life is over.
    pub fn is_expired(&self, now: Millis) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// As it travels: clocks differ between members, so the time to live is what remains.
    /// Its holders let it live for longer by `slack`.
    pub fn to_image(&self, now: Millis, slack: Millis) -> Image {
        Image { data: self.data.clone(), ttl: self.expires_at.map(|at| at.saturating_sub(now)), slack }
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
    /// As it is kept.
    pub fn into_value(self, now: Millis) -> Value {
        Value { data: self.data, expires_at: self.ttl.map(|ttl| now.saturating_add(ttl)) }
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
}

/// Applies `change` to `value`. A change of fields or time of a value that is not there leaves it so.
pub fn apply(value: &mut Option<Value>, change: Change, now: Millis) {
    match change {
        Change::Replace(image) => *value = Some(image.into_value(now)),
        Change::Delete => *value = None,
        Change::Retime(ttl) => {
            if let Some(value) = value {
                value.expires_at = ttl.map(|ttl| now.saturating_add(ttl));
            }
        }
        Change::Fields { set, removed } => {
            if let Some(Value { data: Data::Hash(fields), .. }) = value {
                for name in removed {
                    fields.remove(&name);
                }
                fields.extend(set);
            }
        }
    }
}

/// What `command` answers on `value`, and what it changes. `value` must not be expired: the owner deletes what is before it decides.
pub fn decide(value: Option<&Value>, command: &Command, now: Millis, max_bytes: u64) -> (Reply, Option<Change>) {
    let decided = match command {
        Command::Get => string(value).map(|bytes| (reply_bytes(bytes), None)),
        Command::Set { value: new, expiry, condition, return_old } => set(value, new, *expiry, *condition, *return_old, now),
        Command::GetEx { expiry } => string(value).map(|bytes| (reply_bytes(bytes), value.and_then(|value| retime(value, *expiry)))),
        Command::GetDel => string(value).map(|bytes| (reply_bytes(bytes), value.map(|_| Change::Delete))),
        Command::Delete => Ok((Reply::Int(value.is_some().into()), value.map(|_| Change::Delete))),
        Command::Exists => Ok((Reply::Int(value.is_some().into()), None)),
        Command::Type => Ok((Reply::Type(value_type(value)), None)),
        Command::Expire { millis, condition } => Ok(expire(value, *millis, *condition, now)),
        Command::Persist => Ok(match value {
            Some(Value { expires_at: Some(_), .. }) => (Reply::Int(1), Some(Change::Retime(None))),
            _ => (Reply::Int(0), None),
        }),
        Command::Ttl => Ok((Reply::Int(ttl(value, now)), None)),
        Command::HashSet { fields } => hash(value).map(|hash| hash_set(hash, fields)),
        Command::HashSetIfAbsent { field, value: new } => hash(value).map(|hash| {
            if hash.is_some_and(|fields| fields.contains_key(field)) {
                (Reply::Int(0), None)
            } else {
                hash_set(hash, &[(field.clone(), new.clone())])
            }
        }),
        Command::HashGet { fields } => {
            hash(value).map(|hash| (Reply::Array(fields.iter().map(|name| hash.and_then(|hash| hash.get(name)).cloned()).collect()), None))
        }
        Command::HashGetAll => hash(value)
            .map(|hash| (Reply::Map(hash.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()), None)),
        Command::HashDelete { fields } => hash(value).map(|hash| hash_delete(hash, fields)),
    };
    match decided {
        Ok((reply, Some(change))) => match too_large(value, &change, max_bytes) {
            Some(error) => (Reply::Error(error), None),
            None => (reply, Some(change)),
        },
        Ok(decided) => decided,
        Err(error) => (Reply::Error(error), None),
    }
}

fn reply_bytes(bytes: Option<&Bytes>) -> Reply {
    bytes.map_or(Reply::Nil, |bytes| Reply::Bytes(bytes.clone()))
}

fn string(value: Option<&Value>) -> Result<Option<&Bytes>, CommandError> {
    match value.map(|value| &value.data) {
        None => Ok(None),
        Some(Data::String(bytes)) => Ok(Some(bytes)),
        Some(_) => Err(CommandError::WrongType),
    }
}

fn hash(value: Option<&Value>) -> Result<Option<&BTreeMap<Bytes, Bytes>>, CommandError> {
    match value.map(|value| &value.data) {
        None => Ok(None),
        Some(Data::Hash(fields)) => Ok(Some(fields)),
        Some(_) => Err(CommandError::WrongType),
    }
}

fn value_type(value: Option<&Value>) -> ValueType {
    match value.map(|value| &value.data) {
        None => ValueType::None,
        Some(Data::String(_)) => ValueType::String,
        Some(Data::Hash(_)) => ValueType::Hash,
    }
}

fn ttl(value: Option<&Value>, now: Millis) -> i64 {
    match value {
        None => -2,
        Some(Value { expires_at: None, .. }) => -1,
        Some(Value { expires_at: Some(at), .. }) => i64::try_from(at.saturating_sub(now)).unwrap_or(i64::MAX),
    }
}

fn set(
    value: Option<&Value>,
    new: &Bytes,
    expiry: Expiry,
    condition: Condition,
    return_old: bool,
    now: Millis,
) -> Result<(Reply, Option<Change>), CommandError> {
    let old = if return_old { Some(reply_bytes(string(value)?)) } else { None };
    let holds = match condition {
        Condition::Always => true,
        Condition::IfAbsent => value.is_none(),
        Condition::IfPresent => value.is_some(),
    };
    if !holds {
        return Ok((old.unwrap_or(Reply::Nil), None));
    }
    let ttl = match expiry {
        Expiry::Keep => value.and_then(|value| value.expires_at).map(|at| at.saturating_sub(now)),
        Expiry::Never => None,
        Expiry::After(ttl) => Some(ttl),
    };
    let is_same = value.is_some_and(|value| matches!(&value.data, Data::String(old) if old == new));
    let change = match ttl {
        Some(0) => value.map(|_| Change::Delete),
        // The same content again is only a touch, and not even that where nothing ends.
        None if is_same && value.is_some_and(|value| value.expires_at.is_none()) => None,
        ttl if is_same && expiry != Expiry::Keep => Some(Change::Retime(ttl)),
        _ if is_same => None,
        ttl => Some(Change::Replace(Image { data: Data::String(new.clone()), ttl, slack: ttl.map_or(0, slack) })),
    };
    Ok((old.unwrap_or(Reply::Ok), change))
}

fn retime(value: &Value, expiry: Expiry) -> Option<Change> {
    match expiry {
        Expiry::Keep => None,
        Expiry::Never => value.expires_at.map(|_| Change::Retime(None)),
        Expiry::After(0) => Some(Change::Delete),
        Expiry::After(ttl) => Some(Change::Retime(Some(ttl))),
    }
}

fn expire(value: Option<&Value>, millis: i64, condition: ExpireCondition, now: Millis) -> (Reply, Option<Change>) {
    let Some(value) = value else { return (Reply::Int(0), None) };
    let remaining = value.expires_at.map(|at| i64::try_from(at.saturating_sub(now)).unwrap_or(i64::MAX));
    let holds = match condition {
        ExpireCondition::Always => true,
        ExpireCondition::IfNone => remaining.is_none(),
        ExpireCondition::IfSome => remaining.is_some(),
        ExpireCondition::IfLonger => remaining.is_some_and(|remaining| millis > remaining),
        ExpireCondition::IfShorter => remaining.is_none_or(|remaining| millis < remaining),
        ExpireCondition::IfSomeAndShorter => remaining.is_some_and(|remaining| millis < remaining),
    };
    match u64::try_from(millis) {
        _ if !holds => (Reply::Int(0), None),
        Ok(ttl) if ttl > 0 => (Reply::Int(1), Some(Change::Retime(Some(ttl)))),
        _ => (Reply::Int(1), Some(Change::Delete)),
    }
}

fn hash_set(hash: Option<&BTreeMap<Bytes, Bytes>>, fields: &[(Bytes, Bytes)]) -> (Reply, Option<Change>) {
    let merged: BTreeMap<Bytes, Bytes> = fields.iter().cloned().collect();
    let new = merged.keys().filter(|name| !hash.is_some_and(|hash| hash.contains_key(*name))).count();
    let change = match hash {
        None => Change::Replace(Image { data: Data::Hash(merged), ttl: None, slack: 0 }),
        Some(_) => Change::Fields { set: merged.into_iter().collect(), removed: Vec::new() },
    };
    (Reply::Int(new as i64), Some(change))
}

fn hash_delete(hash: Option<&BTreeMap<Bytes, Bytes>>, fields: &[Bytes]) -> (Reply, Option<Change>) {
    let Some(hash) = hash else { return (Reply::Int(0), None) };
    let mut removed: Vec<Bytes> = fields.iter().filter(|name| hash.contains_key(*name)).cloned().collect();
    removed.sort_unstable();
    removed.dedup();
    let count = removed.len();
    let change = match count {
        0 => None,
        all if all == hash.len() => Some(Change::Delete),
        _ => Some(Change::Fields { set: Vec::new(), removed }),
    };
    (Reply::Int(count as i64), change)
}

/// Refuses a change that makes the value larger than `limit`. One that shrinks a value is always let through, or a lowered limit would be a trap.
fn too_large(value: Option<&Value>, change: &Change, limit: u64) -> Option<CommandError> {
    let before = value.map_or(0, |value| value.data.size());
    let size = match change {
        Change::Replace(image) => image.data.size(),
        Change::Fields { set, .. } => {
            let fields = match value.map(|value| &value.data) {
                Some(Data::Hash(fields)) => Some(fields),
                _ => None,
            };
            let grown: u64 = set
                .iter()
                .map(|(name, new)| match fields.and_then(|fields| fields.get(name)) {
                    Some(old) => (new.len() as u64).saturating_sub(old.len() as u64),
                    None => (name.len() + new.len()) as u64,
                })
                .sum();
            before + grown
        }
        Change::Delete | Change::Retime(_) => return None,
    };
    (size > limit && size > before).then_some(CommandError::TooLarge { size, limit })
}
