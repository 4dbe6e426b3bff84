//! What a member is and holds at the moment, for the probes, the admin API, the control stream and `INFO`: a copy that is pushed, so that nobody
//! who asks has to wait for the engine.

use std::sync::Arc;

use holdfast_core::engine::{self, Load, MemberPhase};
use holdfast_core::{Member, View};
use serde::{Deserialize, Serialize};

/// Where a member is on its way, as gateways see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Phase {
    /// Not in the view yet, or in it but still being filled.
    Joining,
    /// In the view, owns and keeps sessions.
    Accepting,
    /// On its way out, still owns sessions.
    Draining,
    /// On its way out, owns nothing any more; it forwards for its application until it ends.
    Drained,
}

/// A member, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Who it is in this life.
    pub member: Member,
    /// Where it is on its way.
    pub phase: Phase,
    /// How many sessions it owns.
    pub owned: u64,
    /// How many sessions of others it keeps.
    pub kept: u64,
    /// How many of its own sessions are not known to have all their copies in this view.
    pub unprotected: u64,
    /// How many sessions it has given away without a confirmation.
    pub transfers: u64,
    /// What it holds and may hold.
    pub load: Load,
    /// It is the only member of the view.
    pub is_alone: bool,
    /// All members of the view have reported to it.
    pub barrier: bool,
    /// The view that it has adopted.
    pub view: Option<Arc<View>>,
    /// It has left for good.
    pub left: bool,
}

impl Status {
    /// The epoch of the adopted view, 0 before the first.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.view.as_ref().map_or(0, |view| view.version.epoch)
    }

    /// Whether nothing would be lost if this member ended now: what it owned is handed over, and nobody counts on its copies any more.
    #[must_use]
    pub fn holds_nothing(&self) -> bool {
        self.left || self.phase == Phase::Drained && self.kept == 0
    }
}

impl From<engine::Status> for Status {
    fn from(status: engine::Status) -> Self {
        Self {
            member: status.member,
            phase: match status.phase {
                MemberPhase::Joining => Phase::Joining,
                MemberPhase::Active => Phase::Accepting,
                MemberPhase::Draining => Phase::Draining,
                MemberPhase::Drained | MemberPhase::Left => Phase::Drained,
            },
            owned: status.owned as u64,
            kept: status.kept as u64,
            unprotected: status.unsettled as u64,
            transfers: status.transfers as u64,
            load: status.load,
            is_alone: status.is_alone,
            barrier: status.barrier,
            view: status.view,
            left: status.phase == MemberPhase::Left,
        }
    }
}
