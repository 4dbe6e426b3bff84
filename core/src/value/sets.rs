//! Values that are members without order.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::decide::Decided;
use super::hashes::named;
use super::{Change, Data, Image, Value};
use crate::command::{CommandError, Reply};

fn of(value: Option<&Value>) -> Result<Option<&BTreeSet<Bytes>>, CommandError> {
    match value.map(|value| &value.data) {
        None => Ok(None),
        Some(Data::Set(members)) => Ok(Some(members)),
        Some(_) => Err(CommandError::WrongType),
    }
}

pub(super) fn add(value: Option<&Value>, members: &[Bytes]) -> Decided {
    let set = of(value)?;
    let added = named(members, |member| set.is_none_or(|set| !set.contains(member)));
    let count = added.len();
    let change = match set {
        _ if count == 0 => None,
        None => Some(Change::Replace(Image::new(Data::Set(added.into_iter().collect()), None))),
        Some(_) => Some(Change::Members { added, removed: Vec::new() }),
    };
    Ok((Reply::Int(count as i64), change))
}

pub(super) fn remove(value: Option<&Value>, members: &[Bytes]) -> Decided {
    let Some(set) = of(value)? else { return Ok((Reply::Int(0), None)) };
    let removed = named(members, |member| set.contains(member));
    let count = removed.len();
    let change = match count {
        0 => None,
        all if all == set.len() => Some(Change::Delete),
        _ => Some(Change::Members { added: Vec::new(), removed }),
    };
    Ok((Reply::Int(count as i64), change))
}

pub(super) fn get(value: Option<&Value>, members: &[Bytes]) -> Decided {
    let set = of(value)?;
    Ok((Reply::Array(members.iter().map(|member| set.and_then(|set| set.get(member)).cloned()).collect()), None))
}

pub(super) fn get_all(value: Option<&Value>) -> Decided {
    Ok((Reply::Array(of(value)?.into_iter().flatten().cloned().map(Some).collect()), None))
}
