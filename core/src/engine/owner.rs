//! The owner of a session: runs its commands in order, sends each write to all holders, and answers when all of them have it (R7, R8).

use super::broken::BrokenRule;
use super::home::Queued;
use super::record::{self, Holder, Slot, Waiter};
use super::{Acknowledge, Engine, Event, Output};
use crate::Millis;
use crate::command::{CommandError, Reply};
use crate::value::{self, Change};
use crate::view::{Member, MemberSet, NodeId};
use crate::wire::{Message, PutKind};

/// After so many commands in a row from the same other member its user has moved there, and the session follows.
const MIGRATE_AFTER: u32 = 2;

/// A move makes the next one harder for so long, in milliseconds, and so many of them together.
const MOVE_MEMORY: Millis = 10_000;
const MAX_MOVES: u8 = 6;

/// So many sessions follow their users at once: when a member comes back, all of its users do.
const MIGRATIONS: usize = 64;

impl Engine {
    /// Runs `queued` on a session that this member owns.
    pub(super) fn run(&mut self, slot: &Slot, queued: Queued) {
        if !self.has_lease() {
            return self.stall(slot, queued);
        }
        let Some(record) = self.sessions.get_mut(slot) else { return };
        let Some(own) = record.own.as_deref_mut() else { return };
        // Whoever asked has given up on these: they would only pile up while a holder is silent.
        own.waiters.retain(|waiter| waiter.deadline > self.now);
        own.queue.retain(|queued| queued.deadline > self.now);
        if own.frozen.is_some() {
            own.queue.push(queued);
            return;
        }
        own.forgetting = false;
        if record.value.as_ref().is_some_and(|value| value.is_expired(self.now)) {
            self.expire(slot);
        }
        let Some(record) = self.sessions.get(slot) else { return };
        let (reply, change) = value::decide(record.value.as_ref(), &queued.command, self.now, self.config.max_bytes);
        if change.is_none() && self.broken.is(BrokenRule::ReadEarly) {
            self.answer(queued.origin, queued.request, reply);
            return;
        }
        if let Some(change) = change {
            if let Some(error) = self.refusal(slot) {
                self.answer(queued.origin, queued.request, Reply::Error(error));
                return;
            }
            let is_touch = self.sessions.get_mut(slot).is_some_and(|record| record.prolong(&change, self.now));
            if is_touch {
                self.index(slot);
            } else {
                self.write(slot, change);
            }
        }
        let Some(record) = self.sessions.get_mut(slot) else { return };
        let Some(own) = record.own.as_deref_mut() else { return };
        own.waiters.push_back(Waiter { origin: queued.origin, request: queued.request, seq: record.seq, reply, deadline: queued.deadline });
        let moved = own.count_access(self.me, queued.origin, self.now);
        self.maintain(slot);
        if moved && self.transfers.len() < MIGRATIONS {
            if let Some(own) = self.sessions.get_mut(slot).and_then(|record| record.own.as_deref_mut()) {
                own.moves = (own.moves + 1).min(MAX_MOVES);
            }
            self.start_handoff(slot, queued.origin);
        }
    }

    /// Orders one change: applies it here and sends it to all holders.
    pub(super) fn write(&mut self, slot: &Slot, change: Change) {
        let Some(record) = self.sessions.get_mut(slot) else { return };
        if record.own.is_none() {
            return;
        }
        record.apply(change.clone(), self.now);
        record.seq += 1;
        let Some(own) = record.own.as_deref_mut() else { return };
        let mut everybody = own.set();
        everybody.insert(self.me.id);
        let (term, seq) = (record.term, record.seq);
        let receivers: Vec<NodeId> = own
            .holders
            .iter_mut()
            .filter(|holder| !holder.dropping)
            .map(|holder| {
                holder.outstanding += 1;
                holder.id
            })
            .collect();
        for id in receivers {
            let kind = PutKind::Delta(change.clone());
            self.send(id, Message::Put { key: slot.1.clone(), term, seq, kind, holders: everybody });
            if self.config.acknowledge == Acknowledge::Received {
                self.watch_receipt(id, slot, term, seq);
            }
        }
        self.index(slot);
    }

