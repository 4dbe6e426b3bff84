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
    /// Looks at the next sessions that are not known to be protected.
    pub(super) fn sweep_unsettled(&mut self) {
        if self.view.is_none() || self.unsettled.is_empty() {
            return;
        }
        let after = self.sweep.take();
        let from = after.as_ref().map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let slots: Vec<Slot> = self.unsettled.range((from, std::ops::Bound::Unbounded)).take(SWEEP_STEP).cloned().collect();
        for slot in slots {
            if self.links.values().any(|link| link.unacked_bytes > SWEEP_WINDOW) {
                return;
            }
            if self.sessions.get(&slot).is_some_and(|record| record.own.is_some()) {
                self.maintain(&slot);
            } else {
                self.unsettled.remove(&slot);
            }
            self.sweep = Some(slot);
        }
    }

    /// Whether all that this member owns is held by all that should hold it.
    fn is_settled(&self) -> bool {
        self.barrier && self.unsettled.is_empty() && self.transfers.values().all(|transfer| !transfer.unsettled)
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
