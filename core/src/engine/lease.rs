//! Leases: a member answers only while it can be sure that nobody owns its sessions in a view that it has not seen. Each sign of life says which
//! sign of life of the receiver its sender has heard last, and for how long from that one on the sender will not let a view without the receiver
//! take effect. Whoever holds such a promise from enough others may answer; whoever gave one does not say that it has reported everything (R10), which
//! the barrier waits for, until the promise is over.
//!
//! Enough is as many as may be evicted on suspicion before everything is protected again: then at least one that gave a promise is in every view
//! that could follow, or dead.

use std::collections::{BTreeMap, VecDeque};

use super::Engine;
use super::broken::BrokenRule;
use super::home::Queued;
use super::record::Slot;
use super::stream::Link;
use crate::Millis;
use crate::view::{Member, MemberState, NodeId, Version, View};

/// A promise counts for this much less at its receiver, whose clock may run slower: one part in so many.
const DRIFT: Millis = 16;

/// The shortest time between two signs of life that answer another one at once, in milliseconds.
const REPLY_INTERVAL: Millis = 5;

/// What this member has been promised, and what it has promised.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// Until when this member may answer.
    until: Millis,
    /// Whose promises counted and who are gone since the last barrier, and how many others.
    gone: usize,
    gone_joiners: usize,
    /// Those of them that may live on and not know that they are gone, and until when the promises to each are to be kept.
    may_live: BTreeMap<NodeId, Millis>,
    /// Commands that wait until this member may answer.
    stalled: VecDeque<(Slot, Queued)>,
    /// It has asked the arbiter to take it out of this version of the view, so it promises nothing any more.
    resigned: Option<Version>,
}

/// The part of a link that is about leases.
#[derive(Debug, Default)]
pub(super) struct Promises {
    /// When the last sign of life of the peer was sent, on its clock, and when it came, on this member's.
    heard: Option<(Millis, Millis)>,
    /// Until when, on this member's clock, the peer was promised to be safe.
    granted_until: Millis,
    /// Until when, on this member's clock, the peer has promised.
    leased_until: Millis,
    /// When a sign of life was last answered at once.
    replied: Millis,
    /// The peer has said that it is not in the view any more.
    pub(super) has_ended: bool,
}

impl Engine {
    /// For how long this member promises.
    fn lease_length(&self) -> Millis {
        (self.config.failure_timeout / 2).max(4 * self.config.heartbeat_interval)
    }

    /// What the next sign of life on `link` says: the peer's last one, and for how long it is safe from then on.
    pub(super) fn promise(&mut self, id: NodeId) -> (Option<Millis>, Millis) {
        let lease = self.lease_length();
        let has_resigned = self.leases.resigned.is_some_and(|version| version == self.version());
        let (now, holds) = (self.now, self.broken.is(BrokenRule::HoldPromises));
        let Some(link) = self.links.get_mut(&id).filter(|_| !has_resigned) else { return (None, 0) };
        let Some((sent, came)) = link.promises.heard.map(|(sent, came)| (sent, if holds { now } else { came })) else { return (None, 0) };
        link.promises.granted_until = came + lease;
        (Some(sent), lease)
    }

