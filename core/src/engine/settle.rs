//! Protection after a change of members: a sweep sends images to those that should hold what this member owns, and when all of it is held, the
//! member confirms. When all have confirmed, the budget of evictions is restored (R3), and joiners are full (R15).

use std::collections::BTreeSet;

use super::Engine;
use super::record::Slot;
use crate::Millis;
use crate::view::{Member, MemberSet, MemberState};
use crate::wire::Message;

/// How much may be on its way to one member before the sweep waits, in bytes: live writes share the link.
pub(super) const SWEEP_WINDOW: u64 = 4 << 20;

/// How far this member is with the protection of what it owns in this epoch.
#[derive(Debug)]
pub(super) struct Sweep {
    /// Where to go on; `None` when all have been looked at.
    next: Option<u64>,
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
        Sweep { next: None, left: 0, unsettled: BTreeSet::new(), credit: 0, at: now }
    }

    /// A new epoch: nothing of what is owned is known to be held by all that should hold it.
    pub(super) fn begin(&mut self, owned: usize) {
        self.next = Some(0);
        self.left = owned;
        self.unsettled.clear();
    }

    pub(super) fn settled(&mut self, slot: &Slot) {
        self.unsettled.remove(slot);
    }

    pub(super) fn unsettle(&mut self, slot: &Slot) {
        self.unsettled.insert(slot.clone());
    }

    /// A session goes to another owner; returns whether it is not known to be settled.
    pub(super) fn leaves(&mut self, slot: &Slot) -> bool {
        let is_ahead = self.next.is_some_and(|next| slot.0 >= next);
        self.unsettled.remove(slot) || is_ahead
    }

    /// How many sessions are not known to be settled, about; 0 when all are.
    pub(super) fn remaining(&self) -> usize {
        let ahead = if self.next.is_some() { self.left.max(1) } else { 0 };
        self.unsettled.len() + ahead
    }
}

impl Engine {
    /// Looks at the next sessions, as fast as receivers and the rate allow.
    pub(super) fn sweep_unsettled(&mut self) {
        let rate = self.config.transfer_rate;
        let elapsed = self.now.saturating_sub(std::mem::replace(&mut self.sweep.at, self.now));
        // What was not used is not saved up for more than a second.
        self.sweep.credit = (self.sweep.credit + (rate * elapsed / 1000) as i64).min(rate as i64);
        let Some(from) = self.sweep.next.filter(|_| self.view.is_some()) else { return };
        let (me, layout) = (self.me.id, &self.layout);
        let mut owned = 0;
        let mut open = Vec::new();
        let next = self.sessions.walk(from, self.step, |seen| {
            if !seen.record.is_owned {
                return;
            }
            owned += 1;
            let home = layout.home(seen.position);
            let is_known = home.is_none_or(|home| home == me || seen.record.known_to == Some(home) || seen.holders().contains(home));
            if seen.pending.is_some() || !is_known || seen.holders() != layout.want(seen.position, me) {
                open.push(seen.slot());
            }
        });
        let mut before = self.waiting_bytes();
        for slot in open {
            let is_full = self.links.values().any(|link| link.unacked_bytes > SWEEP_WINDOW);
            if is_full || (rate > 0 && self.sweep.credit <= 0) {
                self.sweep.next = Some(slot.0);
                return;
            }
            self.sweep.unsettle(&slot);
            self.maintain(&slot);
            let after = self.waiting_bytes();
            self.sweep.credit -= after.saturating_sub(before) as i64;
            before = after;
        }
        self.sweep.next = next;
        self.sweep.left = self.sweep.left.saturating_sub(owned);
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
        let mut told = coordinator.union(view.in_states(&[MemberState::Join]));
        told.remove(self.me.id);
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
