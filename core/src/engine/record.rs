//! What a member remembers of one session (R6): the same for every holder, and more for its owner.

use std::collections::VecDeque;

use super::home::Queued;
use crate::Millis;
use crate::command::{Key, Reply};
use crate::placement;
use crate::value::Value;
use crate::view::{Member, MemberSet, NodeId};

/// Where a session stands among the others: by the position of its key, so that ranges of them have a stable order.
pub(super) type Slot = (u64, Key);

/// The slot of `key`.
pub(super) fn slot(key: &Key) -> Slot {
    (placement::position(key), key.clone())
}

/// A session, as a holder knows it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) term: u64,
    pub(super) seq: u64,
    pub(super) owner: Member,
    /// `None`: deleted, or not written yet.
    pub(super) value: Option<Value>,
    /// Who holds it, as its owner last said. Of no meaning where `own` is there.
    pub(super) holders: MemberSet,
    /// There exactly at the owner.
    pub(super) own: Option<Box<Owning>>,
}

/// What only the owner knows of a session.
#[derive(Debug, Default)]
pub(super) struct Owning {
    /// H: everybody else who may hold it.
    pub(super) holders: Vec<Holder>,
    /// The highest number that all of H have acknowledged; never goes back.
    pub(super) stable: Option<u64>,
    /// It is about to be handed to this member.
    pub(super) frozen: Option<Member>,
    /// The tombstone is being dropped everywhere.
    pub(super) forgetting: bool,
    /// Answers that wait until `stable` has come to them.
    pub(super) waiters: VecDeque<Waiter>,
    /// Commands that wait for the handoff.
    pub(super) queue: Vec<Queued>,
    /// Who gave it, and still has to be told that all went well.
    pub(super) giver: Option<Member>,
    /// The number that all that should hold it in this epoch had to acknowledge before it counted as protected.
    pub(super) settle: Option<u64>,
    /// The home that knows that this member owns it in this term, and the one that was told so.
    pub(super) known_to: Option<NodeId>,
    pub(super) told: Option<NodeId>,
    /// The number whose acknowledgement ends the session: its time to live was over.
    pub(super) expiring: Option<u64>,
    /// How often it has changed hands lately to follow its user, and when it did last.
    pub(super) moves: u8,
    pub(super) moved_at: Millis,
    /// Who asked for it last from elsewhere, and how often in a row.
    pub(super) foreign: Option<(NodeId, u32)>,
    /// Under which time it is in the index of deadlines.
    pub(super) deadline: Option<Millis>,
}

/// A member of H.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) id: NodeId,
    /// The highest number that it has acknowledged.
    pub(super) acked: Option<u64>,
    /// How many puts it has not answered.
    pub(super) outstanding: u32,
    /// An image is on its way.
    pub(super) imaged: bool,
    /// It was told to drop it, and has not confirmed.
    pub(super) dropping: bool,
}

/// An answer that waits for acknowledgements.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) origin: Member,
    pub(super) request: u64,
    pub(super) seq: u64,
    pub(super) reply: Reply,
    /// When its origin will have given up.
    pub(super) deadline: Millis,
}

impl Owning {
    /// Whether `home` has a copy of this term, or knows who owns it without one.
    pub(super) fn is_known_to(&self, home: NodeId) -> bool {
        let has_copy = |holder: &Holder| holder.id == home && (holder.dropping || holder.acked.is_some());
        self.known_to == Some(home) || self.holders.iter().any(has_copy)
    }

    /// H as a set.
    pub(super) fn set(&self) -> MemberSet {
        self.holders.iter().map(|holder| holder.id).collect()
    }

    /// The holder `id`, unless it is being dropped.
    pub(super) fn active(&mut self, id: NodeId) -> Option<&mut Holder> {
        self.holders.iter_mut().find(|holder| holder.id == id && !holder.dropping)
    }

    /// The lowest number acknowledged by those of `among`; `seq` if there are none.
    pub(super) fn min_acked(&self, among: MemberSet, seq: u64) -> Option<u64> {
        self.holders.iter().filter(|holder| among.contains(holder.id)).map(|holder| holder.acked).min().unwrap_or(Some(seq))
    }

    /// Whether all of H have acknowledged `seq`, the home knows who owns it, and nothing else is under way.
    pub(super) fn is_quiet(&self, seq: u64) -> bool {
        self.giver.is_none()
            && self.waiters.is_empty()
            && self.min_acked(self.set(), seq) >= Some(seq)
            && self.holders.iter().all(|holder| !holder.dropping && holder.outstanding == 0)
    }
}
