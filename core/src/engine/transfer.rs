//! Ownership changes hands: by consent (handoff), for a session that is new (grant), or after its owner was lost (appointment). The giver stops
//! owning when it sends, and remembers the transfer until the new owner has confirmed it (R13, R16).

use super::Engine;
use super::broken::BrokenRule;
use super::home::{Pointer, Transfer};
use super::record::{Holder, Pending, Record, Slot};
use crate::value::Image;
use crate::view::{Member, MemberSet, MemberState};
use crate::wire::{Message, PutKind};

/// A session that is handed to this member.
pub(super) struct Handover {
    pub(super) term: u64,
    /// The term in which the holders have it.
    pub(super) prior_term: u64,
    pub(super) seq: u64,
    pub(super) image: Option<Image>,
    pub(super) holders: MemberSet,
    pub(super) moves: u8,
}

/// How many sessions a leaving member hands off at once.
const LEAVE_WINDOW: usize = 256;

impl Engine {
    /// Stops running commands of a session until nothing of it is under way, then hands it to `target`.
    pub(super) fn start_handoff(&mut self, slot: &Slot, target: Member) {
        let Some(view) = self.current() else { return };
        if target == self.me || !view.has(target) || !view.is_full(target.id) {
            return;
        }
        let Some((_, pending)) = self.sessions.begin(slot) else { return };
        if pending.frozen.is_none() && !pending.forgetting && pending.is_confirmed() {
            pending.frozen = Some(target);
            self.maintain(slot);
        }
    }

    /// Whether whoever gave a session that this member owns knows that it arrived.
    pub(super) fn may_be_given(&mut self, slot: &Slot) -> bool {
        self.sessions.owned(slot).is_some_and(|(_, pending)| pending.is_none_or(|pending| pending.is_confirmed()))
    }

    /// Gives away a session of which nothing is under way.
    pub(super) fn hand_off(&mut self, slot: &Slot, target: Member) {
        let now = self.now;
        let unsettled = self.sweep.leaves(slot);
        let Some(pending) = self.sessions.disown(slot) else { return };
        let Some(record) = self.sessions.get_mut(slot) else { return };
        let prior_term = record.term;
        let term = self.clock.max(prior_term) + 1;
        self.clock = term;
        let mut holders = if self.broken.is(BrokenRule::HandoffWithoutHolders) { MemberSet::EMPTY } else { pending.set() };
        holders.insert(self.me.id);
        record.term = term;
        record.set_owner(target);
        record.holders = holders.union(MemberSet::of(target.id));
        let (seq, moves, image) = (record.seq, record.moves, record.image(now));
        let key = slot.1.clone();
        self.transfers.insert(key.clone(), Transfer { term, owner: target, unsettled });
        self.send_to(target, Message::Handoff { key, term, prior_term, seq, image, holders, moves });
        for queued in pending.queue {
            self.redirect(queued.origin, queued.request, Some(target.id));
        }
    }

    /// Another member gives a session to this one.
    pub(super) fn handle_handoff(&mut self, from: Member, slot: &Slot, handover: Handover) {
        let Handover { term, prior_term, seq, image, mut holders, moves } = handover;
        self.clock = self.clock.max(term);
        if self.sessions.get(slot).is_some_and(|record| record.term >= term || record.is_owned) {
            self.alarm(format!("{from:?} handed off a session in term {term}, which is held in a later one"));
            return;
        }
        holders.insert(from.id);
        let mut record = Record::kept(self.me, term, seq, MemberSet::EMPTY);
        record.value = image.map(|image| self.broken.received(image).into_value(self.now));
        record.moved(moves, self.now);
        self.sessions.insert(slot, record);
        self.become_owner(slot, holders, prior_term, Pending { giver: Some(from), given: Some(seq), ..Pending::default() });
    }

    /// This member holds the best copy of an orphan, and owns it from now on.
    pub(super) fn handle_appoint(
        &mut self,
        from: Option<Member>,
        slot: &Slot,
        term: u64,
        (prior_term, prior_seq): (u64, u64),
        holders: MemberSet,
    ) {
        let Some(view) = self.current() else { return };
        let Some(record) = self.sessions.get_mut(slot) else {
            return self.alarm(format!("appointed in term {term} by {from:?} without a copy"));
        };
        if (record.term, record.seq) != (prior_term, prior_seq) || view.has(record.owner()) {
            let held = (record.term, record.seq, record.owner());
            return self.alarm(format!("appointed by {from:?} for version {prior_term}.{prior_seq}, but {held:?} is held"));
        }
        record.term = term;
        record.set_owner(self.me);
        record.inherit();
        record.known_to = from.map(|from| from.id);
        let told = record.known_to;
        self.clock = self.clock.max(term);
        self.sweep.come_back_to(slot);
        self.become_owner(slot, holders, prior_term, Pending { giver: from, told, deferred: true, ..Pending::default() });
    }

