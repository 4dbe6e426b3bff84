//! What a member remembers of one session (R6): the same for every holder, and more for its owner.

use std::collections::VecDeque;

use super::home::Queued;
use crate::Millis;
use crate::command::{Key, Reply};
use crate::placement;
use crate::value::{self, Change, Image, Value};
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
    /// When its life ends for its holders should its owner fail, on this member's clock; `None` where nothing says more than the value itself.
    pub(super) granted: Option<Millis>,
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
    /// The highest number that its member has received, where that is what answers wait for.
    pub(super) received: Option<u64>,
    /// How many puts it has not answered.
    pub(super) outstanding: u32,
    /// An image is on its way.
    pub(super) imaged: bool,
    /// It was told to drop it, and has not confirmed.
    pub(super) dropping: bool,
}

impl Holder {
    /// A member to which a first put is on its way.
    pub(super) fn new(id: NodeId) -> Holder {
        Holder { id, acked: None, received: None, outstanding: 1, imaged: false, dropping: false }
    }
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

/// A value as it travels.
pub(super) fn image(value: &Option<Value>, granted: Option<Millis>, now: Millis) -> Option<Image> {
    value.as_ref().map(|value| value.to_image(now, granted))
}

impl Record {
    /// Takes a value as it travelled.
    pub(super) fn take_image(&mut self, image: Option<Image>, now: Millis) {
        let slack = image.as_ref().map_or(0, |image| image.slack);
        self.value = image.map(|image| image.into_value(now));
        self.grant(slack);
    }

    /// Applies a change, as the owner and every holder do.
    pub(super) fn apply(&mut self, change: Change, now: Millis) {
        let slack = match &change {
            Change::Replace(image) => Some(image.slack),
            Change::Retime(ttl) => Some(ttl.map_or(0, value::slack)),
            Change::Delete => Some(0),
            Change::Fields { .. } => None,
        };
        value::apply(&mut self.value, change, now);
        if let Some(slack) = slack {
            self.grant(slack);
        }
    }

    fn grant(&mut self, slack: Millis) {
        self.granted = self.value.as_ref().and_then(|value| value.expires_at).map(|at| at.saturating_add(slack));
    }

    /// Prolongs a life as far as the holders grant it anyway; false if they have to be told.
    pub(super) fn prolong(&mut self, change: &Change, now: Millis) -> bool {
        let Change::Retime(Some(ttl)) = change else { return false };
        let until = now.saturating_add(*ttl);
        let Some(value) = self.value.as_mut() else { return false };
        let is_granted = value.expires_at.is_some_and(|at| at <= until) && self.granted.is_some_and(|granted| until <= granted);
        if is_granted {
            value.expires_at = Some(until);
        }
        is_granted
    }

    /// Another member owns it from now on, which grants nothing that it has not told all holders itself.
    pub(super) fn end_grant(&mut self) {
        self.granted = None;
    }

    /// Its owner has failed: it may have prolonged the life that far.
    pub(super) fn inherit(&mut self) {
        if let Some(value) = self.value.as_mut() {
            value.expires_at = value.expires_at.max(self.granted).filter(|_| value.expires_at.is_some());
        }
        self.end_grant();
    }
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

    /// The lowest number received by those of `among`; `seq` if there are none.
    pub(super) fn min_received(&self, among: MemberSet, seq: u64) -> Option<u64> {
        let received = |holder: &Holder| holder.acked.max(holder.received);
        self.holders.iter().filter(|holder| among.contains(holder.id)).map(received).min().unwrap_or(Some(seq))
    }

    /// Whether all of H have acknowledged `seq`, the home knows who owns it, and nothing else is under way.
    pub(super) fn is_quiet(&self, seq: u64) -> bool {
        self.giver.is_none()
            && self.waiters.is_empty()
            && self.min_acked(self.set(), seq) >= Some(seq)
            && self.holders.iter().all(|holder| !holder.dropping && holder.outstanding == 0)
    }
}
