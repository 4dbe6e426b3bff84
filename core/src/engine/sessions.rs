//! All sessions that a member holds, in the order of their positions. A million of them must not stop the member: what a new view means for a
//! record is found out when the record is next touched, and only those that are pending are touched at once.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Pending, Record, Slot};
use crate::Millis;
use crate::command::Key;
use crate::placement;
use crate::view::{MemberSet, NodeId, View};

/// So many views may come before all records know of the first of them; then they are told at once.
const MAX_BEHIND: usize = 1_000;

/// How many unused [`Pending`] are kept for the next session that needs one.
const SPARE: usize = 64;

/// The sessions of a member, and indexes of them.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    entries: BTreeMap<u64, Box<Entry>>,
    count: usize,
    owned: usize,
    /// Owned ones that count as sessions, and those of them that are deleted.
    counting: usize,
    dead: usize,
    /// What all of them take in memory.
    bytes: u64,
    /// Owned sessions that are pending.
    pending: BTreeSet<Slot>,
    /// The ends of life of owned sessions, and their positions.
    deadlines: BTreeSet<(Millis, u64)>,
    /// Owned sessions that are deleted and wait to be forgotten (R14).
    pub(super) tombstones: BTreeSet<Slot>,
    now: Present,
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    spare: Vec<Box<Pending>>,
}

/// What a session takes beside its key and its content, in bytes; docs/performance.md has the measurement.
const OVERHEAD: u64 = 240;

/// A session, and the next one at the same position, which is rare.
#[derive(Debug)]
struct Entry {
    next: Option<Box<Entry>>,
    key: Box<[u8]>,
    record: Record,
    /// There only at the owner.
    pending: Option<Box<Pending>>,
}

const _: () = assert!(size_of::<Entry>() <= 128, "there may be millions");

/// What records have to know of the views that came since they were touched.
#[derive(Debug, Default)]
struct Present {
    /// Counts views.
    view: u16,
    /// The Full members.
    full: MemberSet,
    /// Who went with each of the last views, the latest one last.
    gone: Vec<MemberSet>,
    /// A broken rule.
    keeps_forgetting: bool,
}

impl Present {
    /// Takes the gone out of a record.
    fn tell(&self, position: u64, entry: &mut Entry) {
        let behind = usize::from(self.view.wrapping_sub(entry.record.seen));
        if behind == 0 {
            return;
        }
        let missed = &self.gone[self.gone.len().saturating_sub(behind)..];
        let gone = missed.iter().fold(MemberSet::EMPTY, |all, gone| all.union(*gone));
        let record = &mut entry.record;
        record.seen = self.view;
        record.holders = record.holders.without(gone);
        if !record.is_owned {
            return;
        }
        // Its report tells the new home.
        record.known_to = placement::home(self.full, position);
        if let Some(pending) = &mut entry.pending {
            pending.holders.retain(|holder| !gone.contains(holder.id));
            pending.forgetting &= self.keeps_forgetting;
            pending.settle = None;
            pending.confirming.take_if(|(giver, _)| gone.contains(*giver));
            pending.told = record.known_to;
        }
    }
}

impl Entry {
    fn find(&self, key: &[u8]) -> Option<&Entry> {
        let mut entry = self;
        while *entry.key != *key {
            entry = entry.next.as_deref()?;
        }
        Some(entry)
    }

    fn find_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let mut entry = self;
        while *entry.key != *key {
            entry = entry.next.as_deref_mut()?;
        }
        Some(entry)
    }
}

/// A session to look at.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) position: u64,
    key: &'a [u8],
    pub(super) record: &'a Record,
    pub(super) pending: Option<&'a Pending>,
}