    /// Does whatever the state of an owned session calls for: adds holders, answers what is acknowledged, confirms a transfer, releases holders
    /// that are no longer wanted, forgets, hands off. Call it after every change; it does nothing twice.
    pub(super) fn maintain(&mut self, slot: &Slot) {
        let (Some(view), me, now) = (self.current(), self.me, self.now) else { return };
        let Some(record) = self.sessions.get_mut(slot) else { return };
        let Some(own) = record.own.as_deref_mut() else { return };
        let key = &slot.1;
        let (term, seq) = (record.term, record.seq);
        let mut sends: Vec<(NodeId, Message)> = Vec::new();

        let want = if own.forgetting { MemberSet::EMPTY } else { self.layout.want(slot.0, me.id) };
        let before = own.min_acked(own.set(), seq);
        let added = want.without(own.set());
        own.holders.extend(added.iter().map(|id| Holder { imaged: true, ..Holder::new(id) }));
        let mut everybody = own.set();
        everybody.insert(me.id);
        for id in added.iter() {
            let kind = PutKind::Image(record::image(&record.value, record.granted, now));
            sends.push((id, Message::Put { key: key.clone(), term, seq, kind, holders: everybody }));
        }

        // A home without a copy knows of a new owner before that counts as one (R17).
        let home = self.layout.home(slot.0);
        let is_known = home.is_none_or(|home| home == me.id || own.is_known_to(home) || self.given_up.contains(home));
        if let Some(home) = home.filter(|home| !is_known && own.told != Some(*home) && !own.set().contains(*home)) {
            own.told = Some(home);
            sends.push((home, Message::Own { key: key.clone(), term }));
        }
        let acked = own.min_acked(own.set(), seq).filter(|_| is_known);
        let answered = match self.config.acknowledge {
            Acknowledge::None => Some(seq),
            Acknowledge::Received => own.min_received(own.set().without(self.given_up), seq).filter(|_| is_known),
            Acknowledge::Applied if self.given_up.is_empty() => acked,
            Acknowledge::Applied => own.min_acked(own.set().without(self.given_up), seq).filter(|_| is_known),
        };
        let all = if self.broken.is(BrokenRule::NoReplacementWait) { before } else { answered };
        own.stable = own.stable.max(all);
        let mut answers = Vec::new();
        while let Some(waiter) = own.waiters.pop_front_if(|waiter| own.stable >= Some(waiter.seq)) {
            answers.push(waiter);
        }
        if (acked >= Some(seq) || self.broken.is(BrokenRule::ConfirmTransferEarly))
            && let Some(giver) = own.giver.take()
            && view.has(giver)
        {
            sends.push((giver.id, Message::TransferAck { key: key.clone(), term }));
        }
        let settle = *own.settle.get_or_insert(seq);
        let settled = acked >= Some(settle);

        let expired = own.expiring.take_if(|seq| own.stable >= Some(*seq));

        let is_held = own.min_acked(want, seq) >= Some(seq) && own.stable >= Some(seq);
        if is_held || self.broken.is(BrokenRule::DropBeforeAck) {
            for holder in own.holders.iter_mut().filter(|holder| !holder.dropping && !want.contains(holder.id)) {
                holder.dropping = true;
                holder.acked = None;
                sends.push((holder.id, Message::Drop { key: key.clone(), term }));
            }
        }
        if self.broken.is(BrokenRule::DropWithoutWait) || (own.forgetting && self.broken.is(BrokenRule::ForgetEarly)) {
            own.holders.retain(|holder| !holder.dropping);
        }
        let forgotten = own.forgetting && own.holders.is_empty();
        let is_quiet = if self.broken.is(BrokenRule::HandoffWithoutQuiet) {
            own.waiters.is_empty() && own.stable >= Some(seq) && !own.holders.iter().any(|holder| holder.dropping)
        } else if self.broken.is(BrokenRule::ImagePerNeed) {
            own.waiters.is_empty() && own.min_acked(own.set(), seq) >= Some(seq) && !own.holders.iter().any(|holder| holder.dropping)
        } else {
            own.is_quiet(seq)
        };
        let handoff = own.frozen.filter(|_| is_quiet);

        for (to, message) in sends {
            self.send(to, message);
        }
        for waiter in answers {
            self.answer(waiter.origin, waiter.request, waiter.reply);
        }
        if expired.is_some() {
            self.out(Output::Event(Event::Expired { key: slot.1.clone() }));
        }
        if settled || forgotten {
            self.unsettled.remove(slot);
        }
        if forgotten {
            self.forget(slot);
        } else if let Some(target) = handoff {
            self.hand_off(slot, target);
        }
    }

