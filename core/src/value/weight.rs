//! What content takes in memory, and how much more or less a change makes of it. It is counted with each change, so that nothing ever has to be added up.

use bytes::Bytes;

use super::sorted_set::entry_size;
use super::{Change, Data, Value};

/// What the elements of a collection take beside their bytes; docs/performance.md has the measurement.
struct Shape {
    /// The first node of its trees, which has room for [`NODE`] elements.
    node: u64,
    /// The allocations of one.
    element: u64,
    /// The place of each further one in nodes that are about two thirds full.
    place: u64,
}

/// So many elements fit into a node.
const NODE: u64 = 11;

const FIELDS: Shape = Shape { node: 720, element: 88, place: 100 };
const MEMBERS: Shape = Shape { node: 368, element: 44, place: 60 };
const SCORES: Shape = Shape { node: 912, element: 44, place: 124 };

impl Shape {
    fn of(&self, count: usize) -> u64 {
        let count = count as u64;
        self.node + self.element * count + self.place * count.saturating_sub(NODE)
    }

    /// How much more `count` elements take when some are new and some are gone.
    fn growth(&self, count: usize, new: usize, gone: usize) -> i64 {
        signed(self.of(count + new - gone)) - signed(self.of(count))
    }
}

impl Data {
    /// What it takes in memory, in bytes.
    pub fn weight(&self) -> u64 {
        match self {
            Data::String(bytes) => bytes.len() as u64,
            Data::Hash(fields) => self.size() + FIELDS.of(fields.len()),
            Data::Set(members) => self.size() + MEMBERS.of(members.len()),
            Data::SortedSet(members) => self.size() + SCORES.of(members.len()),
        }
    }
}

/// How many bytes more `value` takes in memory after `change`; fewer if negative. Of several changes, as if each came alone.
pub fn growth(value: Option<&Value>, change: &Change) -> i64 {
    let before = || signed(value.map_or(0, |value| value.data.weight()));
    match (change, value.map(|value| &value.data)) {
        (Change::Replace(image), _) => signed(image.data.weight()) - before(),
        (Change::Delete, _) => -before(),
        (Change::Several(changes), _) => changes.iter().map(|change| growth(value, change)).sum(),
        (Change::Rewrite(new), Some(Data::String(old))) => length(new) - length(old),
        (Change::Append(more), Some(Data::String(_))) => length(more),
        (Change::Fields { set, removed }, Some(Data::Hash(fields))) => {
            let (mut bytes, mut new) = (0, 0);
            for (name, value) in set {
                bytes += length(value);
                match fields.get(name) {
                    Some(old) => bytes -= length(old),
                    None => (bytes, new) = (bytes + length(name), new + 1),
                }
            }
            let gone: Vec<i64> = removed.iter().filter_map(|name| Some(length(name) + length(fields.get(name)?))).collect();
            bytes - gone.iter().sum::<i64>() + FIELDS.growth(fields.len(), new, gone.len())
        }
        (Change::Members { added, removed }, Some(Data::Set(members))) => {
            let new: Vec<i64> = added.iter().filter(|member| !members.contains(*member)).map(length).collect();
            let gone: Vec<i64> = removed.iter().filter(|member| members.contains(*member)).map(length).collect();
            new.iter().sum::<i64>() - gone.iter().sum::<i64>() + MEMBERS.growth(members.len(), new.len(), gone.len())
        }
        (Change::Scores { set, removed }, Some(Data::SortedSet(members))) => {
            let size = |member: &Bytes| signed(entry_size(member));
            let new: Vec<i64> = set.iter().filter(|(member, _)| members.score(member).is_none()).map(|(member, _)| size(member)).collect();
            let gone: Vec<i64> = removed.iter().filter(|member| members.score(member).is_some()).map(size).collect();
            new.iter().sum::<i64>() - gone.iter().sum::<i64>() + SCORES.growth(members.len(), new.len(), gone.len())
        }
        _ => 0,
    }
}

fn length(bytes: &Bytes) -> i64 {
    signed(bytes.len() as u64)
}

/// Sizes are those of memory, and far from the limit.
fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::{Command, Comparison, Condition, Expiry};
    use crate::value::{Score, apply, decide};

    /// Short names, so that commands meet; each key is of one type.
    fn command() -> impl Strategy<Value = (usize, Command)> {
        let text = || "[a-c]{1,3}".prop_map(Bytes::from);
        let texts = || prop::collection::vec(text(), 1..4);
        let always = Condition::Always;
        let set = move |value| Command::Set { value, expiry: Expiry::Keep, condition: always, return_old: false };
        let add = move |entries: Vec<(Bytes, i16)>| Command::SortedSetAdd {
            entries: entries.into_iter().map(|(member, score)| (member, Score::new(score.into()).expect("a number"))).collect(),
            condition: always,
            comparison: Comparison::Always,
            counts_changed: false,
        };
        prop_oneof![
            text().prop_map(move |value| (0, set(value))),
            text().prop_map(|value| (0, Command::Append { value })),
            prop::collection::vec((text(), text()), 1..4).prop_map(|fields| (1, Command::HashSet { fields })),
            texts().prop_map(|fields| (1, Command::HashDelete { fields })),
            texts().prop_map(|members| (2, Command::SetAdd { members })),
            texts().prop_map(|members| (2, Command::SetRemove { members })),
            prop::collection::vec((text(), any::<i16>()), 1..4).prop_map(move |entries| (3, add(entries))),
            texts().prop_map(|members| (3, Command::SortedSetRemove { members })),
            (0..4usize).prop_map(|key| (key, Command::Delete)),
        ]
    }

    proptest! {
        #[test]
        fn what_a_change_adds_is_what_the_value_weighs_more_afterwards(commands in prop::collection::vec(command(), 1..60)) {
            let mut values: [Option<Value>; 4] = Default::default();
            for (key, command) in commands {
                let value = &mut values[key];
                let before = value.as_ref().map_or(0, |value| value.data.weight());
                let (_, Some(change)) = decide(value.as_ref(), &command, 0, 1 << 20) else { continue };
                let expected = growth(value.as_ref(), &change);
                apply(value, change, 0);
                let after = value.as_ref().map_or(0, |value| value.data.weight());
                prop_assert_eq!(signed(after) - signed(before), expected, "{:?}", command);
            }
        }
    }
}
