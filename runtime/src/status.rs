//! What a member is and holds at the moment, for the probes, the admin API, the control stream and `INFO`: a copy that is pushed, so that nobody
//! who asks has to wait for the engine.

use std::sync::Arc;

use holdfast_core::{NodeId, View};
use serde::Serialize;

/// Where a member is on its way, as gateways see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Phase {
    /// Not in the view yet, or in it but still being filled.
    #[default]
    Joining,
    /// In the view, owns and keeps sessions.
    Accepting,
    /// On its way out, still owns sessions.
    Draining,
    /// On its way out, owns nothing any more; it forwards for its application until it ends.
    Drained,
}

/// A member, as it is now.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Where it is on its way.
    pub phase: Phase,
    /// Its place; `None` before the engine runs.
    pub id: Option<NodeId>,
    /// Which of its lives.
    pub incarnation: u64,
    /// How many sessions it owns.
    pub owned: u64,
    /// How many sessions of others it keeps.
    pub kept: u64,
    /// The view that it has adopted.
    pub view: Option<Arc<View>>,
}

impl Status {
    /// The epoch of the adopted view, 0 before the first.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.view.as_ref().map_or(0, |view| view.version.epoch)
    }
}
