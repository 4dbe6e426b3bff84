//! Values that are members with scores.

use bytes::Bytes;

use super::decide::Decided;
use super::hashes::named;
pub(super) use super::sorted_set::entry_size;
use super::{Change, Data, Image, Score, SortedSet, Value};
use crate::command::{CommandError, Comparison, Condition, Range, Reply};

fn of(value: Option<&Value>) -> Result<Option<&SortedSet>, CommandError> {
    match value.map(|value| &value.data) {
        None => Ok(None),
        Some(Data::SortedSet(members)) => Ok(Some(members)),
        Some(_) => Err(CommandError::WrongType),
    }
}

/// Whether a member that has the score `before` gets the score `after`.
fn changes(before: Option<Score>, after: Score, condition: Condition, comparison: Comparison) -> bool {
    match (before, condition, comparison) {
        (None, Condition::IfPresent, _) | (Some(_), Condition::IfAbsent, _) => false,
        (Some(before), _, Comparison::Higher) => after > before,
        (Some(before), _, Comparison::Lower) => after < before,
        _ => true,
    }
}

/// The change that gives members these scores, if there are any.
fn scored(set: Option<&SortedSet>, scores: Vec<(Bytes, Score)>) -> Option<Change> {
    match set {
        _ if scores.is_empty() => None,
        None => Some(Change::Replace(Image::new(Data::SortedSet(Box::new(scores.into())), None))),
        Some(_) => Some(Change::Scores { set: scores, removed: Vec::new() }),
    }
}

pub(super) fn add(
    value: Option<&Value>,
    entries: &[(Bytes, Score)],
    condition: Condition,
    comparison: Comparison,
    counts_changed: bool,
) -> Decided {
    let set = of(value)?;
    let (mut added, mut changed) = (0, 0);
    // A member that is named twice finds what its first naming made of it.
    let mut scores = std::collections::BTreeMap::new();
    for (member, score) in entries {
        let before = scores.get(member).copied().or_else(|| set.and_then(|set| set.score(member)));
        if before == Some(*score) || !changes(before, *score, condition, comparison) {
            continue;
        }
        let counter = if before.is_none() { &mut added } else { &mut changed };
        *counter += 1;
        scores.insert(member.clone(), *score);
    }
    let count = if counts_changed { added + changed } else { added };
    Ok((Reply::Int(count), scored(set, scores.into_iter().collect())))
}

pub(super) fn increment(value: Option<&Value>, member: &Bytes, by: Score, condition: Condition, comparison: Comparison) -> Decided {
    let set = of(value)?;
    let before = set.and_then(|set| set.score(member));
    let after = Score::new(before.map_or(by.get(), |before| before.get() + by.get())).ok_or(CommandError::NotAScore)?;
    if !changes(before, after, condition, comparison) {
        return Ok((Reply::Nil, None));
    }
    let scores = if before == Some(after) { Vec::new() } else { vec![(member.clone(), after)] };
    Ok((Reply::Score(after), scored(set, scores)))
}

fn removed(set: &SortedSet, removed: Vec<Bytes>) -> (Reply, Option<Change>) {
    let count = removed.len();
    let change = match count {
        0 => None,
        all if all == set.len() => Some(Change::Delete),
        _ => Some(Change::Scores { set: Vec::new(), removed }),
    };
    (Reply::Int(count as i64), change)
}

pub(super) fn remove(value: Option<&Value>, members: &[Bytes]) -> Decided {
    let Some(set) = of(value)? else { return Ok((Reply::Int(0), None)) };
    Ok(removed(set, named(members, |member| set.score(member).is_some())))
}

pub(super) fn remove_range(value: Option<&Value>, range: &Range) -> Decided {
    let Some(set) = of(value)? else { return Ok((Reply::Int(0), None)) };
    Ok(removed(set, set.within(range, false).map(|(member, _)| member.clone()).collect()))
}

pub(super) fn scores(value: Option<&Value>, members: &[Bytes]) -> Decided {
    let set = of(value)?;
    Ok((Reply::Scores(members.iter().map(|member| set.and_then(|set| set.score(member))).collect()), None))
}

pub(super) fn rank(value: Option<&Value>, member: &Bytes, is_reverse: bool) -> Decided {
    let Some((set, rank)) = of(value)?.and_then(|set| Some((set, set.rank(member)?))) else { return Ok((Reply::Nil, None)) };
    let rank = if is_reverse { set.len() - 1 - rank } else { rank };
    Ok((Reply::Int(rank as i64), None))
}

pub(super) fn range(value: Option<&Value>, range: &Range, is_reverse: bool, skip: u64, count: u64) -> Decided {
    let Some(set) = of(value)? else { return Ok((Reply::Scored(Vec::new()), None)) };
    let (skip, count) = (usize::try_from(skip).unwrap_or(usize::MAX), usize::try_from(count).unwrap_or(usize::MAX));
    let within = set.within(range, is_reverse).skip(skip).take(count);
    Ok((Reply::Scored(within.map(|(member, score)| (member.clone(), score)).collect()), None))
}

pub(super) fn count(value: Option<&Value>, range: &Range) -> Decided {
    Ok((Reply::Int(of(value)?.map_or(0, |set| set.within(range, false).count()) as i64), None))
}
