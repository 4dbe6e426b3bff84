//! How this member comes into the view, changes it and leaves it: one compare-and-swap at a time, each on a version that the arbiter has shown,
//! never assuming anything of one whose outcome is unknown (R2, R3, R15, R16).

use super::approach::Approach;
use super::broken::BrokenRule;
use super::{Engine, Event, Output};
use crate::Millis;
use crate::view::{Member, MemberState, NodeId, Place, Version, View, ViewEntry};

/// How long to wait before the arbiter is asked again, in milliseconds.
const RETRY: Millis = 200;

/// The longest time between two looks at the arbiter of a member that waits to meet the others, in milliseconds.
const LONGEST_LOOK: Millis = 2_000;

/// How often a member that may not answer looks whether it was thrown out, in milliseconds.
const DOUBTFUL_LOOK: Millis = 1_000;

/// What became of a [`Output::SwapView`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwapOutcome {
    /// It is the view now, as the arbiter shows.
    Done(View),
    /// It was refused; this is the view.
    Conflict(View),
    /// It may have been done, or may be done yet.
    Unknown,
}

/// Where this member stands with the arbiter.
#[derive(Debug)]
pub(super) struct Membership {
    /// The arbiter's last answer since the last proposal, for a member that is not in a view.
    register: Option<View>,
    /// When that was.
    shown_at: Millis,
    /// An answer of the arbiter is awaited.
    is_waiting: bool,
    must_read: bool,
    /// On which version the last proposal was made.
    expected: Version,
    next_try: Millis,
    /// This member tried to join under its incarnation, which may still come about.
    is_spent: bool,
    pub(super) approach: Approach,
    /// How often in a row it fell out while it did not hear all others.
    fallen: u32,
    /// Since when it is a joiner.
    since: Millis,
    is_leaving: bool,
    is_finishing: bool,
    has_left: bool,
    /// How many copies are asked for, where that is known.
    copies: Option<u8>,
    /// Where this member runs, as far as it knows.
    place: Place,
}

impl Membership {
    pub(super) fn new(now: Millis) -> Membership {
        Membership {
            register: None,
            shown_at: now,
            is_waiting: false,
            must_read: true,
            expected: Version::default(),
            next_try: now,
            is_spent: false,
            approach: Approach::default(),
            fallen: 0,
            since: now,
            is_leaving: false,
            is_finishing: false,
            has_left: false,
            copies: None,
            place: Place::default(),
        }
    }

    pub(super) fn has_left(&self) -> bool {
        self.has_left
    }

    pub(super) fn is_finishing(&self) -> bool {
        self.is_finishing
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// It fell out of the view and has taken a new incarnation. It waits a little before it joins: the others first find new owners for what it had. If it
    /// did not hear them all, it is the worse for it, and waits longer each time for those that it does not meet.
    pub(super) fn rejoin(&mut self, now: Millis, failure_timeout: Millis, heard_all: bool) {
        self.fallen = if heard_all { 0 } else { self.fallen.saturating_add(1) };
        self.register = None;
        self.must_read = true;
        self.next_try = now + failure_timeout / 4;
        self.is_spent = false;
        self.approach = Approach::default();
        self.since = now;
    }

    pub(super) fn left(&mut self) {
        self.has_left = true;
    }
}

impl Engine {
    /// The arbiter has said by itself, perhaps late, that this was the view.
    pub fn handle_watched(&mut self, now: Millis, view: View) {
        self.now = now;
        if self.membership.register.as_ref().is_some_and(|register| register.version < view.version) {
            self.membership.register = Some(view.clone());
        }
        self.adopt(view);
        self.drive_membership();
    }

    /// The arbiter's answer to [`Output::ReadView`].
    pub fn handle_register(&mut self, now: Millis, view: View) {
        self.now = now;
        self.membership.is_waiting = false;
        self.membership.must_read = false;
        self.see(view);
    }

    /// The arbiter did not answer a read.
    pub fn handle_arbiter_unreachable(&mut self, now: Millis) {
        self.now = now;
        self.membership.is_waiting = false;
        self.membership.must_read = true;
        self.membership.next_try = now + RETRY;
    }