    /// A sign of life says what the peer has heard, and asks for an answer if it may not answer its clients.
    pub(super) fn handle_promise(&mut self, from: Member, sent: Millis, echo: Option<Millis>, lease: Millis, asks: bool) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&from.id) else { return };
        link.promises.heard = Some((sent, now));
        if let Some(echo) = echo {
            let until = echo.saturating_add(lease - lease / DRIFT);
            link.promises.leased_until = link.promises.leased_until.max(until);
        }
        let replies = asks && now.saturating_sub(link.promises.replied) >= REPLY_INTERVAL;
        if replies {
            link.promises.replied = now;
            self.beat(from.id);
        }
        self.renew_lease();
    }

    /// Finds out until when this member may answer, and runs what waited for that.
    pub(super) fn renew_lease(&mut self) {
        let Some(view) = self.current() else { return };
        self.leases.until = self.leased_until(&view);
        if self.has_lease() {
            self.run_stalled();
        }
    }

    fn leased_until(&self, view: &View) -> Millis {
        let others = view.voters().except(self.me.id).without(self.given_up);
        // Joiners are evicted without a budget.
        let is_joiner = view.state(self.me.id) == Some(MemberState::Join);
        let needed = (usize::from(view.settled_budget()) + usize::from(is_joiner)).min(others.len());
        let needed = if self.broken.is(BrokenRule::OnePromise) { needed.min(1) } else { needed };
        if needed == 0 {
            return Millis::MAX;
        }
        let mut until: Vec<Millis> = self.links.values().filter(|link| others.contains(link.peer.id)).map(leased).collect();
        until.sort_unstable_by(|a, b| b.cmp(a));
        until.get(needed - 1).copied().unwrap_or(0)
    }

    /// Whether this member may answer now.
    pub(super) fn has_lease(&self) -> bool {
        self.now < self.leases.until || self.broken.is(BrokenRule::AnswerWithoutLease)
    }

    /// Whether it asks the others to promise.
    pub(super) fn asks_for_lease(&self) -> bool {
        self.view.is_some() && !self.has_lease()
    }

    /// A command that came while this member may not answer.
    pub(super) fn stall(&mut self, slot: &Slot, queued: Queued) {
        self.leases.stalled.push_back((slot.clone(), queued));
    }

    fn run_stalled(&mut self) {
        for (slot, queued) in std::mem::take(&mut self.leases.stalled) {
            if queued.deadline > self.now {
                self.run_anywhere(&slot, queued);
            }
        }
    }

    /// Forgets stalled commands that have been given up.
    pub(super) fn time_out_stalled(&mut self) {
        let now = self.now;
        self.leases.stalled.retain(|(_, queued)| queued.deadline > now);
    }

    /// A member is not in the new view. If it may live on, the promises that it has are to be kept.
    pub(super) fn note_gone(&mut self, link: &Link, was_voter: bool) {
        let count = if was_voter { &mut self.leases.gone } else { &mut self.leases.gone_joiners };
        *count += 1;
        let is_dead = (link.proven_dead || link.refused || link.promises.has_ended) && !self.broken.is(BrokenRule::PromiseToDead);
        if !is_dead {
            self.leases.may_live.insert(link.peer.id, link.promises.granted_until);
        }
        // One that is gone may have promised another one, which is gone too, as late as now.
        let others = self.leases.gone > 1 || (self.leases.gone > 0 && self.leases.gone_joiners > 0);
        if others {
            let latest = self.now + self.lease_length();
            self.leases.may_live.values_mut().for_each(|until| *until = latest);
        }
    }

    /// A member that is gone is found to be dead: what was promised to it does not matter.
    pub(super) fn note_dead(&mut self, id: NodeId) {
        if !self.broken.is(BrokenRule::PromiseToDead) && self.leases.may_live.remove(&id).is_some() {
            self.release_reports();
        }
    }

    /// All members of the view have reported: what was promised before is over.
    pub(super) fn note_barrier(&mut self) {
        self.leases.gone = 0;
        self.leases.gone_joiners = 0;
        self.leases.may_live.clear();
    }

    /// Says that all of this epoch is reported, once, if it is and nothing promised stands in the way.
    pub(super) fn release_reports(&mut self) {
        let is_promised = self.leases.may_live.values().any(|until| self.now < *until) && !self.broken.is(BrokenRule::BreakPromise);
        if self.synced.contains(self.me.id) || self.view.is_none() || self.reporting.is_some() || is_promised {
            return;
        }
        self.end_reports();
    }

    /// This member asks to be taken out of the view: from now on it promises nothing in it.
    pub(super) fn resign(&mut self) {
        self.leases.resigned = Some(self.version());
    }
}

fn leased(link: &Link) -> Millis {
    if link.promises.has_ended { 0 } else { link.promises.leased_until }
}