    /// Puts the mark of the new term on all copies of a session that this member just came to own.
    fn become_owner(&mut self, slot: &Slot, holders: MemberSet, prior_term: u64, pending: Pending) {
        let Some(view) = self.current() else { return };
        let holders = holders.and(view.all()).except(self.me.id);
        let Some((term, seq)) = self.sessions.get(slot).map(|record| (record.term, record.seq)) else { return };
        let counts = self.follows(&slot.1);
        self.sessions.own(slot, counts, Pending { holders: holders.iter().map(Holder::new).collect(), ..pending });
        self.pointers.remove(slot);
        let mut everybody = holders;
        everybody.insert(self.me.id);
        for id in holders.iter() {
            let kind = PutKind::Retag { term: prior_term, seq };
            self.send(id, Message::Put { key: slot.1.clone(), term, seq, kind, holders: everybody });
        }
        self.sessions.index(slot, None);
        self.maintain(slot);
        self.release_home_queue(slot);
    }

    /// This member owns a session that does not exist yet.
    pub(super) fn own_new(&mut self, slot: &Slot, term: u64, giver: Option<Member>) {
        self.clock = self.clock.max(term);
        if self.sessions.contains(slot) {
            return self.alarm(format!("granted in term {term} by {giver:?} a session that is held already"));
        }
        let told = giver.map(|giver| giver.id);
        let mut record = Record::kept(self.me, term, 0, MemberSet::EMPTY);
        record.known_to = told;
        self.sessions.insert(slot, record);
        let counts = self.follows(&slot.1);
        self.sessions.own(slot, counts, Pending { giver, told, ..Pending::default() });
        self.pointers.remove(slot);
        self.sessions.index(slot, None);
        self.maintain(slot);
        self.release_home_queue(slot);
    }

    /// The new owner is active.
    pub(super) fn handle_transfer_ack(&mut self, slot: &Slot, term: u64) {
        if self.transfers.get(&slot.1).is_some_and(|transfer| transfer.term == term) {
            self.transfers.remove(&slot.1);
        }
    }

    /// Appoints another member, and remembers it until it has confirmed.
    pub(super) fn appoint(&mut self, slot: &Slot, owner: Member, term: u64, (prior_term, prior_seq): (u64, u64), holders: MemberSet) {
        let key = slot.1.clone();
        self.pointers.insert(slot.clone(), Pointer { term, owner });
        self.transfers.insert(key.clone(), Transfer { term, owner, unsettled: true });
        self.send_to(owner, Message::Appoint { key, term, prior_term, prior_seq, holders });
    }

    /// A leaving member hands its sessions to their homes, some at a time.
    pub(super) fn hand_off_when_leaving(&mut self) {
        let Some(view) = self.current() else { return };
        let owns = self.sessions.owned_count() > 0;
        if view.state(self.me.id) != Some(MemberState::Leave) || !owns || self.transfers.len() >= LEAVE_WINDOW {
            return;
        }
        if self.links.values().any(|link| link.unacked_bytes > super::settle::WINDOW) {
            return;
        }
        // What cannot go now is come back to.
        let mut slots = Vec::new();
        let mut next = self.leaving;
        for (visited, seen) in self.sessions.from(next).enumerate() {
            next = seen.position;
            if slots.len() >= LEAVE_WINDOW || visited >= self.step {
                break;
            }
            next += 1;
            slots.extend(seen.record.is_owned.then(|| seen.slot()));
        }
        self.leaving = if next == self.leaving { 0 } else { next };
        for slot in slots {
            if let Some(home) = self.layout.home(slot.0).and_then(|id| view.member(id)) {
                self.start_handoff(&slot, home);
            }
        }
    }

    /// A deleted session goes home, and its home drops the tombstone everywhere when nobody can bring the session back (R14).
    pub(super) fn sweep_tombstones(&mut self) {
        let Some(view) = self.current() else { return };
        let slots: Vec<Slot> = self.sessions.tombstones.iter().take(LEAVE_WINDOW).cloned().collect();
        for slot in slots {
            let home = self.layout.home(slot.0).and_then(|id| view.member(id));
            let is_home = home == Some(self.me);
            let Some((record, pending)) = self.sessions.owned(&slot) else { continue };
            let now = self.now;
            let is_busy = |pending: &Pending| {
                let is_claimed = pending.claimed.is_some_and(|until| now < until);
                pending.frozen.is_some() || pending.forgetting || is_claimed || !pending.is_confirmed() || !pending.waiters.is_empty()
            };
            if pending.as_deref().is_some_and(is_busy) {
                continue;
            }
            let is_acknowledged = pending.is_none_or(|pending| pending.min_acked(pending.set(), record.seq) >= Some(record.seq));
            if let Some(home) = home.filter(|_| !is_home) {
                self.start_handoff(&slot, home);
            } else if self.barrier
                && (is_acknowledged || self.broken.is(BrokenRule::ForgetEarly))
                && let Some((_, pending)) = self.sessions.begin(&slot)
            {
                pending.forgetting = true;
                self.maintain(&slot);
            }
        }
    }
}