    /// A proposal was answered.
    pub fn handle_swap(&mut self, now: Millis, outcome: SwapOutcome) {
        self.now = now;
        self.membership.is_waiting = false;
        match outcome {
            SwapOutcome::Conflict(view) if view.version <= self.membership.expected => {
                // Refused for another reason than a newer view: to insist at once would be a storm.
                self.membership.next_try = now + RETRY;
                self.membership.register = Some(view);
                self.membership.shown_at = now;
            }
            SwapOutcome::Done(view) | SwapOutcome::Conflict(view) => self.see(view),
            SwapOutcome::Unknown => {
                self.membership.must_read = true;
                self.membership.next_try = now + RETRY;
            }
        }
    }

    /// Leave the view as far as possible: own nothing any more, hold nothing alone, but go on forwarding commands. See `status` for how far it is.
    pub fn drain(&mut self, now: Millis) {
        self.now = now;
        self.membership.is_leaving = true;
        self.drive_membership();
    }

    /// Leave for good: [`Output::Left`] when done.
    pub fn finish(&mut self, now: Millis) {
        self.membership.is_finishing = true;
        self.drain(now);
    }

    /// So many copies of each session are asked for. The first Full member changes the view when that is settled.
    pub fn handle_copies(&mut self, now: Millis, copies: u8) {
        self.now = now;
        self.membership.copies = Some(copies);
        self.drive_membership();
    }

    /// This is where this member runs.
    pub fn handle_place(&mut self, now: Millis, place: Place) {
        self.now = now;
        self.membership.place = place;
        self.drive_membership();
    }

    fn see(&mut self, view: View) {
        self.membership.register = Some(view.clone());
        self.membership.shown_at = self.now;
        self.adopt(view);
        self.drive_membership();
    }

    /// Whether this member is in no view for so long that joining is not a matter of a moment.
    pub(super) fn is_long_out(&self) -> bool {
        self.view.is_none() && self.now.saturating_sub(self.membership.since) >= self.config.failure_timeout
    }

    /// Proposes whatever the state calls for.
    pub(super) fn drive_membership(&mut self) {
        if self.membership.has_left || self.membership.is_waiting || self.now < self.membership.next_try {
            return;
        }
        let is_in_doubt = self.asks_for_lease() && self.now - self.membership.shown_at >= DOUBTFUL_LOOK;
        if self.membership.must_read || is_in_doubt {
            self.membership.is_waiting = true;
            return self.out(Output::ReadView);
        }
        match self.current() {
            None => self.join(),
            Some(view) => self.change(&view),
        }
    }

    /// A member that is in no view meets those that are, and puts itself into the one that the arbiter has shown.
    fn join(&mut self) {
        if self.membership.is_leaving {
            return self.leave_for_good();
        }
        if std::mem::take(&mut self.membership.is_spent) {
            // The last attempt may still come about: what it would put there must not be taken for this one.
            self.me = Member { id: self.me.id, incarnation: self.me.incarnation.wrapping_add(1) };
            self.conns.clear();
            self.membership.approach = Approach::default();
            self.out(Output::Reset { member: self.me });
        }
        let Some(register) = self.membership.register.clone() else {
            self.membership.must_read = true;
            return;
        };
        let age = self.now - self.membership.shown_at;
        let waited = self.approach(&register, self.membership.fallen);
        if age > waited.map_or(RETRY, |waited| (waited / 4).clamp(RETRY, LONGEST_LOOK)) {
            self.membership.must_read = true;
            return self.drive_membership();
        }
        if waited.is_some() {
            return;
        }
        self.membership.register = None;
        self.membership.is_spent = true;
        let mut view = next(&register);
        if register.version == Version::default() {
            view.copies = self.membership.copies.unwrap_or(self.config.copies);
        }
        if register.state(self.me.id).is_some_and(|state| state != MemberState::Join) {
            // Its predecessor in this place: a pod is only replaced when it has ended.
            view.budget = view.budget.saturating_sub(1);
        }
        let entry = ViewEntry {
            name: self.config.name.clone(),
            incarnation: self.me.incarnation,
            pod_uid: self.config.pod_uid.clone(),
            state: MemberState::Join,
            place: self.membership.place.clone(),
        };
        view.members.insert(self.me.id, entry);
        ensure_full(&mut view, self.me.id);
        self.membership.since = self.now;
        self.propose(register.version, view);
    }

