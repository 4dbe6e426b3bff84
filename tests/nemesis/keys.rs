//! Which keys are in use, and what is done to them. A key is used for so many operations and then left for a new one, so that the
//! history of each stays small enough to be searched; all of them are read again at the end.

use bytes::Bytes;
use holdfast_core::{Command, Condition, Expiry, Key};
use holdfast_sim::history::MAX_OPERATIONS;
use rand::RngExt;
use rand::rngs::StdRng;

/// Keys in use at once.
const SLOTS: usize = 48;
/// Operations on one key: as many as come in about half a minute, so that most keys see a fault from before to after, and no history is
/// too hard to search.
const OPERATIONS: usize = 104;
/// Those at the end come on top.
const _: () = assert!(OPERATIONS + 64 <= MAX_OPERATIONS);
/// Every second operation goes to the one key that all clients like for so long, so that operations overlap.
const LIKED_MICROS: u64 = 100_000;
/// No session of the test ends by itself: the checker reads this in the unit of the history's times, as microseconds, and that is a day.
const A_LONG_LIFE: u64 = 86_400_000_000;

/// The keys in use.
#[derive(Debug)]
pub(super) struct Keys {
    run: String,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    generation: u32,
    operations: usize,
}

impl Keys {
    /// `run` is part of every key: what an earlier run has left is not met.
    pub(super) fn new(run: &str) -> Self {
        Self { run: run.to_owned(), slots: vec![Slot::default(); SLOTS] }
    }

    /// A key and a command for it. `unique` goes into what is written, and into nothing else.
    pub(super) fn next(&mut self, now_micros: u64, unique: &str, dice: &mut StdRng) -> (Key, Command) {
        let liked = (now_micros / LIKED_MICROS) as usize % SLOTS;
        let number = if dice.random_bool(0.5) { liked } else { dice.random_range(0..SLOTS) };
        let slot = &mut self.slots[number];
        if slot.operations >= OPERATIONS {
            *slot = Slot { generation: slot.generation + 1, operations: 0 };
        }
        slot.operations += 1;
        let kind = if is_hash(number) { "hash" } else { "text" };
        let key = Bytes::from(format!("{}:{kind}:{number}:{}", self.run, slot.generation));
        (key, if is_hash(number) { on_hash(unique, dice) } else { on_text(unique, dice) })
    }
}

fn is_hash(number: usize) -> bool {
    number.is_multiple_of(3)
}

/// What reads a key as a whole.
pub(super) fn reading(key: &Key) -> Command {
    let is_hash = key.split(|byte| *byte == b':').nth(1) == Some(b"hash");
    if is_hash { Command::HashGetAll } else { Command::Get }
}

fn on_text(unique: &str, dice: &mut StdRng) -> Command {
    let set = |expiry, condition, return_old| Command::Set { value: Bytes::from(unique.to_owned()), expiry, condition, return_old };
    match dice.random_range(0..100) {
        0..36 => Command::Get,
        36..60 => set(Expiry::Never, Condition::Always, false),
        60..66 => set(Expiry::After(A_LONG_LIFE), Condition::Always, false),
        66..72 => set(Expiry::Never, Condition::Always, true),
        72..82 => set(Expiry::Never, Condition::IfAbsent, false),
        82..86 => set(Expiry::Never, Condition::IfPresent, false),
        86..91 => Command::GetEx { expiry: Expiry::After(A_LONG_LIFE) },
        91..95 => Command::GetDel,
        _ => Command::Delete,
    }
}

fn on_hash(unique: &str, dice: &mut StdRng) -> Command {
    let field = |dice: &mut StdRng| Bytes::from(format!("f{}", dice.random_range(0..4)));
    match dice.random_range(0..100) {
        0..45 => Command::HashGetAll,
        45..92 => {
            let mut names = vec![field(dice), field(dice)];
            names.dedup();
            Command::HashSet { fields: names.into_iter().map(|name| (name, Bytes::from(unique.to_owned()))).collect() }
        }
        _ => Command::Delete,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;

    #[test]
    fn no_key_gets_more_than_can_be_searched() {
        let (mut keys, mut dice) = (Keys::new("run"), StdRng::seed_from_u64(1));
        let mut counts: BTreeMap<Key, usize> = BTreeMap::new();
        for n in 0..20_000 {
            let (key, _) = keys.next(n * 5_000, "v", &mut dice);
            *counts.entry(key).or_default() += 1;
        }
        let most = counts.values().max().copied().unwrap_or_default();
        assert!(most <= OPERATIONS, "{most}");
        assert!(counts.len() > 2 * SLOTS, "keys rotate");
    }

    #[test]
    fn a_key_says_how_it_is_read() {
        assert_eq!(reading(&Bytes::from_static(b"a:hash:3:0")), Command::HashGetAll);
        assert_eq!(reading(&Bytes::from_static(b"a:text:4:0")), Command::Get);
    }
}
