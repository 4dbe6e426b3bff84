//! Members in the order of their scores, and found by their names.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::ops::Bound;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::{MemberBound, Range, ScoreBound};

/// A score: any number, infinities included, but not "not a number", so that all of them have an order.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Score(f64);

impl Score {
    /// `None` for what is not a number.
    pub fn new(score: f64) -> Option<Score> {
        (!score.is_nan()).then_some(Score(score))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The two zeros are equal, and in a set there is only one; but an increment may show the other, as in Redis.
    fn ordered(self) -> f64 {
        if self.0 == 0.0 { 0.0 } else { self.0 }
    }
}

impl TryFrom<f64> for Score {
    type Error = &'static str;

    fn try_from(score: f64) -> Result<Score, &'static str> {
        Score::new(score).ok_or("a score is a number")
    }
}

impl From<Score> for f64 {
    fn from(score: Score) -> f64 {
        score.0
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Score) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Score) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Score) -> std::cmp::Ordering {
        self.ordered().total_cmp(&other.ordered())
    }
}

impl Hash for Score {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ordered().to_bits().hash(state);
    }
}

/// Members, each with a score, in the order of score and then name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<(Bytes, Score)>", into = "Vec<(Bytes, Score)>")]
pub struct SortedSet {
    scores: BTreeMap<Bytes, Score>,
    order: BTreeSet<(Score, Bytes)>,
}

impl From<Vec<(Bytes, Score)>> for SortedSet {
    fn from(entries: Vec<(Bytes, Score)>) -> SortedSet {
        let mut set = SortedSet::default();
        for (member, score) in entries {
            set.insert(member, score);
        }
        set
    }
}

impl From<SortedSet> for Vec<(Bytes, Score)> {
    fn from(set: SortedSet) -> Vec<(Bytes, Score)> {
        set.order.into_iter().map(|(score, member)| (member, score)).collect()
    }
}

impl SortedSet {
    /// How many members it has.
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Bytes of content: the members, and eight for each score.
    pub fn size(&self) -> u64 {
        self.scores.keys().map(entry_size).sum()
    }

    /// The score of a member.
    pub fn score(&self, member: &Bytes) -> Option<Score> {
        self.scores.get(member).copied()
    }

    /// Gives a member this score.
    pub fn insert(&mut self, member: Bytes, score: Score) {
        let score = Score(score.ordered());
        if let Some(before) = self.scores.insert(member.clone(), score) {
            self.order.remove(&(before, member.clone()));
        }
        self.order.insert((score, member));
    }

    /// Takes a member out.
    pub fn remove(&mut self, member: &Bytes) {
        if let Some(score) = self.scores.remove(member) {
            self.order.remove(&(score, member.clone()));
        }
    }

    /// All members in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Bytes, Score)> {
        self.order.iter().map(|(score, member)| (member, *score))
    }

    /// How many come before a member.
    pub fn rank(&self, member: &Bytes) -> Option<usize> {
        let score = self.score(member)?;
        Some(self.order.range(..(score, member.clone())).count())
    }

    /// The members within a range, in order or from the end to the beginning.
    pub fn within(&self, range: &Range, is_reverse: bool) -> Box<dyn Iterator<Item = (&Bytes, Score)> + '_> {
        match (range, is_reverse) {
            (Range::Ranks(from, to), false) => Box::new(self.ranks(*from, *to)),
            // Ranks are counted from the end that comes first.
            (Range::Ranks(from, to), true) => Box::new(self.ranks(to.saturating_neg() - 1, from.saturating_neg() - 1).rev()),
            (Range::Scores(low, high), false) => Box::new(self.scores(*low, *high)),
            (Range::Scores(low, high), true) => Box::new(self.scores(*low, *high).rev()),
            (Range::Members(low, high), _) => {
                let (low, high) = (low.clone(), high.clone());
                // Among members of different scores this finds what Redis finds, which means little.
                let reaches = self.iter().next_back().is_some_and(|(last, _)| is_from(&low, last))
                    && self.iter().next().is_some_and(|(first, _)| is_up_to(&high, first));
                if !reaches || is_empty(&low, &high) {
                    return Box::new(std::iter::empty());
                }
                if is_reverse {
                    let before = self.iter().rev().skip_while({
                        let high = high.clone();
                        move |(member, _)| !is_up_to(&high, member)
                    });
                    return Box::new(before.take_while(move |(member, _)| is_from(&low, member)));
                }
                let after = self.iter().skip_while(move |(member, _)| !is_from(&low, member));
                Box::new(after.take_while(move |(member, _)| is_up_to(&high, member)))
            }
        }
    }

    fn ranks(&self, from: i64, to: i64) -> impl DoubleEndedIterator<Item = (&Bytes, Score)> {
        let length = self.len() as i64;
        let index = |rank: i64| if rank < 0 { length.saturating_add(rank) } else { rank };
        let (from, to) = (index(from).max(0), index(to).min(length - 1));
        let count = to.saturating_sub(from).saturating_add(1).max(0);
        self.order.iter().skip(from as usize).take(count as usize).map(|(score, member)| (member, *score))
    }

    fn scores(&self, low: ScoreBound, high: ScoreBound) -> impl DoubleEndedIterator<Item = (&Bytes, Score)> {
        // No name is before the empty one: the first entry of a score, if it were there, stands for the score.
        let first = |score: f64| (Score(score), Bytes::new());
        let is_empty = low.score > high.score || (low.score == high.score && (low.is_exclusive || high.is_exclusive));
        let from = if low.is_exclusive { low.score.0.next_up() } else { low.score.0 };
        let to = if high.is_exclusive { high.score.0 } else { high.score.0.next_up() };
        let end = match high.score.0 {
            f64::INFINITY if !high.is_exclusive => Bound::Unbounded,
            _ => Bound::Excluded(first(to)),
        };
        let range = if is_empty { (Bound::Included(first(0.0)), Bound::Excluded(first(0.0))) } else { (Bound::Included(first(from)), end) };
        self.order.range(range).map(|(score, member)| (member, *score))
    }
}

