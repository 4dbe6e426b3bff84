//! The home of a session: owns it, keeps it, or knows who owns it. It grants sessions that do not exist yet, and answers that there are none (R12).

use super::Engine;
use super::broken::BrokenRule;
use super::record::{Slot, slot};
use crate::Millis;
use crate::command::{Command, Key, Reply};
use crate::value;
use crate::view::{Member, MemberState, NodeId, View};
use crate::wire::Message;

/// Where a home knows the owner to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pointer {
    pub(super) term: u64,
    pub(super) owner: Member,
}

/// A session that was given to another member, until that has confirmed it (R13).
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) term: u64,
    pub(super) owner: Member,
    /// Whether this epoch is not settled before it is confirmed.
    pub(super) unsettled: bool,
}

/// A command that waits to be run here.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) origin: Member,
    pub(super) request: u64,
    pub(super) command: Command,
    /// When its origin will have given up.
    pub(super) deadline: Millis,
}

impl Engine {
    /// Whether `position` is at home here.
    pub(super) fn is_home(&self, position: u64) -> bool {
        self.layout.home(position) == Some(self.me.id)
    }

    /// Whether this home may say who owns what: after the barrier, or without a break since the last one.
    fn may_answer(&self, position: u64) -> bool {
        let unbroken = || {
            let homes = || self.unbroken.iter().map(|full| crate::placement::home(*full, position));
            !self.unbroken.is_empty() && homes().all(|home| home == Some(self.me.id))
        };
        self.barrier || unbroken() || self.broken.is(BrokenRule::AnswerBeforeBarrier)
    }

    /// Runs, redirects, answers or queues a command that came to this home.
    pub(super) fn run_at_home(&mut self, slot: &Slot, queued: Queued) {
        let Some(view) = self.current() else { return };
        if !self.has_lease() {
            return self.stall(slot, queued);
        }
        self.resolve_now(slot);
        let key = &slot.1;
        let held = self.sessions.get(slot).map(|record| (record.term, record.owner()));
        if let Some((_, owner)) = held
            && owner == self.me
        {
            return self.run(slot, queued);
        }
        if !self.may_answer(slot.0) {
            return self.queue_at_home(key.clone(), queued);
        }
        let pointer = self.pointers.get(slot).or_else(|| self.old_pointers.get(slot)).copied();
        if let Some(pointer) = pointer
            && held.is_none_or(|(term, _)| term < pointer.term)
        {
            if pointer.owner == self.me || !view.has(pointer.owner) {
                return self.queue_at_home(key.clone(), queued);
            }
            return self.redirect(queued.origin, queued.request, Some(pointer.owner.id));
        }
        if let Some((_, owner)) = held {
            if view.has(owner) {
                return self.redirect(queued.origin, queued.request, Some(owner.id));
            }
            return self.queue_at_home(key.clone(), queued);
        }
        self.run_on_nothing(&view, slot, queued);
    }

    /// The session does not exist: what creates nothing is answered here, what does gets an owner first.
    fn run_on_nothing(&mut self, view: &View, slot: &Slot, queued: Queued) {
        let (reply, change) = value::decide(None, &queued.command, self.now, self.config.max_bytes);
        let Some(change) = change else {
            return self.answer(queued.origin, queued.request, reply);
        };
        let is_elsewhere = queued.origin != self.me && view.has(queued.origin) && view.state(queued.origin.id) == Some(MemberState::Full);
        let may_own = is_elsewhere && self.follows(&slot.1);
        let owner = if may_own { queued.origin.id } else { self.me.id };
        let more = u64::try_from(value::growth(None, &change)).unwrap_or_default();
        if let Some(error) = self.refuses_new(slot, owner, more) {
            return self.answer(queued.origin, queued.request, Reply::Error(error));
        }
        self.clock += 1;
        let term = if self.broken.is(BrokenRule::RestartTerms) { 1 } else { self.clock };
        if may_own {
            let owner = queued.origin;
            if !self.broken.is(BrokenRule::ForgetGrant) {
                self.pointers.insert(slot.clone(), Pointer { term, owner });
                self.transfers.insert(slot.1.clone(), Transfer { term, owner, unsettled: false });
            }
            self.send_to(owner, Message::Grant { key: slot.1.clone(), term });
            self.redirect(owner, queued.request, Some(owner.id));
        } else {
            self.own_new(slot, term, None);
            self.run(slot, queued);
        }
    }

    /// The owner of a session says so to its home, which has no copy.
    pub(super) fn handle_own(&mut self, from: Member, slot: &Slot, term: u64) {
        self.clock = self.clock.max(term);
        self.point_to(from, slot, term);
        self.send_to(from, Message::OwnAck { key: slot.1.clone(), term });
        self.release_home_queue(slot);
    }

    /// A home without a copy remembers the owner, unless it knows of a later one.
    pub(super) fn point_to(&mut self, owner: Member, slot: &Slot, term: u64) {
        let is_later = self.sessions.get(slot).is_none_or(|record| record.term < term)
            && self.pointers.get(slot).is_none_or(|pointer| pointer.term < term);
        if self.is_home(slot.0) && is_later {
            self.pointers.insert(slot.clone(), Pointer { term, owner });
        }
    }

    fn queue_at_home(&mut self, key: Key, queued: Queued) {
        self.homeq.entry(key).or_default().push(queued);
    }

    /// Tries again what waits for this session.
    pub(super) fn release_home_queue(&mut self, slot: &Slot) {
        let Some(waiting) = self.homeq.remove(&slot.1) else { return };
        for queued in waiting {
            self.run_at_home(slot, queued);
        }
    }

    /// Sends what waits at this member back to where it came from, for all sessions whose home it is no longer.
    pub(super) fn return_foreign_home_queues(&mut self) {
        let foreign: Vec<Key> = self.homeq.keys().filter(|key| !self.is_home(slot(key).0)).cloned().collect();
        for key in foreign {
            for queued in self.homeq.remove(&key).unwrap_or_default() {
                self.redirect(queued.origin, queued.request, None);
            }
        }
    }

    /// Tells whoever asked to try elsewhere.
    pub(super) fn redirect(&mut self, origin: Member, request: u64, hint: Option<NodeId>) {
        if origin == self.me {
            self.redirected(request, hint);
        } else {
            self.send_to(origin, Message::Redirect { request, hint });
        }
    }
}
