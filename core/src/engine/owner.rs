//! The owner of a session: runs its commands in order, sends each write to all holders, and answers when all of them have it (R7, R8).

use super::broken::BrokenRule;
use super::home::Queued;
use super::record::{Holder, Record, Slot, Waiter};
use super::{Acknowledge, Engine, Event, Output};
use crate::Millis;
use crate::command::{Command, CommandError, Reply};
use crate::value::{self, Change, Notice, Notices};
use crate::view::{Member, MemberSet, NodeId};
use crate::wire::{Message, PutKind};

/// After so many commands in a row from the same other member its user has moved there, and the session follows.
const MIGRATE_AFTER: u8 = 2;

/// For so long a key that was claimed stays, in milliseconds: until others that are to be part of the same step are here, too.
const CLAIMED: Millis = 500;

/// A move makes the next one harder for so long, in seconds, and so many of them together.
const MOVE_MEMORY: u16 = 10;
const MAX_MOVES: u8 = 6;

impl Engine {
    /// Runs `queued` on a session that this member owns.
    pub(super) fn run(&mut self, slot: &Slot, queued: Queued) {
        if !self.has_lease() {
            return self.stall(slot, queued);
        }
        let Some((record, pending)) = self.sessions.owned(slot) else { return };
        if let Some(pending) = pending {
            // Whoever asked has given up on these: they would only pile up while a holder is silent.
            while pending.waiters.pop_front_if(|waiter| waiter.deadline <= self.now).is_some() {}
            pending.queue.retain(|queued| queued.deadline > self.now);
            if pending.frozen.is_some() {
                pending.queue.push(queued);
                return;
            }
            pending.forgetting = false;
            pending.claimed = None;
        }
        if record.value.as_ref().is_some_and(|value| value.is_expired(self.now)) {
            self.expire(slot);
        }
        let Some(record) = self.sessions.get(slot) else { return };
        let mut notices = Notices::wanted(self.wanted_notices);
        let value = record.value.as_ref();
        let queued = self.broken.asked(queued);
        let (reply, change) = value::decide_noticed(value, &queued.command, self.now, self.config.max_bytes, &mut notices);
        let notices = notices.into_list();
        if change.is_none() && self.broken.is(BrokenRule::ReadEarly) {
            self.answer(queued.origin, queued.request, reply);
            return;
        }
        if let Some(change) = change {
            if let Some(error) = self.refusal(slot, &change) {
                if self.broken.is(BrokenRule::RefuseAfterWriting) {
                    self.write(slot, change);
                    self.maintain(slot);
                }
                self.answer(queued.origin, queued.request, Reply::Error(error));
                return;
            }
            let Some(record) = self.sessions.get_mut(slot) else { return };
            let before = record.expires_at();
            if record.prolong(&change, self.now) {
                self.sessions.index(slot, before);
            } else {
                self.write(slot, change);
            }
        }
        let Some((record, pending)) = self.sessions.owned(slot) else { return };
        let is_claimed = queued.command == Command::Claim && record.value.is_none();
        let is_foreign = queued.origin != self.me;
        let moves = record.count_access(self.me, queued.origin, self.now) || (is_claimed && is_foreign);
        let Queued { origin, request, deadline, .. } = queued;
        match pending {
            Some(pending) => {
                pending.claimed = (is_claimed && !is_foreign).then_some(self.now + CLAIMED);
                pending.waiters.push_back(Waiter { origin, request, seq: record.seq, reply, deadline, notices });
                self.maintain(slot);
            }
            None => {
                self.answer(origin, request, reply);
                self.notice(&slot.1, notices);
            }
        }
        self.move_on(slot, origin, moves);
    }

    /// Hands a session on where it belongs: to its user's member, or if it does not move with its users, to its home.
    fn move_on(&mut self, slot: &Slot, user: Member, moves: bool) {
        if !self.may_move_more() || (!moves && self.config.session_keys.is_empty()) {
            return;
        }
        if self.belongs_to(slot).is_some() {
            self.send_home(slot);
        } else if moves && self.follows(&slot.1) && self.has_room_for_guests(user.id) && self.may_be_given(slot) {
            if let Some(record) = self.sessions.get_mut(slot) {
                record.moved((record.moves + 1).min(MAX_MOVES), self.now);
            }
            self.start_handoff(slot, user);
        }
    }

    /// Orders one change: applies it here and sends it to all holders.
    pub(super) fn write(&mut self, slot: &Slot, change: Change) {
        let Some((record, pending)) = self.sessions.begin(slot) else { return };
        let before = record.expires_at();
        let growth = record.apply(change.clone(), self.now);
        record.seq += 1;
        let mut everybody = pending.set();
        everybody.insert(self.me.id);
        let (term, seq) = (record.term, record.seq);
        let receivers: Vec<NodeId> = pending
            .holders
            .iter_mut()
            .filter(|holder| !holder.dropping)
            .map(|holder| {
                holder.outstanding += 1;
                holder.id
            })
            .collect();
        for id in receivers {
            let kind = PutKind::Delta(self.broken.told(change.clone()));
            self.send(id, Message::Put { key: slot.1.clone(), term, seq, kind, holders: everybody });
            if self.config.acknowledge == Acknowledge::Received {
                let _ = self.watch_receipt(id, slot, term, seq);
            }
        }
        self.sessions.grow(growth);
        self.sessions.index(slot, before);
    }

