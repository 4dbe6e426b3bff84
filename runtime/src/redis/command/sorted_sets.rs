//! Members in the order of their scores.

use bytes::Bytes;
use holdfast_core::{Command, Comparison, Condition, MemberBound, Range, Reply, Score, ScoreBound, ValueType};

use super::args::{Args, Refusal};
use super::number::{score, valid};
use super::sets::rest;
use super::table::Spec;
use super::{Plan, plain};
use crate::redis::frame::Value;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::write("zadd", -4, zadd),
    Spec::write("zincrby", 4, zincrby),
    Spec::write("zrem", -3, |args| Plan::one(args, Command::SortedSetRemove { members: rest(args) }, plain)),
    Spec::write("zremrangebyrank", 4, |args| remove(args, By::Rank)),
    Spec::write("zremrangebyscore", 4, |args| remove(args, By::Score)),
    Spec::write("zremrangebylex", 4, |args| remove(args, By::Member)),
    Spec::read("zcard", 2, |args| Plan::one(args, Command::Length { kind: ValueType::SortedSet }, plain)),
    Spec::read("zcount", 4, |args| count(args, By::Score)),
    Spec::read("zlexcount", 4, |args| count(args, By::Member)),
    Spec::read("zscore", 3, |args| Plan::one(args, Command::SortedSetScores { members: rest(args) }, first)),
    Spec::read("zmscore", -3, |args| Plan::one(args, Command::SortedSetScores { members: rest(args) }, each)),
    Spec::read("zrank", 3, |args| rank(args, false)),
    Spec::read("zrevrank", 3, |args| rank(args, true)),
    Spec::read("zrange", -4, |args| range(args, None, None)),
    Spec::read("zrevrange", -4, |args| range(args, Some(By::Rank), Some(true))),
    Spec::read("zrangebyscore", -4, |args| range(args, Some(By::Score), Some(false))),
    Spec::read("zrevrangebyscore", -4, |args| range(args, Some(By::Score), Some(true))),
    Spec::read("zrangebylex", -4, |args| range(args, Some(By::Member), Some(false))),
    Spec::read("zrevrangebylex", -4, |args| range(args, Some(By::Member), Some(true))),
];

/// What a range is measured in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Member,
}

impl By {
    /// The range from the argument `low` to the argument `high`.
    fn range(self, args: &Args<'_>, low: usize, high: usize) -> Result<Range, Refusal> {
        match self {
            By::Rank => Ok(Range::Ranks(args.integer(low)?, args.integer(high)?)),
            By::Score => {
                let bound = |index| score_bound(args.get(index)).ok_or(Refusal::fixed("ERR min or max is not a float"));
                Ok(Range::Scores(bound(low)?, bound(high)?))
            }
            By::Member => {
                let bound = |index| member_bound(args.get(index)).ok_or(Refusal::fixed("ERR min or max not valid string range item"));
                Ok(Range::Members(bound(low)?, bound(high)?))
            }
        }
    }
}

fn score_bound(text: &[u8]) -> Option<ScoreBound> {
    let (text, is_exclusive) = text.strip_prefix(b"(").map_or((text, false), |text| (text, true));
    // As C's `strtod`: spaces before it do not matter, and nothing is 0.
    let text = text.trim_ascii_start();
    let score = if text.is_empty() { Score::new(0.0) } else { score(text) }?;
    Some(ScoreBound { score, is_exclusive })
}

fn member_bound(text: &[u8]) -> Option<MemberBound> {
    match text {
        b"-" => Some(MemberBound::First),
        b"+" => Some(MemberBound::Last),
        [b'[', member @ ..] => Some(MemberBound::Inclusive(Bytes::copy_from_slice(member))),
        [b'(', member @ ..] => Some(MemberBound::Exclusive(Bytes::copy_from_slice(member))),
        _ => None,
    }
}

fn zadd(args: &Args<'_>) -> Result<Plan, Refusal> {
    let [mut nx, mut xx, mut gt, mut lt, mut ch, mut incr] = [false; 6];
    let mut index = 2;
    while index < args.len() {
        let options = [("NX", &mut nx), ("XX", &mut xx), ("GT", &mut gt), ("LT", &mut lt), ("CH", &mut ch), ("INCR", &mut incr)];
        let Some((_, given)) = options.into_iter().find(|(name, _)| args.is(index, name)) else { break };
        *given = true;
        index += 1;
    }
    let elements = args.len() - index;
    if elements == 0 || !elements.is_multiple_of(2) {
        return Err(Refusal::SYNTAX);
    }
    if nx && xx {
        return Err(Refusal::fixed("ERR XX and NX options at the same time are not compatible"));
    }
    if (nx && (gt || lt)) || (gt && lt) {
        return Err(Refusal::fixed("ERR GT, LT, and/or NX options at the same time are not compatible"));
    }
    if incr && elements > 2 {
        return Err(Refusal::fixed("ERR INCR option supports a single increment-element pair"));
    }
    let condition = match (nx, xx) {
        (true, _) => Condition::IfAbsent,
        (_, true) => Condition::IfPresent,
        _ => Condition::Always,
    };
    let comparison = match (gt, lt) {
        (true, _) => Comparison::Higher,
        (_, true) => Comparison::Lower,
        _ => Comparison::Always,
    };
    let entry = |index| Ok((args.bytes(index + 1), valid(args.get(index))?));
    let entries: Vec<(Bytes, Score)> = (index..args.len()).step_by(2).map(entry).collect::<Result<_, _>>()?;
    if incr && let Some((member, by)) = entries.first().cloned() {
        return Plan::one(args, Command::SortedSetIncrement { member, by, condition, comparison }, raised);
    }
    Plan::one(args, Command::SortedSetAdd { entries, condition, comparison, counts_changed: ch }, plain)
}

