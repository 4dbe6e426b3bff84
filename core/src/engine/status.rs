//! What can be seen of a member from outside: for health, metrics and the admin API.

use std::sync::Arc;

use super::record::slot;
use super::{ConnId, Engine, Load, Millis};
use crate::command::Key;
use crate::view::{Member, MemberSet, MemberState, NodeId, View};

/// Where a member is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberPhase {
    /// Not in the view yet, or being filled.
    Joining,
    /// In the view as Full.
    Active,
    /// Leaving; still owns sessions.
    Draining,
    /// Leaving; owns nothing any more, and nothing that it gave away is unconfirmed.
    Drained,
    /// Gone for good.
    Left,
}

/// A member at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Who it is in this life.
    pub member: Member,
    /// Where it is in its life.
    pub phase: MemberPhase,
    /// It is the only member of the view.
    pub is_alone: bool,
    /// The view that it has adopted.
    pub view: Option<Arc<View>>,
    /// Sessions that it owns, deleted ones that are not forgotten yet left out.
    pub owned: usize,
    /// Sessions that it keeps a copy of for other owners.
    pub kept: usize,
    /// Sessions that it owns and that are not known to be protected in this view.
    pub unsettled: usize,
    /// Transfers that are not confirmed.
    pub transfers: usize,
    /// What it holds and may hold.
    pub load: Load,
    /// Commands of its clients that are not answered.
    pub commands: usize,
    /// All members of the view have reported.
    pub barrier: bool,
    /// Its links.
    pub links: Vec<LinkStatus>,
}

/// A link at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// The other end.
    pub peer: Member,
    /// There is a connection, and both ends know where they are.
    pub is_ready: bool,
    /// The wire version that it speaks.
    pub version: u16,
    /// Whether what is sent may be compressed.
    pub is_packed: bool,
    /// Its connections.
    pub connections: Vec<LaneStatus>,
    /// How many connections it should have.
    pub wanted_connections: u8,
    /// What it has done.
    pub counters: LinkCounters,
    /// Messages that it has not acknowledged.
    pub unacked_frames: usize,
    /// Messages that were received before an earlier one, in bytes.
    pub early_bytes: u64,
    /// What it has not acknowledged, in bytes.
    pub unacked_bytes: u64,
    /// How long it has been silent, in milliseconds.
    pub silent: Millis,
    /// It is suspected.
    pub is_suspected: bool,
}

/// One connection of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneStatus {
    /// Its number.
    pub conn: ConnId,
    /// Both ends know where they are.
    pub is_ready: bool,
    /// Sent on it and not acknowledged, in bytes.
    pub unacked_bytes: u64,
    /// How long nothing came on it, in milliseconds.
    pub silent: Millis,
}

/// What a link has done since this process began, with whoever had the other end's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Messages sent, each counted once.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Messages received, each counted once.
    pub received: u64,
    /// Messages sent once more, after their connection was lost.
    pub resent: u64,
    /// Messages that the other end had not acknowledged when it left the view: it may have received them or not.
    pub not_transferred: u64,
    /// Messages received once more, and dropped.
    pub duplicates: u64,
    /// Messages dropped because too much was waiting for an earlier one; they are sent again.
    pub overflows: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// From sending to acknowledgement, of all of these together, in milliseconds.
    pub wait_total: Millis,
    /// The longest of these times.
    pub wait_longest: Millis,
}

impl LinkCounters {
    pub(super) fn acknowledged(&mut self, wait: Millis) {
        self.acknowledged += 1;
        self.wait_total += wait;
        self.wait_longest = self.wait_longest.max(wait);
    }
}

/// What a member knows of a session, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// The owner, as far as this member knows.
    pub owner: Member,
    /// The home.
    pub home: Option<NodeId>,
    /// Its term.
    pub term: u64,
    /// Its number within the term.
    pub seq: u64,
    /// Who holds it beside the owner.
    pub holders: MemberSet,
    /// Bytes of content; `None` for one that was deleted.
    pub size: Option<u64>,
    /// What remains of its life, in milliseconds.
    pub ttl: Option<Millis>,
}

