//! Protection after a change of members: a sweep sends images to those that should hold what this member owns, and when all of it is held, the
//! member confirms. When all have confirmed, the budget of evictions is restored (R3), and joiners are full (R15).

use super::Engine;
use super::record::Slot;
use crate::view::{Member, MemberSet, MemberState};
use crate::wire::Message;

/// How many sessions are looked at in one tick.
const SWEEP_STEP: usize = 4096;

/// How much may be on its way to one member before the sweep waits, in bytes: live writes share the link.
pub(super) const SWEEP_WINDOW: u64 = 4 << 20;

impl Engine {
    /// Looks at the next sessions that are not known to be protected, as fast as receivers and the rate allow.
    pub(super) fn sweep_unsettled(&mut self) {
        let rate = self.config.transfer_rate;
        let elapsed = self.now.saturating_sub(std::mem::replace(&mut self.swept_at, self.now));
        // What was not used is not saved up for more than a second.
        self.sweep_credit = (self.sweep_credit + (rate * elapsed / 1000) as i64).min(rate as i64);
        if self.view.is_none() || self.unsettled.is_empty() {
            return;
        }
        let after = self.sweep.take();
        let from = after.as_ref().map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let slots: Vec<Slot> = self.unsettled.range((from, std::ops::Bound::Unbounded)).take(SWEEP_STEP).cloned().collect();
        for slot in slots {
            let is_full = self.links.values().any(|link| link.unacked_bytes > SWEEP_WINDOW);
            if is_full || (rate > 0 && self.sweep_credit <= 0) {
                self.sweep = self.sweep.take().or(after);
                return;
            }
            if self.sessions.get(&slot).is_some_and(|record| record.own.is_some()) {
                let before = self.waiting_bytes();
                self.maintain(&slot);
                self.sweep_credit -= self.waiting_bytes().saturating_sub(before) as i64;
            } else {
                self.unsettled.remove(&slot);
            }
            self.sweep = Some(slot);
        }
    }

    /// What waits to be acknowledged on all links, in bytes.
    fn waiting_bytes(&self) -> u64 {
        self.links.values().map(|link| link.unacked_bytes).sum()
    }

    /// Whether all that this member owns is held by all that should hold it.
    fn is_settled(&self) -> bool {
        self.barrier
            && self.unresolved.is_empty()
            && self.unsettled.is_empty()
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
