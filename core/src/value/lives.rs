//! Times to live, and what holds for values of any type.

use super::{Change, Image, Value, slack};
use crate::Millis;
use crate::command::{Condition, ExpireCondition, Expiry, Reply};

/// Whether a write with this condition is one.
pub(super) fn holds(value: Option<&Value>, condition: Condition) -> bool {
    match condition {
        Condition::Always => true,
        Condition::IfAbsent => value.is_none(),
        Condition::IfPresent => value.is_some(),
    }
}

pub(super) fn ttl(value: Option<&Value>, now: Millis) -> i64 {
    match value.map(Value::expires_at) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => i64::try_from(at.saturating_sub(now)).unwrap_or(i64::MAX),
    }
}

pub(super) fn retime(value: &Value, expiry: Expiry) -> Option<Change> {
    match expiry {
        Expiry::Keep => None,
        Expiry::Never => value.expires_at().map(|_| Change::Retime(None)),
        Expiry::After(0) => Some(Change::Delete),
        Expiry::After(ttl) => Some(Change::Retime(Some(ttl))),
    }
}

pub(super) fn persist(value: Option<&Value>) -> (Reply, Option<Change>) {
    match value.and_then(Value::expires_at) {
        Some(_) => (Reply::Int(1), Some(Change::Retime(None))),
        None => (Reply::Int(0), None),
    }
}

pub(super) fn expire(value: Option<&Value>, millis: i64, condition: ExpireCondition, now: Millis) -> (Reply, Option<Change>) {
    let Some(value) = value else { return (Reply::Int(0), None) };
    let remaining = value.expires_at().map(|at| i64::try_from(at.saturating_sub(now)).unwrap_or(i64::MAX));
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

/// A value that comes from another key, with what is left of its life.
pub(super) fn move_here(value: Option<&Value>, image: &Image, condition: Condition) -> (Reply, Option<Change>) {
    if !holds(value, condition) {
        return (Reply::Nil, None);
    }
    let image = Image { slack: image.ttl.map_or(0, slack), ..image.clone() };
    (Reply::Ok, Some(Change::Replace(image)))
}
