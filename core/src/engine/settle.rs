//! Protection after a change of members: a sweep sends images to those that should hold what this member owns, and when all of it is held, the
//! member confirms. When all have confirmed, the budget of evictions is restored (R3), and joiners are full (R15).

use std::collections::BTreeSet;

use super::Engine;
use super::follow::is_session;
use super::record::Slot;
use crate::Millis;
use crate::view::{Member, MemberSet, MemberState};
use crate::wire::Message;

/// How much may be on its way to one member before what is not urgent waits, in bytes: live writes share the link, and come behind it.
pub(super) const WINDOW: u64 = 256 << 10;

/// How far this member is with the protection of what it owns in this epoch.
#[derive(Debug)]
pub(super) struct Sweep {
    /// Where to go on; `None` when all have been looked at.
    next: Option<u64>,
    /// Where to begin again after that.
    again: Option<u64>,
    /// How many are to be looked at yet, about.
    left: usize,
    /// Sessions that have been looked at and are not known to be held by all that should hold them.
    unsettled: BTreeSet<Slot>,
    /// How many bytes may be sent now, and when that was last reckoned.
    credit: i64,
    at: Millis,
}

impl Sweep {
    pub(super) fn new(now: Millis) -> Sweep {
        Sweep { next: None, again: None, left: 0, unsettled: BTreeSet::new(), credit: 0, at: now }
    }

    /// A new epoch: nothing of what is owned is known to be held by all that should hold it.
    pub(super) fn begin(&mut self, owned: usize) {
        self.next = Some(0);
        self.again = None;
        self.left = owned;
        self.unsettled.clear();
    }

    /// What was not used is not saved up for more than a second.
    pub(super) fn earn(&mut self, rate: u64, now: Millis) {
        let elapsed = now.saturating_sub(std::mem::replace(&mut self.at, now));
        self.credit = (self.credit + (rate * elapsed / 1000) as i64).min(rate as i64);
    }

    pub(super) fn settled(&mut self, slot: &Slot) {
        self.unsettled.remove(slot);
    }

    pub(super) fn unsettle(&mut self, slot: &Slot) {
        self.unsettled.insert(slot.clone());
    }

    /// There is a session to be looked at that may have been passed already.
    pub(super) fn come_back_to(&mut self, slot: &Slot) {
        self.left += 1;
        if self.next.is_none() {
            self.next = Some(slot.0);
        } else if self.next.is_some_and(|next| slot.0 < next) {
            self.again = Some(self.again.map_or(slot.0, |again| again.min(slot.0)));
        }
    }

    /// A session goes to another owner; returns whether it is not known to be settled.
    pub(super) fn leaves(&mut self, slot: &Slot) -> bool {
        let is_ahead = [self.next, self.again].into_iter().flatten().any(|next| slot.0 >= next);
        self.unsettled.remove(slot) || is_ahead
    }

    /// Whether there are sessions to be looked at.
    pub(super) fn is_under_way(&self) -> bool {
        self.next.is_some()
    }

    /// How many sessions are not known to be settled, about; 0 when all are.
    pub(super) fn remaining(&self) -> usize {
        let ahead = if self.next.is_some() { self.left.max(1) } else { 0 };
        self.unsettled.len() + ahead
    }
}

impl Engine {
    /// Looks at the next sessions, as fast as receivers and the rate allow. Says whether it could go on.
    pub(super) fn sweep_some(&mut self, window: u64) -> bool {
        let Some(from) = self.sweep.next.filter(|_| self.view.is_some() && self.may_sweep(window)) else { return false };
        let (me, layout, patterns) = (self.me.id, &self.layout, &self.config.session_keys);
        let mut owned = 0;
        let mut open = Vec::new();
        let next = self.sessions.walk(from, self.step, |seen| {
            if !seen.record.is_owned {
                return;
            }
            owned += 1;
            let home = layout.home(seen.position);
            let is_known = home.is_none_or(|home| home == me || seen.record.known_to == Some(home) || seen.holders().contains(home));
            let is_astray = home.is_some_and(|home| home != me) && !is_session(patterns, seen.key());
            if seen.pending.is_some() || !is_known || is_astray || seen.holders() != layout.want(seen.position, me) {
                open.push(seen.slot());
            }
        });
        let mut before = self.waiting_bytes();
        for slot in open {
            if !self.may_sweep(window) {
                self.sweep.next = Some(slot.0);
                return false;
            }
            self.sweep.unsettle(&slot);
            if let Some((_, pending)) = self.sessions.pending(&slot) {
                pending.deferred = false;
            }
            self.maintain(&slot);
            if !self.send_home(&slot) {
                self.sweep.next = Some(slot.0);
                return false;
            }
            let after = self.waiting_bytes();
            self.sweep.credit -= after.saturating_sub(before) as i64;
            before = after;
        }
        self.sweep.next = next.or_else(|| self.sweep.again.take());
        self.sweep.left = self.sweep.left.saturating_sub(owned);
        self.sweep.next.is_some()
    }

    fn may_sweep(&self, window: u64) -> bool {
        let is_full = self.links.values().any(|link| link.unacked_bytes > window);
        !is_full && (self.config.transfer_rate == 0 || self.sweep.credit > 0)
    }

    /// What waits to be acknowledged on all links, in bytes.
    fn waiting_bytes(&self) -> u64 {
        self.links.values().map(|link| link.unacked_bytes).sum()
    }

    /// Whether all that this member owns is held by all that should hold it.
    fn is_settled(&self) -> bool {
        self.barrier
            && self.resolved.is_none()
            && self.sweep.remaining() == 0
            && self.transfers.values().all(|transfer| !transfer.unsettled)
    }

    /// Says once in each epoch that all is held, to the member that restores the budget and to the joiners.
    pub(super) fn confirm(&mut self) {
        let Some(view) = self.current() else { return };
        if self.confirmed || view.state(self.me.id) == Some(MemberState::Join) || !self.is_settled() {
            return;
        }
        self.confirmed = true;
        self.confirms.insert(self.me.id);
        let epoch = view.version.epoch;
        let coordinator: MemberSet = view.full().iter().take(1).collect();
        let told = coordinator.union(view.in_states(&[MemberState::Join])).except(self.me.id);
        for id in told.iter() {
            self.send(id, Message::Confirm { epoch });
        }
    }

    /// Another member has confirmed.
    pub(super) fn handle_confirm(&mut self, from: Member, epoch: u64) {
        if self.version().epoch == epoch {
            self.confirms.insert(from.id);
        }
    }
}
