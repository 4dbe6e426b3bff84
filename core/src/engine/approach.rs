//! A member that is in no view meets the members that are before it joins (R15). A joiner that one of them does not hear would hold up all: the barrier
//! waits for its report, and new writes for the copy that it is to keep. So it connects first. Whoever cannot be met is waited for, unless it is dead;
//! not for ever, as the arbiter may show a member that nobody else has an eye on.

use std::collections::BTreeMap;

use super::detector::PROOF_INTERVAL;
use super::stream::DIAL_BACKOFF;
use super::{Engine, Output};
use crate::Millis;
use crate::view::{Member, NodeId, View};

/// How long an attempt to connect may be under way without any news of it, in milliseconds.
const DIAL_LIMIT: Millis = 5_000;

/// How long a member that was thrown out waits for those that it does not meet, in failure timeouts; twice as long each time that it was in vain.
const PATIENCE: Millis = 4;

/// The wait stops doubling here.
const MAX_DOUBLINGS: u32 = 2;

/// On its way into the view.
#[derive(Debug, Default)]
pub(super) struct Approach {
    since: Option<Millis>,
    ways: BTreeMap<NodeId, Way>,
}

/// The way to one member of the view.
#[derive(Debug)]
struct Way {
    peer: Member,
    dialing_since: Option<Millis>,
    dial_at: Millis,
    dial_backoff: Millis,
    proof_sought_at: Option<Millis>,
    /// Nobody listens there, or it is dead beyond doubt.
    is_gone: bool,
}

impl Way {
    fn new(peer: Member, now: Millis) -> Way {
        Way { peer, dialing_since: None, dial_at: now, dial_backoff: DIAL_BACKOFF.0, proof_sought_at: None, is_gone: false }
    }
}

impl Approach {
    /// It was taken for dead.
    pub(super) fn note_death(&mut self, member: Member) {
        if let Some(way) = self.ways.get_mut(&member.id).filter(|way| way.peer == member) {
            way.is_gone = true;
        }
    }

    /// An attempt to connect has failed.
    pub(super) fn dial_failed(&mut self, now: Millis, peer: NodeId, refused: bool) {
        if let Some(way) = self.ways.get_mut(&peer) {
            way.is_gone |= refused;
            way.dialing_since = None;
            way.dial_at = now + way.dial_backoff;
            way.dial_backoff = (way.dial_backoff * 2).min(DIAL_BACKOFF.1);
        }
    }

    /// Somebody has introduced himself.
    pub(super) fn met(&mut self, now: Millis, peer: NodeId) {
        if let Some(way) = self.ways.get_mut(&peer) {
            way.dialing_since = None;
            way.dial_at = now;
            way.dial_backoff = DIAL_BACKOFF.0;
        }
    }
}

impl Engine {
    /// Connects to the voters of `register`. For how long it has waited for those that it does not meet; `None` when it may join. `fallen` is how often in
    /// a row it was thrown out while it did not hear them all.
    pub(super) fn approach(&mut self, register: &View, fallen: u32) -> Option<Millis> {
        let now = self.now;
        let others = register.voters().except(self.me.id);
        let approach = &mut self.membership.approach;
        let since = *approach.since.get_or_insert(now);
        approach.ways.retain(|id, way| others.contains(*id) && register.member(*id) == Some(way.peer));
        let mut is_missing = false;
        let mut wanted = Vec::new();
        for peer in others.iter().filter_map(|id| register.member(id)) {
            let way = approach.ways.entry(peer.id).or_insert_with(|| Way::new(peer, now));
            let is_met = self.conns.values().any(|connection| connection.peer.is_some_and(|other| other.id == peer.id));
            if is_met {
                continue;
            }
            is_missing |= !way.is_gone;
            let Some(entry) = register.members.get(&peer.id) else { continue };
            let is_dialing = way.dialing_since.is_some_and(|at| now.saturating_sub(at) <= DIAL_LIMIT);
            if !is_dialing && now >= way.dial_at {
                way.dialing_since = Some(now);
                wanted.push(Output::Dial { peer: peer.id, name: entry.name.clone() });
            }
            let sought = way.proof_sought_at.unwrap_or(since);
            if !way.is_gone && now.saturating_sub(sought) >= PROOF_INTERVAL {
                way.proof_sought_at = Some(now);
                wanted.push(Output::SeekProof { member: peer, name: entry.name.clone(), pod_uid: entry.pod_uid.clone() });
            }
        }
        wanted.into_iter().for_each(|output| self.out(output));
        let waited = now - since;
        let patience = match fallen {
            0 => self.config.failure_timeout,
            _ => (self.config.failure_timeout * PATIENCE) << (fallen - 1).min(MAX_DOUBLINGS),
        };
        (is_missing && waited < patience).then_some(waited)
    }
}