/// How much waits at a member: all of it is bounded, and nothing is left at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// Answers that wait for acknowledgements.
    pub waiters: usize,
    /// Commands that wait for the handoff of their session.
    pub frozen: usize,
    /// Commands that wait until this home knows who owns their session.
    pub at_home: usize,
    /// Commands of this member's clients that are to be routed again.
    pub idle: usize,
    /// Reports that wait for the barrier.
    pub reports: usize,
    /// Scans that are under way.
    pub scans: usize,
    /// Deleted sessions that are not forgotten.
    pub tombstones: usize,
    /// Transfers that are not confirmed.
    pub transfers: usize,
    /// Messages that came before an earlier one.
    pub early: usize,
}

impl Queues {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        *self == Queues::default()
    }
}

impl Engine {
    /// How much waits here.
    pub fn queues(&self) -> Queues {
        Queues {
            waiters: self.sessions.all_pending().map(|(_, pending)| pending.waiters.len()).sum(),
            frozen: self.sessions.all_pending().map(|(_, pending)| pending.queue.len()).sum(),
            at_home: self.homeq.values().map(Vec::len).sum(),
            idle: self.idle.len(),
            reports: self.reports.values().map(Vec::len).sum(),
            scans: self.scans.len(),
            tombstones: self.sessions.tombstones.len(),
            transfers: self.transfers.len(),
            early: self.links.values().map(super::stream::Link::early_frames).sum(),
        }
    }

    /// Who this member is in this life.
    pub fn member(&self) -> Member {
        self.me
    }

    /// The view that it has adopted.
    pub fn view(&self) -> Option<Arc<View>> {
        self.view.clone()
    }

    /// The member at a glance.
    pub fn status(&self) -> Status {
        let state = self.view.as_ref().and_then(|view| view.state(self.me.id));
        let phase = match state {
            _ if self.membership.has_left() => MemberPhase::Left,
            None | Some(MemberState::Join) => MemberPhase::Joining,
            Some(MemberState::Leave) if self.sessions.owned_count() == 0 && self.transfers.is_empty() => MemberPhase::Drained,
            Some(MemberState::Leave) => MemberPhase::Draining,
            Some(MemberState::Full) if self.membership.is_leaving() => MemberPhase::Draining,
            Some(MemberState::Full) => MemberPhase::Active,
        };
        let link = |link: &super::stream::Link| LinkStatus {
            peer: link.peer,
            is_ready: link.is_ready(),
            version: link.terms.version,
            is_packed: link.terms.packs,
            connections: link.lane_statuses(self.now),
            wanted_connections: link.terms.connections,
            counters: link.counters,
            unacked_frames: link.unacked_frames(),
            early_bytes: link.early_bytes(),
            unacked_bytes: link.unacked_bytes,
            silent: self.now.saturating_sub(link.last_heard),
            is_suspected: link.suspected_at.is_some(),
        };
        Status {
            member: self.me,
            phase,
            is_alone: self.view.as_ref().is_some_and(|view| view.all().len() == 1),
            view: self.view.clone(),
            owned: self.sessions.owned_count().saturating_sub(self.sessions.tombstones.len()),
            kept: self.sessions.len() - self.sessions.owned_count(),
            unsettled: self.sweep.remaining(),
            transfers: self.transfers.len(),
            load: self.load(),
            commands: self.commands.len(),
            barrier: self.barrier,
            links: self.links.values().map(link).collect(),
        }
    }

    /// What this member knows of a session; `None` if it holds no record of it.
    pub fn session(&self, key: &Key) -> Option<SessionStatus> {
        let slot = slot(key);
        let seen = self.sessions.look(&slot)?;
        let record = seen.record;
        Some(SessionStatus {
            owner: record.owner(),
            home: self.layout.home(slot.0),
            term: record.term,
            seq: record.seq,
            holders: seen.holders(),
            size: record.value.as_ref().map(|value| value.data.size()),
            ttl: record.expires_at().map(|at| at.saturating_sub(self.now)),
        })
    }
}