    /// Answers whoever asked: a client of this member, or another member.
    pub(super) fn answer(&mut self, origin: Member, request: u64, reply: Reply) {
        if origin == self.me {
            self.complete(request, reply);
        } else {
            self.send_to(origin, Message::Answer { request, reply });
        }
    }

    /// Refuses what would have to be kept for a member that takes nothing: a client may ask again, memory may not grow.
    pub(super) fn link_backlog(&self, id: NodeId) -> Option<CommandError> {
        let bytes = self.links.get(&id)?.unacked_bytes;
        let limit = if self.broken.is(BrokenRule::NoBacklogLimit) { u64::MAX } else { self.config.queue_bytes };
        (bytes > limit).then_some(CommandError::Backlog { bytes, limit })
    }

    /// A holder has acknowledged.
    pub(super) fn handle_ack(&mut self, from: Member, slot: &Slot, term: u64, seq: u64) {
        let Some(record) = self.sessions.get_mut(slot).filter(|record| record.term == term) else { return };
        let Some(holder) = record.own.as_deref_mut().and_then(|own| own.active(from.id)) else { return };
        holder.acked = holder.acked.max(Some(seq));
        holder.imaged = false;
        holder.outstanding = holder.outstanding.saturating_sub(1);
        self.maintain(slot);
    }

    /// A holder has received a write, whatever it made of it.
    pub(super) fn handle_receipt(&mut self, from: NodeId, slot: &Slot, term: u64, seq: u64) {
        let Some(record) = self.sessions.get_mut(slot).filter(|record| record.term == term) else { return };
        let Some(holder) = record.own.as_deref_mut().and_then(|own| own.active(from)) else { return };
        holder.received = holder.received.max(Some(seq));
        self.maintain(slot);
    }

    /// A holder could not use a put: it gets an image, one at a time.
    pub(super) fn handle_need(&mut self, from: Member, slot: &Slot, term: u64) {
        let (me, now) = (self.me, self.now);
        let Some(record) = self.sessions.get_mut(slot).filter(|record| record.term == term) else { return };
        let Some(own) = record.own.as_deref_mut() else { return };
        let mut everybody = own.set();
        everybody.insert(me.id);
        let Some(holder) = own.active(from.id) else { return };
        holder.outstanding = holder.outstanding.saturating_sub(1);
        if !holder.imaged || self.broken.is(BrokenRule::ImagePerNeed) {
            holder.imaged = true;
            holder.outstanding += 1;
            let kind = PutKind::Image(record::image(&record.value, record.granted, now));
            let seq = record.seq;
            self.send(from.id, Message::Put { key: slot.1.clone(), term, seq, kind, holders: everybody });
        }
    }

    /// A holder has dropped its copy.
    pub(super) fn handle_drop_ack(&mut self, from: Member, slot: &Slot, term: u64) {
        let home = self.layout.home(slot.0);
        let Some(record) = self.sessions.get_mut(slot).filter(|record| record.term == term) else { return };
        let Some(own) = record.own.as_deref_mut() else { return };
        // A home that drops its copy remembers the owner.
        if own.holders.iter().any(|holder| holder.id == from.id && holder.dropping) {
            own.known_to = own.known_to.or(Some(from.id).filter(|id| home == Some(*id)));
        }
        own.holders.retain(|holder| !(holder.id == from.id && holder.dropping));
        self.maintain(slot);
    }

