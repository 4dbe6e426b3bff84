//! Which keys are sessions, and move with their users. All others, such as locks, counters and indexes, belong to their homes: they are used from all members
//! alike, and would be dragged to and fro.

use bytes::Bytes;

use super::Engine;
use super::broken::BrokenRule;
use super::record::Slot;
use crate::glob;
use crate::view::Member;

/// So many sessions change hands at once to be where they are used: when a member comes back, all of its users do.
const MIGRATIONS: usize = 64;

/// Whether a key matches one of the patterns, or there are none.
pub(super) fn is_session(patterns: &[Bytes], key: &[u8]) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| glob::matches(pattern, key))
}

impl Engine {
    /// Whether a key moves with its users.
    pub(super) fn follows(&self, key: &[u8]) -> bool {
        is_session(&self.config.session_keys, key)
    }

    /// Whether another session may change hands now.
    pub(super) fn may_move_more(&self) -> bool {
        self.transfers.len() < MIGRATIONS
    }

    /// Hands a session to its home if it belongs there; false if that has to wait, as too many are on their way.
    pub(super) fn send_home(&mut self, slot: &Slot) -> bool {
        let Some(home) = self.belongs_to(slot) else { return true };
        if !self.may_move_more() {
            return false;
        }
        if self.may_be_given(slot) {
            self.start_handoff(slot, home);
        }
        true
    }

    /// The home to which a session that this member owns should be handed: it does not move with its users, and has another home.
    pub(super) fn belongs_to(&self, slot: &Slot) -> Option<Member> {
        let stays = self.broken.is(BrokenRule::StayAstray);
        let home = self.layout.home(slot.0).filter(|home| *home != self.me.id && !stays)?;
        self.view.as_ref()?.member(home).filter(|_| !self.follows(&slot.1))
    }
}
