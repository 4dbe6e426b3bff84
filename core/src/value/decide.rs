//! What a command answers and changes: each family of commands decides for itself, and here they come together.

use bytes::Bytes;

use super::{Change, Data, Notices, Value, apply, hashes, lives, sets, sorted_sets, strings};
use crate::Millis;
use crate::command::{Command, CommandError, Guard, Reply, ValueType};

/// How large the replies of a batch are together, in bytes, when the next one may still be as large as a value. What is more is not told: a small request
/// would make a huge answer, and one that no frame can hold.
const BATCH_REPLIES: usize = 16 << 20;

/// An answer, and what the command changes if anything.
pub(super) type Decided = Result<(Reply, Option<Change>), CommandError>;

/// What `command` answers on `value`, and what it changes. `value` must not be expired: the owner deletes what is before it decides.
pub fn decide(value: Option<&Value>, command: &Command, now: Millis, max_bytes: u64) -> (Reply, Option<Change>) {
    decide_noticed(value, command, now, max_bytes, &mut Notices::unwanted())
}

/// The same, and says what it did in the words of keyspace notifications.
pub fn decide_noticed(
    value: Option<&Value>,
    command: &Command,
    now: Millis,
    max_bytes: u64,
    notices: &mut Notices,
) -> (Reply, Option<Change>) {
    if let Command::Batch { guard, commands } = command
        && !command.is_nested()
    {
        return batch(value, guard, commands, now, max_bytes, notices);
    }
    match one(value, command, now) {
        Ok((reply, Some(change))) => match too_large(value, &change, max_bytes) {
            Some(error) => (Reply::Error(error), None),
            None => {
                notices.of(value, command, &change);
                (reply, Some(change))
            }
        },
        Ok((reply, None)) => {
            notices.of_same(value, command);
            (reply, None)
        }
        Err(error) => (Reply::Error(error), None),
    }
}

fn one(value: Option<&Value>, command: &Command, now: Millis) -> Decided {
    match command {
        Command::Get => strings::get(value),
        Command::Set { value: new, expiry, condition, return_old } => strings::set(value, new, *expiry, *condition, *return_old, now),
        Command::GetEx { expiry } => strings::get_ex(value, *expiry),
        Command::GetDel => strings::get_del(value),
        Command::Increment { by } => strings::increment(value, *by),
        Command::Append { value: more } => strings::append(value, more),
        Command::Delete | Command::MoveAway => Ok((Reply::Int(value.is_some().into()), value.map(|_| Change::Delete))),
        Command::Exists => Ok((Reply::Int(value.is_some().into()), None)),
        Command::Type => Ok((Reply::Type(value.map_or(ValueType::None, |value| value.data.kind())), None)),
        Command::Length { kind } => length(value, *kind),
        Command::Fingerprint => Ok((Reply::Fingerprint(fingerprint(value)), None)),
        Command::Dump => Ok((value.map_or(Reply::Nil, |value| Reply::Image(value.to_image(now, 0))), None)),
        Command::MoveHere { image, condition } => Ok(lives::move_here(value, image, *condition)),
        Command::Expire { millis, condition } => Ok(lives::expire(value, *millis, *condition, now)),
        Command::Persist => Ok(lives::persist(value)),
        Command::Ttl => Ok((Reply::Int(lives::ttl(value, now)), None)),
        Command::HashSet { fields } => hashes::set(value, fields),
        Command::HashSetIfAbsent { field, value: new } => hashes::set_if_absent(value, field, new),
        Command::HashIncrement { field, by } => hashes::increment(value, field, *by),
        Command::HashGet { fields } => hashes::get(value, fields),
        Command::HashGetAll => hashes::get_all(value),
        Command::HashDelete { fields } => hashes::delete(value, fields),
        Command::SetAdd { members } => sets::add(value, members),
        Command::SetRemove { members } => sets::remove(value, members),
        Command::SetGet { members } => sets::get(value, members),
        Command::SetGetAll => sets::get_all(value),
        Command::SortedSetAdd { entries, condition, comparison, counts_changed } => {
            sorted_sets::add(value, entries, *condition, *comparison, *counts_changed)
        }
        Command::SortedSetIncrement { member, by, condition, comparison } => {
            sorted_sets::increment(value, member, *by, *condition, *comparison)
        }
        Command::SortedSetRemove { members } => sorted_sets::remove(value, members),
        Command::SortedSetRemoveRange { range } => sorted_sets::remove_range(value, range),
        Command::SortedSetScores { members } => sorted_sets::scores(value, members),
        Command::SortedSetRank { member, is_reverse } => sorted_sets::rank(value, member, *is_reverse),
        Command::SortedSetRange { range, is_reverse, skip, count } => sorted_sets::range(value, range, *is_reverse, *skip, *count),
        Command::SortedSetCount { range } => sorted_sets::count(value, range),
        // A delete of nothing: the key has an owner, and still no content.
        Command::Claim => Ok((Reply::Int(value.is_some().into()), value.is_none().then_some(Change::Delete))),
        Command::Batch { .. } => Err(CommandError::NestedBatch),
    }
}