    /// Ends a session whose time is over.
    fn expire(&mut self, slot: &Slot) {
        self.write(slot, Change::Delete);
        if let Some(record) = self.sessions.get_mut(slot)
            && let Some(own) = record.own.as_deref_mut()
        {
            own.expiring = Some(record.seq);
        }
    }

    /// The home, which has no copy, knows that this member owns a session.
    pub(super) fn handle_own_ack(&mut self, from: Member, slot: &Slot, term: u64) {
        let Some(record) = self.sessions.get_mut(slot).filter(|record| record.term == term) else { return };
        let Some(own) = record.own.as_deref_mut().filter(|own| own.told == Some(from.id)) else { return };
        own.known_to = Some(from.id);
        self.maintain(slot);
    }

    /// Deletes what is at the end of its life (R18), as a write like any other.
    pub(super) fn expire_due(&mut self) {
        while let Some((at, slot)) = self.deadlines.first().cloned() {
            if at > self.now || !self.has_lease() {
                return;
            }
            let own = self.sessions.get_mut(&slot).and_then(|record| record.own.as_deref_mut());
            match own {
                // The new owner will expire it.
                Some(own) if own.frozen.is_some() => {
                    own.deadline = None;
                    self.deadlines.remove(&(at, slot));
                }
                _ => {
                    self.expire(&slot);
                    self.maintain(&slot);
                    self.deadlines.remove(&(at, slot));
                }
            }
        }
    }

    /// Keeps the indexes of deadlines and tombstones in step with an owned session.
    pub(super) fn index(&mut self, slot: &Slot) {
        let Some(record) = self.sessions.get_mut(slot) else { return };
        let Some(own) = record.own.as_deref_mut() else { return };
        let deadline = record.value.as_ref().and_then(|value| value.expires_at);
        if own.deadline != deadline {
            if let Some(old) = own.deadline {
                self.deadlines.remove(&(old, slot.clone()));
            }
            if let Some(new) = deadline {
                self.deadlines.insert((new, slot.clone()));
            }
            own.deadline = deadline;
        }
        if record.value.is_none() {
            self.tombstones.insert(slot.clone());
        } else {
            self.tombstones.remove(slot);
        }
    }

    /// Takes a session that is no longer owned out of the indexes.
    pub(super) fn unindex(&mut self, slot: &Slot, deadline: Option<crate::Millis>) {
        if let Some(at) = deadline {
            self.deadlines.remove(&(at, slot.clone()));
        }
        self.tombstones.remove(slot);
        self.unsettled.remove(slot);
        self.owned -= 1;
    }

    fn forget(&mut self, slot: &Slot) {
        self.resolve_now(slot);
        let Some(record) = self.sessions.remove(slot) else { return };
        self.unindex(slot, record.own.and_then(|own| own.deadline));
    }
}

impl super::record::Owning {
    /// Whether the session's user has moved to `origin`. Each move makes the next one harder for a while, so that a user of two members in turn does
    /// not drag the session to and fro.
    fn count_access(&mut self, me: Member, origin: Member, now: Millis) -> bool {
        if origin == me {
            self.foreign = None;
            return false;
        }
        let count = match self.foreign {
            Some((id, count)) if id == origin.id => count + 1,
            _ => 1,
        };
        self.foreign = Some((origin.id, count));
        let calm = (now.saturating_sub(self.moved_at) / MOVE_MEMORY).min(u8::MAX.into()) as u8;
        let moves = self.moves.saturating_sub(calm).min(MAX_MOVES);
        self.moves = self.moves.min(moves);
        count >= MIGRATE_AFTER << moves
    }
}

impl Engine {
    /// Emits an answer for a client of this member.
    pub(super) fn reply(&mut self, request: u64, reply: Reply) {
        self.out(Output::Reply { request, reply });
    }
}
