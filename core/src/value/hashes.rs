//! Values that are named fields.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::decide::Decided;
use super::strings::number;
use super::{Change, Data, Image, Value};
use crate::command::{CommandError, Reply};

type Fields = BTreeMap<Bytes, Bytes>;

fn of(value: Option<&Value>) -> Result<Option<&Fields>, CommandError> {
    match value.map(|value| &value.data) {
        None => Ok(None),
        Some(Data::Hash(fields)) => Ok(Some(fields)),
        Some(_) => Err(CommandError::WrongType),
    }
}

pub(super) fn set(value: Option<&Value>, fields: &[(Bytes, Bytes)]) -> Decided {
    let (new, change) = merge(of(value)?, fields);
    Ok((Reply::Int(new as i64), Some(change)))
}

/// The number of new fields, and the change.
fn merge(hash: Option<&Fields>, fields: &[(Bytes, Bytes)]) -> (usize, Change) {
    let merged: Fields = fields.iter().cloned().collect();
    let new = merged.keys().filter(|name| !hash.is_some_and(|hash| hash.contains_key(*name))).count();
    let change = match hash {
        None => Change::Replace(Image::new(Data::Hash(merged), None)),
        Some(_) => Change::Fields { set: merged.into_iter().collect(), removed: Vec::new() },
    };
    (new, change)
}

pub(super) fn set_if_absent(value: Option<&Value>, field: &Bytes, new: &Bytes) -> Decided {
    if of(value)?.is_some_and(|fields| fields.contains_key(field)) {
        return Ok((Reply::Int(0), None));
    }
    set(value, &[(field.clone(), new.clone())])
}

pub(super) fn increment(value: Option<&Value>, field: &Bytes, by: i64) -> Decided {
    let hash = of(value)?;
    let before = hash.and_then(|hash| hash.get(field)).map_or(Some(0), |bytes| number(bytes)).ok_or(CommandError::FieldNotAnInteger)?;
    let after = before.checked_add(by).ok_or(CommandError::Overflow)?;
    let (_, change) = merge(hash, &[(field.clone(), Bytes::from(after.to_string()))]);
    Ok((Reply::Int(after), Some(change)))
}

pub(super) fn get(value: Option<&Value>, fields: &[Bytes]) -> Decided {
    let hash = of(value)?;
    Ok((Reply::Array(fields.iter().map(|name| hash.and_then(|hash| hash.get(name)).cloned()).collect()), None))
}

pub(super) fn get_all(value: Option<&Value>) -> Decided {
    let fields = of(value)?.into_iter().flatten();
    Ok((Reply::Map(fields.map(|(name, value)| (name.clone(), value.clone())).collect()), None))
}

pub(super) fn delete(value: Option<&Value>, fields: &[Bytes]) -> Decided {
    let Some(hash) = of(value)? else { return Ok((Reply::Int(0), None)) };
    let removed = named(fields, |name| hash.contains_key(name));
    let count = removed.len();
    let change = match count {
        0 => None,
        all if all == hash.len() => Some(Change::Delete),
        _ => Some(Change::Fields { set: Vec::new(), removed }),
    };
    Ok((Reply::Int(count as i64), change))
}

/// Those of `names` that are there, each once.
pub(super) fn named(names: &[Bytes], is_there: impl Fn(&Bytes) -> bool) -> Vec<Bytes> {
    let mut found: Vec<Bytes> = names.iter().filter(|name| is_there(name)).cloned().collect();
    found.sort_unstable();
    found.dedup();
    found
}