/// What an entry counts in the size of a value, in bytes.
pub(super) fn entry_size(member: &Bytes) -> u64 {
    member.len() as u64 + size_of::<Score>() as u64
}

/// Whether nothing can be between these.
fn is_empty(low: &MemberBound, high: &MemberBound) -> bool {
    match (low, high) {
        (MemberBound::Last, _) | (_, MemberBound::First) => true,
        (MemberBound::Inclusive(low), MemberBound::Inclusive(high)) => low > high,
        (MemberBound::Inclusive(low) | MemberBound::Exclusive(low), MemberBound::Inclusive(high) | MemberBound::Exclusive(high)) => {
            low >= high
        }
        _ => false,
    }
}

fn is_from(low: &MemberBound, member: &Bytes) -> bool {
    match low {
        MemberBound::First => true,
        MemberBound::Inclusive(low) => member >= low,
        MemberBound::Exclusive(low) => member > low,
        MemberBound::Last => false,
    }
}

fn is_up_to(high: &MemberBound, member: &Bytes) -> bool {
    match high {
        MemberBound::First => false,
        MemberBound::Inclusive(high) => member <= high,
        MemberBound::Exclusive(high) => member < high,
        MemberBound::Last => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn score(score: f64) -> Score {
        Score::new(score).expect("a number")
    }

    fn names(set: &SortedSet, range: &Range) -> Vec<String> {
        set.within(range, false).map(|(member, _)| String::from_utf8_lossy(member).into_owned()).collect()
    }

    #[test]
    fn members_are_in_the_order_of_score_and_name() {
        let mut set = SortedSet::default();
        for (member, at) in [("c", 2.0), ("a", 2.0), ("b", -1.0), ("d", f64::INFINITY)] {
            set.insert(Bytes::from_static(member.as_bytes()), score(at));
        }
        assert_eq!(names(&set, &Range::Ranks(0, -1)), ["b", "a", "c", "d"]);
        assert_eq!(names(&set, &Range::Ranks(-2, 10)), ["c", "d"]);
        assert!(names(&set, &Range::Ranks(2, 1)).is_empty() && names(&set, &Range::Ranks(i64::MIN, i64::MIN)).is_empty());
        set.insert(Bytes::from_static(b"b"), score(3.0));
        assert_eq!((set.rank(&Bytes::from_static(b"b")), set.len(), set.size()), (Some(2), 4, 36));
    }

    #[test]
    fn both_zeros_are_equal_and_nothing_is_no_number() {
        assert_eq!(Score::new(-0.0), Score::new(0.0));
        assert!(Score::new(f64::NAN).is_none());
        let nan = postcard::to_stdvec(&f64::NAN).expect("it has a form");
        assert!(postcard::from_bytes::<Score>(&nan).is_err(), "nor from a peer");
    }

    proptest! {
        #[test]
        fn a_range_of_scores_has_exactly_those_within(
            scores in prop::collection::vec(-3i8..4, 0..12),
            low in -4i8..5,
            high in -4i8..5,
            exclusive in any::<(bool, bool)>(),
            infinite in any::<(bool, bool)>(),
        ) {
            let end = |number: i8, is_infinite: bool| if is_infinite { f64::from(number).signum() * f64::INFINITY } else { f64::from(number) };
            let (low, high) = (end(low, infinite.0 && low != 0), end(high, infinite.1 && high != 0));
            let mut set = SortedSet::default();
            for (i, at) in scores.iter().enumerate() {
                set.insert(Bytes::from(i.to_string()), score(f64::from(*at)));
            }
            let bound = |at, is_exclusive| ScoreBound { score: score(at), is_exclusive };
            let found = set.within(&Range::Scores(bound(low, exclusive.0), bound(high, exclusive.1)), false).count();
            let is_in = |at: f64| (at > low || (at == low && !exclusive.0)) && (at < high || (at == high && !exclusive.1));
            prop_assert_eq!(found, scores.iter().filter(|at| is_in(f64::from(**at))).count());
        }
    }
}
