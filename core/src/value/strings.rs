//! Values that are one string of bytes.

use bytes::{Bytes, BytesMut};

use super::decide::Decided;
use super::{Change, Data, Image, Value, lives};
use crate::Millis;
use crate::command::{CommandError, Condition, Expiry, Reply};

/// The bytes, if the value is of this type.
pub(super) fn of(value: Option<&Value>) -> Result<Option<&Bytes>, CommandError> {
    match value.map(|value| &value.data) {
        None => Ok(None),
        Some(Data::String(bytes)) => Ok(Some(bytes)),
        Some(_) => Err(CommandError::WrongType),
    }
}

fn reply(bytes: Option<&Bytes>) -> Reply {
    bytes.map_or(Reply::Nil, |bytes| Reply::Bytes(bytes.clone()))
}

pub(super) fn get(value: Option<&Value>) -> Decided {
    Ok((reply(of(value)?), None))
}

pub(super) fn get_ex(value: Option<&Value>, expiry: Expiry) -> Decided {
    Ok((reply(of(value)?), value.and_then(|value| lives::retime(value, expiry))))
}

pub(super) fn get_del(value: Option<&Value>) -> Decided {
    Ok((reply(of(value)?), value.map(|_| Change::Delete)))
}

pub(super) fn set(value: Option<&Value>, new: &Bytes, expiry: Expiry, condition: Condition, return_old: bool, now: Millis) -> Decided {
    let old = if return_old { Some(reply(of(value)?)) } else { None };
    if !lives::holds(value, condition) {
        return Ok((old.unwrap_or(Reply::Nil), None));
    }
    let ttl = match expiry {
        Expiry::Keep => value.and_then(Value::expires_at).map(|at| at.saturating_sub(now)),
        Expiry::Never => None,
        Expiry::After(ttl) => Some(ttl),
    };
    let is_same = value.is_some_and(|value| matches!(&value.data, Data::String(old) if old == new));
    let change = match ttl {
        Some(0) => value.map(|_| Change::Delete),
        // The same content again is only a touch, and not even that where nothing ends.
        None if is_same && value.is_some_and(|value| value.expires_at().is_none()) => None,
        ttl if is_same && expiry != Expiry::Keep => Some(Change::Retime(ttl)),
        _ if is_same => None,
        ttl => Some(Change::Replace(Image::new(Data::String(new.clone()), ttl))),
    };
    Ok((old.unwrap_or(Reply::Ok), change))
}

pub(super) fn increment(value: Option<&Value>, by: i64) -> Decided {
    let bytes = of(value)?;
    let number = bytes.map_or(Some(0), |bytes| number(bytes)).ok_or(CommandError::NotAnInteger)?;
    let number = number.checked_add(by).ok_or(CommandError::Overflow)?;
    let new = Bytes::from(number.to_string());
    let change = match bytes {
        None => Change::Replace(Image::new(Data::String(new), None)),
        Some(_) => Change::Rewrite(new),
    };
    Ok((Reply::Int(number), Some(change)))
}

pub(super) fn append(value: Option<&Value>, more: &Bytes) -> Decided {
    let bytes = of(value)?;
    let length = bytes.map_or(0, Bytes::len) + more.len();
    let change = match bytes {
        None => Some(Change::Replace(Image::new(Data::String(more.clone()), None))),
        Some(_) => Some(Change::Append(more.clone())).filter(|_| !more.is_empty()),
    };
    Ok((Reply::Int(length as i64), change))
}

/// One after the other.
pub(super) fn joined(bytes: &Bytes, more: &Bytes) -> Bytes {
    let mut all = BytesMut::with_capacity(bytes.len() + more.len());
    all.extend_from_slice(bytes);
    all.extend_from_slice(more);
    all.freeze()
}

/// A number as Redis writes it and takes it back: no sign but `-`, no leading zero, nothing around it, within 64 bits.
pub(super) fn number(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}