/// All of them on the same value, each seeing what those before it have done.
fn batch(
    value: Option<&Value>,
    guard: &Guard,
    commands: &[Command],
    now: Millis,
    max_bytes: u64,
    notices: &mut Notices,
) -> (Reply, Option<Change>) {
    match holds(value, guard) {
        Ok(true) => {}
        Ok(false) => return (Reply::Refuted, None),
        Err(error) => return (Reply::Error(error), None),
    }
    let mut replies = Vec::with_capacity(commands.len());
    let mut changes = Vec::new();
    // A copy from the first change on.
    let mut changed: Option<Option<Value>> = None;
    let mut size = 0;
    let too_large = || Reply::Error(CommandError::AnswerTooLarge { limit: BATCH_REPLIES as u64 });
    for command in commands {
        let is_full = size > BATCH_REPLIES;
        if is_full && command.is_read_only() {
            replies.push(too_large());
            continue;
        }
        let current = changed.as_ref().map_or(value, Option::as_ref);
        let (reply, change) = decide_noticed(current, command, now, max_bytes, notices);
        match is_full && matches!(reply, Reply::Bytes(_)) {
            true => replies.push(too_large()),
            false => {
                size += reply.size();
                replies.push(reply);
            }
        }
        if let Some(change) = change {
            apply(changed.get_or_insert_with(|| value.cloned()), change.clone(), now);
            changes.push(change);
        }
    }
    (Reply::Batch(replies), joined(changes))
}

/// What came before a whole new value, or before the end, does not matter.
fn joined(mut changes: Vec<Change>) -> Option<Change> {
    if let Some(last) = changes.iter().rposition(|change| matches!(change, Change::Replace(_) | Change::Delete)) {
        changes.drain(..last);
    }
    if changes.len() > 1 { Some(Change::Several(changes)) } else { changes.pop() }
}

fn holds(value: Option<&Value>, guard: &Guard) -> Result<bool, CommandError> {
    match guard {
        Guard::None => Ok(true),
        Guard::Present => Ok(value.is_some()),
        Guard::Unchanged(expected) => Ok(fingerprint(value) == *expected),
        Guard::Equals(expected) => strings::of(value).map(|bytes| bytes == Some(expected)),
    }
}

fn fingerprint(value: Option<&Value>) -> u128 {
    value.map_or(0, |value| value.data.fingerprint())
}

fn length(value: Option<&Value>, kind: ValueType) -> Decided {
    match value {
        None => Ok((Reply::Int(0), None)),
        Some(value) if value.data.kind() == kind => Ok((Reply::Int(value.data.len() as i64), None)),
        Some(_) => Err(CommandError::WrongType),
    }
}

/// Refuses a change that makes the value larger than `limit`. One that shrinks a value is always let through, or a lowered limit would be a trap.
fn too_large(value: Option<&Value>, change: &Change, limit: u64) -> Option<CommandError> {
    let before = || value.map_or(0, |value| value.data.size());
    let size = match (change, value.map(|value| &value.data)) {
        (Change::Replace(image), _) => image.data.size(),
        (Change::Fields { set, .. }, Some(Data::Hash(fields))) => {
            let grown = |(name, new): &(Bytes, Bytes)| match fields.get(name) {
                Some(old) => (new.len() as u64).saturating_sub(old.len() as u64),
                None => (name.len() + new.len()) as u64,
            };
            before() + set.iter().map(grown).sum::<u64>()
        }
        (Change::Rewrite(new), _) => new.len() as u64,
        (Change::Append(more), _) => before() + more.len() as u64,
        (Change::Members { added, .. }, _) => before() + added.iter().map(|member| member.len() as u64).sum::<u64>(),
        (Change::Scores { set, .. }, Some(Data::SortedSet(members))) => {
            let new = set.iter().filter(|(member, _)| members.score(member).is_none());
            before() + new.map(|(member, _)| sorted_sets::entry_size(member)).sum::<u64>()
        }
        _ => return None,
    };
    (size > limit && size > before()).then_some(CommandError::TooLarge { size, limit })
}