    /// A member of the view: evict, become full, leave, or restore the budget.
    fn change(&mut self, view: &View) {
        if let Some((id, proven)) = self.to_evict(view) {
            let mut new = next(view);
            if let Some(entry) = new.members.remove(&id)
                && entry.state != MemberState::Join
            {
                let may_lose = view.budget == 0 || self.may_be_done_without(view);
                new.is_lossy |= !proven && may_lose && !self.broken.is(BrokenRule::UnmarkedLoss);
                new.budget = new.budget.saturating_sub(1);
            }
            ensure_full(&mut new, self.me.id);
            if let Some(member) = view.member(id) {
                self.out(Output::Event(Event::Evicting { member, proven }));
            }
            return self.propose(view.version, new);
        }
        match view.state(self.me.id) {
            Some(MemberState::Join) => {
                let is_filled = self.barrier && self.confirms.covers(view.voters());
                let is_late = self.now.saturating_sub(self.membership.since) >= self.config.state_transfer_timeout;
                if is_filled || is_late {
                    self.propose_state(view, MemberState::Full);
                }
            }
            Some(MemberState::Full) if self.membership.is_leaving => {
                if view.full().len() > 1 {
                    self.propose_state(view, MemberState::Leave);
                } else if self.membership.is_finishing && view.all().len() == 1 {
                    self.leave_for_good();
                } else {
                    // It stays the only one that owns anything until somebody else is full.
                    self.settle(view);
                }
            }
            Some(MemberState::Full) if view.version.sub > 0 => self.rearrange(view),
            Some(MemberState::Full) => self.settle(view),
            Some(MemberState::Leave) => {
                let is_empty = self.sessions.is_empty() && self.transfers.is_empty() && self.commands.is_empty();
                if self.membership.is_finishing && is_empty && (self.barrier || self.broken.is(BrokenRule::LeaveBeforeBarrier)) {
                    let mut new = next(view);
                    new.members.remove(&self.me.id);
                    self.resign();
                    self.propose(view.version, new);
                }
            }
            None => {}
        }
    }

    fn propose_state(&mut self, view: &View, state: MemberState) {
        let mut new = next(view);
        if let Some(entry) = new.members.get_mut(&self.me.id) {
            entry.state = state;
        }
        self.propose(view.version, new);
    }

    /// All is protected again: the first Full member restores the budget.
    fn settle(&mut self, view: &View) {
        let is_coordinator = view.full().iter().next() == Some(self.me.id);
        let is_protected = self.confirms.covers(view.voters()) || self.broken.is(BrokenRule::SettleEarly);
        if is_coordinator && view.version.sub == 0 && is_protected {
            let mut new = view.clone();
            new.version.sub += 1;
            new.budget = view.settled_budget();
            new.is_lossy = false;
            self.propose(view.version, new);
        }
    }

    /// All is protected: the time to change how many copies there are, or where this member says that it runs.
    fn rearrange(&mut self, view: &View) {
        let is_coordinator = view.full().iter().next() == Some(self.me.id);
        let mut new = next(view);
        if let Some(copies) = self.membership.copies.filter(|_| is_coordinator) {
            // Fewer copies bear fewer evictions. More copies are only counted on when they are there.
            new.copies = copies;
            new.budget = new.budget.min(new.settled_budget());
        }
        if let Some(entry) = new.members.get_mut(&self.me.id) {
            entry.place.clone_from(&self.membership.place);
        }
        if new.copies != view.copies || new.members != view.members {
            self.propose(view.version, new);
        }
    }

    fn propose(&mut self, expected: Version, mut view: View) {
        if !self.broken.is(BrokenRule::UncappedBudget) {
            view.budget = view.budget.min((view.full().len() as u8).saturating_sub(1));
        }
        self.membership.is_waiting = true;
        self.membership.next_try = self.now;
        self.membership.expected = expected;
        if self.broken.is(BrokenRule::AssumeSwap) && self.view.is_some() {
            self.adopt(view.clone());
        }
        self.out(Output::SwapView { expected, view });
    }
}

/// The successor of `view`, so far with the same members.
fn next(view: &View) -> View {
    let mut next = view.clone();
    next.version = Version { epoch: view.version.epoch + 1, sub: 0 };
    next
}

/// A view needs somebody who owns and keeps: a leaving member stays, or else the proposer founds the cluster anew.
fn ensure_full(view: &mut View, proposer: NodeId) {
    if !view.full().is_empty() {
        return;
    }
    let leaving = view.in_states(&[MemberState::Leave]).iter().next();
    if let Some(entry) = view.members.get_mut(&leaving.unwrap_or(proposer)) {
        entry.state = MemberState::Full;
    }
}