fn zincrby(args: &Args<'_>) -> Result<Plan, Refusal> {
    let (by, member) = (valid(args.get(2))?, args.bytes(3));
    let (condition, comparison) = (Condition::Always, Comparison::Always);
    Plan::one(args, Command::SortedSetIncrement { member, by, condition, comparison }, raised)
}

fn raised(reply: Reply) -> Value {
    match reply {
        Reply::Score(score) => Value::Double(score),
        other => plain(other),
    }
}

fn remove(args: &Args<'_>, by: By) -> Result<Plan, Refusal> {
    Plan::one(args, Command::SortedSetRemoveRange { range: by.range(args, 2, 3)? }, plain)
}

fn count(args: &Args<'_>, by: By) -> Result<Plan, Refusal> {
    Plan::one(args, Command::SortedSetCount { range: by.range(args, 2, 3)? }, plain)
}

fn each(reply: Reply) -> Value {
    match reply {
        Reply::Scores(scores) => Value::Array(scores.into_iter().map(|score| score.map_or(Value::Null, Value::Double)).collect()),
        other => plain(other),
    }
}

fn first(reply: Reply) -> Value {
    match each(reply) {
        Value::Array(mut scores) if scores.len() == 1 => scores.remove(0),
        other => other,
    }
}

fn rank(args: &Args<'_>, is_reverse: bool) -> Result<Plan, Refusal> {
    Plan::one(args, Command::SortedSetRank { member: args.bytes(2), is_reverse }, plain)
}

/// `ZRANGE` says by options what the older commands have in their names.
fn range(args: &Args<'_>, by: Option<By>, is_reverse: Option<bool>) -> Result<Plan, Refusal> {
    let is_general = by.is_none();
    let (mut by, mut is_reverse) = (by, is_reverse);
    let (mut with_scores, mut limit) = (false, None);
    let mut index = 4;
    while index < args.len() {
        let left = args.len() - index - 1;
        if args.is(index, "withscores") {
            with_scores = true;
        } else if args.is(index, "limit") && left >= 2 {
            limit = Some((args.integer(index + 1)?, args.integer(index + 2)?));
            index += 2;
        } else if is_general && by.is_none() && args.is(index, "bylex") {
            by = Some(By::Member);
        } else if is_general && by.is_none() && args.is(index, "byscore") {
            by = Some(By::Score);
        } else if is_general && is_reverse.is_none() && args.is(index, "rev") {
            is_reverse = Some(true);
        } else {
            return Err(Refusal::SYNTAX);
        }
        index += 1;
    }
    let (by, is_reverse) = (by.unwrap_or(By::Rank), is_reverse.unwrap_or(false));
    if limit.is_some_and(|(_, count)| count != -1) && by == By::Rank {
        return Err(Refusal::fixed("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"));
    }
    if with_scores && by == By::Member {
        return Err(Refusal::fixed("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
    }
    // From the end to the beginning, the higher one comes first.
    let (low, high) = if is_reverse && by != By::Rank { (3, 2) } else { (2, 3) };
    let range = by.range(args, low, high)?;
    // A range of ranks has no limit, even where one without a count is given.
    let (skip, count) = limit.filter(|_| by != By::Rank).unwrap_or((0, -1));
    // As in Redis: a negative offset finds nothing, a negative count everything.
    let count = if skip < 0 { 0 } else { u64::try_from(count).unwrap_or(u64::MAX) };
    let skip = u64::try_from(skip).unwrap_or(0);
    let answer = if with_scores { scored } else { members };
    Plan::one(args, Command::SortedSetRange { range, is_reverse, skip, count }, answer)
}

fn members(reply: Reply) -> Value {
    match reply {
        Reply::Scored(entries) => Value::Array(entries.into_iter().map(|(member, _)| Value::Bulk(member)).collect()),
        other => plain(other),
    }
}

fn scored(reply: Reply) -> Value {
    match reply {
        Reply::Scored(entries) => {
            Value::Pairs(entries.into_iter().map(|(member, score)| (Value::Bulk(member), Value::Double(score))).collect())
        }
        other => plain(other),
    }
}