impl Seen<'_> {
    pub(super) fn slot(&self) -> Slot {
        (self.position, Key::copy_from_slice(self.key))
    }

    pub(super) fn key(&self) -> &[u8] {
        self.key
    }

    /// Whether the last write, a delete, cannot come to nothing any more: all that may hold the session had acknowledged it, here or at whoever handed it over.
    pub(super) fn is_gone(&self) -> bool {
        self.pending.is_none_or(|pending| pending.stable.max(pending.given) >= Some(self.record.seq))
    }

    /// Whether `home` has a copy of what this member owns.
    pub(super) fn is_held_by(&self, home: NodeId) -> bool {
        let has_copy =
            |pending: &Pending| pending.holders.iter().any(|holder| holder.id == home && !holder.dropping && holder.acked.is_some());
        self.pending.map_or(self.record.holders.contains(home), has_copy)
    }

    /// Who may hold it beside this member, where this is the owner; else all who do.
    pub(super) fn holders(&self) -> MemberSet {
        self.pending.map_or(self.record.holders, Pending::set)
    }
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many sessions this member owns: neither deleted ones nor keys that do not count.
    pub(super) fn active(&self) -> usize {
        self.counting - self.dead
    }

    /// What all of them take in memory, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The same, added up anew.
    pub(super) fn recounted_bytes(&self) -> u64 {
        self.from(0).map(|seen| weight(seen.key, seen.record)).sum()
    }

    /// The content of one of them takes so many bytes more.
    pub(super) fn grow(&mut self, growth: i64) {
        self.bytes = self.bytes.saturating_add_signed(growth);
    }

    /// How many of them this member owns, deleted ones included.
    pub(super) fn owned_count(&self) -> usize {
        self.owned
    }

    fn entry(&self, slot: &Slot) -> Option<&Entry> {
        self.entries.get(&slot.0)?.find(&slot.1)
    }

    fn entry_mut(&mut self, slot: &Slot) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&slot.0)?.find_mut(&slot.1)?;
        self.now.tell(slot.0, entry);
        Some(entry)
    }

    /// What is held of a session. Those who are gone may not be taken out of its holders yet.
    pub(super) fn get(&self, slot: &Slot) -> Option<&Record> {
        self.entry(slot).map(|entry| &entry.record)
    }

    pub(super) fn contains(&self, slot: &Slot) -> bool {
        self.entry(slot).is_some()
    }

    /// A session with all that is known of it, likewise.
    pub(super) fn look(&self, slot: &Slot) -> Option<Seen<'_>> {
        let entry = self.entry(slot)?;
        Some(Seen { position: slot.0, key: &entry.key, record: &entry.record, pending: entry.pending.as_deref() })
    }

    pub(super) fn get_mut(&mut self, slot: &Slot) -> Option<&mut Record> {
        self.entry_mut(slot).map(|entry| &mut entry.record)
    }

    /// A session that this member owns, with what is pending, if anything is.
    pub(super) fn owned(&mut self, slot: &Slot) -> Option<(&mut Record, Option<&mut Pending>)> {
        let entry = self.entry_mut(slot).filter(|entry| entry.record.is_owned)?;
        Some((&mut entry.record, entry.pending.as_deref_mut()))
    }

    /// A session that this member owns, if nothing is pending.
    pub(super) fn at_rest(&mut self, position: u64, key: &[u8]) -> Option<&mut Record> {
        let entry = self.entries.get_mut(&position)?.find_mut(key)?;
        if !entry.record.is_owned || entry.pending.is_some() {
            return None;
        }
        self.now.tell(position, entry);
        Some(&mut entry.record)
    }

    /// A session that this member owns, if anything is pending.
    pub(super) fn pending(&mut self, slot: &Slot) -> Option<(&mut Record, &mut Pending)> {
        let (record, pending) = self.owned(slot)?;
        Some((record, pending?))
    }

    /// A session that this member owns, about to be pending.
    pub(super) fn begin(&mut self, slot: &Slot) -> Option<(&mut Record, &mut Pending)> {
        let entry = self.entries.get_mut(&slot.0)?.find_mut(&slot.1)?;
        self.now.tell(slot.0, entry);
        if !entry.record.is_owned {
            return None;
        }
        let spare = &mut self.spare;
        let index = &mut self.pending;
        let pending = entry.pending.get_or_insert_with(|| {
            index.insert(slot.clone());
            let mut pending = spare.pop().unwrap_or_default();
            pending.resume(entry.record.holders, entry.record.seq);
            pending
        });
        Some((&mut entry.record, pending))
    }

    /// Nothing is pending any more.
    pub(super) fn rest(&mut self, slot: &Slot) {
        let Some(entry) = self.entry_mut(slot) else { return };
        if let Some(pending) = entry.pending.take() {
            entry.record.holders = pending.set();
            self.pending.remove(slot);
            self.put_back(pending);
        }
    }

    fn put_back(&mut self, mut pending: Box<Pending>) {
        if self.spare.len() < SPARE {
            pending.clear();
            self.spare.push(pending);
        }
    }

    /// A session that this member did not hold.
    pub(super) fn insert(&mut self, slot: &Slot, record: Record) {
        debug_assert!(!record.is_owned, "sessions are owned by `own`");
        self.remove(slot);
        let key: Box<[u8]> = Box::from(&slot.1[..]);
        let next = self.entries.remove(&slot.0);
        let mut entry = Box::new(Entry { next, key, record, pending: None });
        entry.record.seen = self.now.view;
        self.bytes += weight(&entry.key, &entry.record);
        self.entries.insert(slot.0, entry);
        self.count += 1;
    }

    /// Holds a session no longer.
    pub(super) fn remove(&mut self, slot: &Slot) {
        if self.get(slot).is_some_and(|record| record.is_owned) {
            self.disown(slot);
        }
        let Some(mut first) = self.entries.remove(&slot.0) else { return };
        let mut rest = None;
        // All at this position but the one that goes.
        loop {
            let next = first.next.take();
            if *first.key == *slot.1 {
                self.count -= 1;
                self.bytes = self.bytes.saturating_sub(weight(&first.key, &first.record));
            } else {
                first.next = rest;
                rest = Some(first);
            }
            match next {
                Some(entry) => first = entry,
                None => break,
            }
        }
        if let Some(rest) = rest {
            self.entries.insert(slot.0, rest);
        }
    }

    /// This member owns it from now on, and nothing is known of what `holders` have. It `counts` as a session, or does not.
    pub(super) fn own(&mut self, slot: &Slot, counts: bool, pending: Pending) {
        let Some(entry) = self.entries.get_mut(&slot.0).and_then(|entry| entry.find_mut(&slot.1)) else { return };
        self.now.tell(slot.0, entry);
        if !std::mem::replace(&mut entry.record.is_owned, true) {
            self.owned += 1;
            entry.record.counts = counts;
            self.counting += usize::from(counts);
        }
        entry.pending = Some(Box::new(pending));
        self.pending.insert(slot.clone());
    }

    /// This member owns it no longer; returns what was pending.
    pub(super) fn disown(&mut self, slot: &Slot) -> Option<Pending> {
        let entry = self.entry_mut(slot).filter(|entry| entry.record.is_owned)?;
        entry.record.is_owned = false;
        let counts = usize::from(std::mem::take(&mut entry.record.counts));
        entry.record.foreign = None;
        let ends = entry.record.expires_at();
        let pending = entry.pending.take();
        self.owned -= 1;
        self.counting -= counts;
        self.pending.remove(slot);
        if self.tombstones.remove(slot) {
            self.dead -= counts;
        }
        self.unindex(slot.0, ends);
        pending.map(|pending| *pending)
    }

    /// Keeps the indexes in step with an owned session, whose life was to end at `before`.
    pub(super) fn index(&mut self, slot: &Slot, before: Option<Millis>) {
        let Some(record) = self.get(slot).filter(|record| record.is_owned) else { return };
        let (ends, is_tombstone, counts) = (record.expires_at(), record.value.is_none(), usize::from(record.counts));
        self.retime(slot.0, before, ends);
        if !is_tombstone && self.tombstones.remove(slot) {
            self.dead -= counts;
        } else if is_tombstone && self.tombstones.insert(slot.clone()) {
            self.dead += counts;
        }
    }

    /// The life of an owned session, which was to end at `before`, ends at `ends`.
    pub(super) fn retime(&mut self, position: u64, before: Option<Millis>, ends: Option<Millis>) {
        if before != ends {
            self.unindex(position, before);
        }
        self.deadlines.extend(ends.map(|at| (at, position)));
    }

    fn unindex(&mut self, position: u64, ends: Option<Millis>) {
        // Another one at this position may end at the same time. What is there for nothing ends nothing.
        let is_alone = || self.entries.get(&position).is_none_or(|entry| entry.next.is_none());
        if let Some(at) = ends.filter(|_| is_alone()) {
            self.deadlines.remove(&(at, position));
        }
    }

    /// Owned sessions whose lives are over: those of the next position where there are any, which is out of the index then.
    pub(super) fn next_expired(&mut self, now: Millis) -> Option<Vec<Slot>> {
        let (at, position) = *self.deadlines.first().filter(|(at, _)| *at <= now)?;
        self.deadlines.remove(&(at, position));
        let over = |seen: &Seen<'_>| seen.record.is_owned && seen.record.expires_at().is_some_and(|at| at <= now);
        Some(self.at(position).filter(over).map(|seen| seen.slot()).collect())
    }

    fn at(&self, position: u64) -> impl Iterator<Item = Seen<'_>> {
        chain(position, self.entries.get(&position).map(|entry| &**entry))
    }

    /// All from a position on, without telling them who is gone.
    pub(super) fn from(&self, position: u64) -> impl Iterator<Item = Seen<'_>> {
        self.entries.range(position..).flat_map(|(position, entry)| chain(*position, Some(entry)))
    }

    /// Owned sessions that are pending.
    pub(super) fn all_pending(&self) -> impl Iterator<Item = (&Slot, &Pending)> {
        self.pending.iter().filter_map(|slot| Some((slot, self.entry(slot)?.pending.as_deref()?)))
    }

    /// Visits at most `most` positions from `position` on; returns where to go on.
    pub(super) fn walk(&mut self, position: u64, most: usize, mut visit: impl FnMut(Seen<'_>)) -> Option<u64> {
        for (visited, (position, first)) in self.entries.range_mut(position..).enumerate() {
            if visited == most {
                return Some(*position);
            }
            let mut next = Some(first);
            while let Some(entry) = next {
                self.now.tell(*position, entry);
                visit(Seen { position: *position, key: &entry.key, record: &entry.record, pending: entry.pending.as_deref() });
                next = entry.next.as_mut();
            }
        }
        None
    }

    /// A view without `gone` was adopted.
    pub(super) fn adopt(&mut self, view: &View, gone: MemberSet, keeps_forgetting: bool) {
        if self.now.gone.len() >= MAX_BEHIND {
            self.walk(0, usize::MAX, |_| {});
            self.now.gone.clear();
        }
        self.now.view = self.now.view.wrapping_add(1);
        self.now.gone.push(gone);
        self.now.full = view.full();
        self.now.keeps_forgetting = keeps_forgetting;
    }

    /// All records have been told who is gone.
    pub(super) fn all_told(&mut self) {
        self.now.gone.clear();
    }
}

/// What a session takes in memory, in bytes.
fn weight(key: &[u8], record: &Record) -> u64 {
    OVERHEAD + key.len() as u64 + record.weight()
}

fn chain<'a>(position: u64, first: Option<&'a Entry>) -> impl Iterator<Item = Seen<'a>> {
    std::iter::successors(first, |entry| entry.next.as_deref()).map(move |entry| Seen {
        position,
        key: &entry.key,
        record: &entry.record,
        pending: entry.pending.as_deref(),
    })
}

#[cfg(test)]
mod tests;