    /// Does whatever the state of an owned session calls for: adds holders, answers what is acknowledged, confirms a transfer, releases holders
    /// that are no longer wanted, forgets, hands off. Call it after every change; it does nothing twice.
    pub(super) fn maintain(&mut self, slot: &Slot) {
        let (Some(view), me, now) = (self.current(), self.me, self.now) else { return };
        let Some((record, own)) = self.sessions.begin(slot) else { return };
        let key = &slot.1;
        let (term, seq) = (record.term, record.seq);
        let mut sends: Vec<(NodeId, Message)> = Vec::new();

        let want = if own.forgetting { MemberSet::EMPTY } else { self.layout.want(slot.0, me.id) };
        let before = own.min_acked(own.set(), seq);
        own.deferred &= own.waiters.is_empty() && own.frozen.is_none();
        let added = if own.deferred { MemberSet::EMPTY } else { want.without(own.set()) };
        own.holders.extend(added.iter().map(|id| Holder { imaged: true, ..Holder::new(id) }));
        let mut everybody = own.set();
        everybody.insert(me.id);
        for id in added.iter() {
            let kind = PutKind::Image(record.image(now));
            sends.push((id, Message::Put { key: key.clone(), term, seq, kind, holders: everybody }));
        }

        // A home without a copy knows of a new owner before that counts as one (R17).
        let home = self.layout.home(slot.0);
        let is_known = home.is_none_or(|home| home == me.id || record.known_to == Some(home) || own.is_held_by(home))
            || self.broken.is(BrokenRule::OwnUntold);
        let is_told = is_known || home.is_some_and(|home| self.given_up.contains(home));
        if let Some(home) = home.filter(|home| !is_told && own.told != Some(*home) && !own.set().contains(*home)) {
            own.told = Some(home);
            sends.push((home, Message::Own { key: key.clone(), term }));
        }
        let counts = is_told && !own.deferred;
        let acked = own.min_acked(own.set(), seq).filter(|_| counts);
        let answered = match self.config.acknowledge {
            Acknowledge::None => Some(seq),
            Acknowledge::Received if self.broken.is(BrokenRule::AnswerUnreceived) => Some(seq),
            Acknowledge::Received => own.min_received(own.set().without(self.given_up), seq).filter(|_| counts),
            Acknowledge::Applied if self.given_up.is_empty() => acked,
            Acknowledge::Applied => own.min_acked(own.set().without(self.given_up), seq).filter(|_| counts),
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
            own.confirming = Some((giver.id, u64::MAX)).filter(|_| !self.broken.is(BrokenRule::GiveUnconfirmed));
        }
        let confirming = own.confirming.filter(|(_, number)| *number == u64::MAX).map(|(giver, _)| giver);
        let settle = *own.settle.get_or_insert(seq);
        let settled = acked >= Some(settle);

        let expired = own.expiring.take_if(|seq| own.stable >= Some(*seq));

        let is_held = own.min_acked(want, seq) >= Some(seq) && own.stable >= Some(seq);
        let forgets_early = own.forgetting && self.broken.is(BrokenRule::ForgetEarly);
        if is_held || forgets_early || self.broken.is(BrokenRule::DropBeforeAck) {
            for holder in own.holders.iter_mut().filter(|holder| !holder.dropping && !want.contains(holder.id)) {
                holder.dropping = true;
                holder.acked = None;
                sends.push((holder.id, Message::Drop { key: key.clone(), term }));
            }
        }
        if self.broken.is(BrokenRule::DropWithoutWait) || forgets_early {
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
        let is_over = own.is_over(seq) && is_known && settled;

        for (to, message) in sends {
            self.send(to, message);
        }
        if let Some(giver) = confirming {
            let number = self.watch_receipt(giver, slot, term, seq);
            if let Some((_, pending)) = self.sessions.pending(slot) {
                pending.confirming = number.map(|number| (giver, number));
            }
        }
        for waiter in answers {
            self.answer(waiter.origin, waiter.request, waiter.reply);
            self.notice(&slot.1, waiter.notices);
        }
        if expired.is_some() && !self.broken.is(BrokenRule::ExpiredAtOnce) {
            self.out(Output::Event(Event::Expired { key: slot.1.clone() }));
            self.notice(&slot.1, vec![Notice::Expired]);
        }
        if settled || forgotten {
            self.sweep.settled(slot);
        }
        if forgotten {
            self.forget(slot);
        } else if let Some(target) = handoff {
            self.hand_off(slot, target);
        } else if is_over {
            self.sessions.rest(slot);
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
        let Some((_, pending)) = self.sessions.pending(slot).filter(|(record, _)| record.term == term) else { return };
        let Some(holder) = pending.active(from.id) else { return };
        holder.acked = holder.acked.max(Some(seq));
        holder.imaged = false;
        holder.outstanding = holder.outstanding.saturating_sub(1);
        self.maintain(slot);
    }

    /// A member has received a write, whatever it made of it, or that what it gave was taken.
    pub(super) fn handle_receipt(&mut self, from: NodeId, number: u64, slot: &Slot, term: u64, seq: u64) {
        let Some((_, pending)) = self.sessions.pending(slot).filter(|(record, _)| record.term == term) else { return };
        pending.confirming.take_if(|confirming| *confirming == (from, number));
        if let Some(holder) = pending.active(from) {
            holder.received = holder.received.max(Some(seq));
        }
        self.maintain(slot);
    }

    /// A holder could not use a put: it gets an image, one at a time.
    pub(super) fn handle_need(&mut self, from: Member, slot: &Slot, term: u64) {
        let (me, now) = (self.me, self.now);
        let Some((record, own)) = self.sessions.begin(slot).filter(|(record, _)| record.term == term) else { return };
        let mut everybody = own.set();
        everybody.insert(me.id);
        let Some(holder) = own.active(from.id) else { return };
        holder.outstanding = holder.outstanding.saturating_sub(1);
        if !holder.imaged || self.broken.is(BrokenRule::ImagePerNeed) {
            holder.imaged = true;
            holder.outstanding += 1;
            let kind = PutKind::Image(record.image(now));
            let seq = record.seq;
            self.send(from.id, Message::Put { key: slot.1.clone(), term, seq, kind, holders: everybody });
        }
    }

    /// A holder has dropped its copy.
    pub(super) fn handle_drop_ack(&mut self, from: Member, slot: &Slot, term: u64) {
        let home = self.layout.home(slot.0);
        let Some((record, own)) = self.sessions.pending(slot).filter(|(record, _)| record.term == term) else { return };
        // A home that drops its copy remembers the owner.
        if own.holders.iter().any(|holder| holder.id == from.id && holder.dropping) {
            record.known_to = Some(from.id).filter(|id| home == Some(*id)).or(record.known_to);
        }
        own.holders.retain(|holder| !(holder.id == from.id && holder.dropping));
        self.maintain(slot);
    }

    /// Ends a session whose time is over.
    fn expire(&mut self, slot: &Slot) {
        self.write(slot, Change::Delete);
        if let Some((record, pending)) = self.sessions.pending(slot) {
            pending.expiring = Some(record.seq).filter(|_| !self.broken.is(BrokenRule::ExpiredUntold));
        }
        if self.broken.is(BrokenRule::ExpiredAtOnce) {
            self.out(Output::Event(Event::Expired { key: slot.1.clone() }));
        }
    }

    /// The home, which has no copy, knows that this member owns a session.
    pub(super) fn handle_own_ack(&mut self, from: Member, slot: &Slot, term: u64) {
        let Some((record, pending)) = self.sessions.pending(slot).filter(|(record, _)| record.term == term) else { return };
        if pending.told == Some(from.id) {
            record.known_to = Some(from.id);
            self.maintain(slot);
        }
    }

    /// Deletes what is at the end of its life (R18), as a write like any other.
    pub(super) fn expire_due(&mut self) {
        while self.has_lease() {
            let Some(over) = self.sessions.next_expired(self.now) else { return };
            for slot in over {
                // One that is being handed off is left to its new owner.
                let Some((_, pending)) = self.sessions.owned(&slot) else { continue };
                if pending.is_none_or(|pending| pending.frozen.is_none()) {
                    self.expire(&slot);
                    self.maintain(&slot);
                }
            }
        }
    }

    fn forget(&mut self, slot: &Slot) {
        self.resolve_now(slot);
        self.sessions.remove(slot);
    }

    /// Emits an answer for a client of this member.
    pub(super) fn reply(&mut self, request: u64, reply: Reply) {
        self.out(Output::Reply { request, reply });
    }
}

impl Record {
    /// Whether the session's user has moved to `origin`. Each move makes the next one harder for a while, so that a user of two members in turn does
    /// not drag the session to and fro.
    fn count_access(&mut self, me: Member, origin: Member, now: Millis) -> bool {
        if origin == me {
            self.foreign = None;
            return false;
        }
        let count = match self.foreign {
            Some((id, count)) if id == origin.id => count.saturating_add(1),
            _ => 1,
        };
        self.foreign = Some((origin.id, count));
        if self.moves > 0 {
            let calm = u8::try_from(self.moved_ago(now) / MOVE_MEMORY).unwrap_or(u8::MAX);
            self.moves = self.moves.saturating_sub(calm).min(MAX_MOVES);
        }
        count >= MIGRATE_AFTER << self.moves
    }
}
