//! A keeper of a session: takes what its owner sends, in order, and says so (R7, R8).

use super::Engine;
use super::broken::BrokenRule;
use super::record::{Record, Slot};
use crate::view::{Member, MemberSet};
use crate::wire::{Message, PutKind};

impl Engine {
    /// The owner says what to hold.
    pub(super) fn handle_put(&mut self, from: Member, slot: &Slot, term: u64, seq: u64, kind: PutKind, holders: MemberSet) {
        self.clock = self.clock.max(term);
        let key = slot.1.clone();
        let held = self.sessions.get(slot).map(|record| (record.term, record.seq, record.owner()));
        if let Some((held_term, _, owner)) = held
            && (held_term > term || owner == self.me)
        {
            self.alarm(format!("{from:?} sent a put of term {term} for a session that is held in term {held_term} of {owner:?}"));
            return;
        }
        let version = held.map(|(term, seq, _)| (term, seq));
        let is_duplicate = version.is_some_and(|version| version.0 == term && version.1 >= seq);
        let fits = is_duplicate
            || match &kind {
                PutKind::Image(_) => true,
                PutKind::Delta(_) => version == Some((term, seq.wrapping_sub(1))),
                PutKind::Retag { term, seq } => version == Some((*term, *seq)),
            };
        if !fits {
            self.send_to(from, Message::Need { key, term });
            return;
        }
        if held.is_none() {
            self.sessions.insert(slot, Record::kept(from, term, seq, holders));
        }
        let Some(record) = self.sessions.get_mut(slot) else { return };
        let mut growth = 0;
        if !is_duplicate {
            growth = match kind {
                PutKind::Image(image) => record.take_image(image.map(|image| self.broken.received(image)), self.now),
                PutKind::Delta(change) => record.apply(change, self.now),
                PutKind::Retag { .. } => 0,
            };
            (record.term, record.seq) = (term, seq);
            record.set_owner(from);
        }
        record.holders = holders;
        let seq = record.seq;
        self.sessions.grow(growth);
        if self.pointers.get(slot).is_some_and(|pointer| pointer.term <= term) {
            self.pointers.remove(slot);
        }
        self.send_to(from, Message::Ack { key, term, seq });
        self.release_home_queue(slot);
    }

    /// The owner says to hold it no longer.
    pub(super) fn handle_drop(&mut self, from: Member, slot: &Slot, term: u64) {
        if let Some(record) = self.sessions.get(slot).filter(|record| record.term <= term) {
            if record.is_owned {
                let held = record.term;
                self.alarm(format!("{from:?} told the owner of a session, in term {held}, to drop it in term {term}"));
                return;
            }
            self.sessions.remove(slot);
        }
        if !self.broken.is(BrokenRule::DropWithoutPointer) {
            self.point_to(from, slot, term);
        }
        self.send_to(from, Message::DropAck { key: slot.1.clone(), term });
    }
}
