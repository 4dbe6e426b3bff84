//! What a member remembers of one session (R6): the same for every holder, and more for its owner while anything is under way.

use std::collections::VecDeque;

use super::home::Queued;
use crate::Millis;
use crate::command::{Key, Reply};
use crate::placement;
use crate::value::{self, Change, Image, Notice, Value};
use crate::view::{Member, MemberSet, NodeId};

/// Where a session stands among the others: by the position of its key, so that ranges of them have a stable order.
pub(super) type Slot = (u64, Key);

/// The slot of `key`.
pub(super) fn slot(key: &Key) -> Slot {
    (placement::position(key), key.clone())
}

/// A session, as a holder knows it. There may be millions: it is kept small.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) term: u64,
    pub(super) seq: u64,
    owner_incarnation: u64,
    /// `None`: deleted, or not written yet.
    pub(super) value: Option<Value>,
    /// At its owner everybody else who may hold it (H), unless it is pending; elsewhere all who hold it, as its owner last said.
    pub(super) holders: MemberSet,
    owner_id: NodeId,
    /// This member owns it.
    pub(super) is_owned: bool,
    /// At its owner: it counts as a session.
    pub(super) counts: bool,
    /// For how much longer than `value` says it lives for its holders should its owner fail, in milliseconds.
    slack: u16,
    /// At its owner: the home that knows in this term that it is the owner, though it may have no copy.
    pub(super) known_to: Option<NodeId>,
    /// How often it has changed hands lately to follow its user, and when it did last, in seconds.
    pub(super) moves: u8,
    moved_at: u16,
    /// Who asked for it last from elsewhere, and how often in a row.
    pub(super) foreign: Option<(NodeId, u8)>,
    /// Up to which view it is known here who of its holders is gone.
    pub(super) seen: u16,
}

/// What its owner knows of a session while anything is under way with it. At rest all of H have acknowledged the last write, and the home knows.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// H: everybody else who may hold it.
    pub(super) holders: Vec<Holder>,
    /// The highest number that all of H have acknowledged; never goes back.
    pub(super) stable: Option<u64>,
    /// It is about to be handed to this member.
    pub(super) frozen: Option<Member>,
    /// The tombstone is being dropped everywhere.
    pub(super) forgetting: bool,
    /// It does not exist, and stays here until then so that it can be part of one step.
    pub(super) claimed: Option<Millis>,
    /// Answers that wait until `stable` has come to them.
    pub(super) waiters: VecDeque<Waiter>,
    /// Commands that wait for the handoff.
    pub(super) queue: Vec<Queued>,
    /// Who gave it, and still has to be told that all went well.
    pub(super) giver: Option<Member>,
    /// The number that all of H had acknowledged when it was handed over.
    pub(super) given: Option<u64>,
    /// The giver was told, by the message with this number, and has not received that.
    pub(super) confirming: Option<(NodeId, u64)>,
    /// The number that all that should hold it in this epoch had to acknowledge before it counted as protected.
    pub(super) settle: Option<u64>,
    /// The home that was told who owns it.
    pub(super) told: Option<NodeId>,
    /// It was an orphan, nobody waits for it, and those that should hold it get it when the sweep comes to it. Until then nothing of it counts as acknowledged.
    pub(super) deferred: bool,
    /// The number whose acknowledgement ends the session: its time to live was over.
    pub(super) expiring: Option<u64>,
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

    /// A member that has everything up to `seq`.
    fn at(id: NodeId, seq: u64) -> Holder {
        Holder { acked: Some(seq), outstanding: 0, ..Holder::new(id) }
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
    /// What is to be told to whoever wants to know.
    pub(super) notices: Vec<Notice>,
}

impl Record {
    /// A copy of what `owner` owns, not filled in yet.
    pub(super) fn kept(owner: Member, term: u64, seq: u64, holders: MemberSet) -> Record {
        Record {
            term,
            seq,
            owner_incarnation: owner.incarnation,
            value: None,
            holders,
            owner_id: owner.id,
            is_owned: false,
            counts: false,
            slack: 0,
            known_to: None,
            moves: 0,
            moved_at: 0,
            foreign: None,
            seen: 0,
        }
    }

    /// Who owns it.
    pub(super) fn owner(&self) -> Member {
        Member { id: self.owner_id, incarnation: self.owner_incarnation }
    }

    pub(super) fn set_owner(&mut self, owner: Member) {
        (self.owner_id, self.owner_incarnation) = (owner.id, owner.incarnation);
    }

    /// When its life ends.
    pub(super) fn expires_at(&self) -> Option<Millis> {
        self.value.as_ref().and_then(Value::expires_at)
    }

    /// As it travels.
    pub(super) fn image(&self, now: Millis) -> Option<Image> {
        self.value.as_ref().map(|value| value.to_image(now, self.slack.into()))
    }

    /// What its content takes in memory, in bytes.
    pub(super) fn weight(&self) -> u64 {
        self.value.as_ref().map_or(0, |value| value.data.weight())
    }

    /// Takes a value as it travelled; returns how many bytes of memory that takes more.
    #[must_use]
    pub(super) fn take_image(&mut self, image: Option<Image>, now: Millis) -> i64 {
        let growth = image.as_ref().map_or(0, |image| image.data.weight()) as i64 - self.weight() as i64;
        let slack = image.as_ref().map_or(0, |image| image.slack);
        self.value = image.map(|image| image.into_value(now));
        self.grant(slack);
        growth
    }

    /// Applies a change, as the owner and every holder do; returns how many bytes of memory that takes more.
    #[must_use]
    pub(super) fn apply(&mut self, change: Change, now: Millis) -> i64 {
        let slack = match &change {
            Change::Replace(image) => Some(image.slack),
            Change::Retime(ttl) => Some(ttl.map_or(0, value::slack)),
            Change::Delete => Some(0),
            Change::Several(_) => {
                let Change::Several(changes) = change else { return 0 };
                return changes.into_iter().map(|change| self.apply(change, now)).sum();
            }
            Change::Fields { .. } | Change::Rewrite(_) | Change::Append(_) | Change::Members { .. } | Change::Scores { .. } => None,
        };
        let growth = value::growth(self.value.as_ref(), &change);
        value::apply(&mut self.value, change, now);
        if let Some(slack) = slack {
            self.grant(slack);
        }
        growth
    }

    fn grant(&mut self, slack: Millis) {
        let slack = u16::try_from(slack).unwrap_or(u16::MAX);
        self.slack = if self.expires_at().is_some() { slack } else { 0 };
    }

    /// Prolongs a life as far as the holders grant it anyway; false if they have to be told.
    pub(super) fn prolong(&mut self, change: &Change, now: Millis) -> bool {
        let Change::Retime(Some(ttl)) = change else { return false };
        let until = now.saturating_add(*ttl);
        let Some((value, at)) = self.value.as_mut().and_then(|value| value.expires_at().map(|at| (value, at))) else { return false };
        let Some(added) = until.checked_sub(at).filter(|added| *added <= self.slack.into()) else { return false };
        value.set_expires_at(Some(until));
        self.slack -= added as u16;
        true
    }

    /// Its owner has failed: it may have prolonged the life that far.
    pub(super) fn inherit(&mut self) {
        let slack = Millis::from(std::mem::take(&mut self.slack));
        if let Some(value) = &mut self.value {
            value.set_expires_at(value.expires_at().map(|at| at.saturating_add(slack)));
        }
    }

    /// It has changed hands to follow its user, which makes the next time harder.
    pub(super) fn moved(&mut self, moves: u8, now: Millis) {
        (self.moves, self.moved_at) = (moves, seconds(now));
    }

    /// How long ago it changed hands, in seconds; after 18 hours that begins again, which does no harm.
    pub(super) fn moved_ago(&self, now: Millis) -> u16 {
        seconds(now).wrapping_sub(self.moved_at)
    }
}

/// Seconds as far as they fit.
fn seconds(now: Millis) -> u16 {
    (now / 1000 % (1 << 16)) as u16
}

impl Pending {
    /// That of a session at rest, held by `holders` up to `seq`.
    pub(super) fn resume(&mut self, holders: MemberSet, seq: u64) {
        self.holders.extend(holders.iter().map(|id| Holder::at(id, seq)));
        self.stable = Some(seq);
    }

    /// Whether `home` has a copy of this term.
    pub(super) fn is_held_by(&self, home: NodeId) -> bool {
        self.holders.iter().any(|holder| holder.id == home && (holder.dropping || holder.acked.is_some()))
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

    /// Whether whoever gave it knows that all went well. Before that it may neither be given on nor forgotten: what the giver reports of the transfer would
    /// stand for a session that is nowhere.
    pub(super) fn is_confirmed(&self) -> bool {
        self.giver.is_none() && self.confirming.is_none()
    }

    /// Whether all of H have acknowledged `seq`, the home knows who owns it, and nothing else is under way.
    pub(super) fn is_quiet(&self, seq: u64) -> bool {
        self.is_confirmed()
            && self.waiters.is_empty()
            && self.holders.iter().all(|holder| holder.acked >= Some(seq) && !holder.dropping && holder.outstanding == 0)
    }

    /// Whether there is nothing to be remembered beside who holds it.
    pub(super) fn is_over(&self, seq: u64) -> bool {
        self.is_quiet(seq)
            && self.stable >= Some(seq)
            && self.frozen.is_none()
            && !self.forgetting
            && self.claimed.is_none()
            && self.queue.is_empty()
            && self.expiring.is_none()
    }

    /// Forgets everything, but keeps its memory for the next one.
    pub(super) fn clear(&mut self) {
        let (mut holders, mut waiters) = (std::mem::take(&mut self.holders), std::mem::take(&mut self.waiters));
        holders.clear();
        waiters.clear();
        *self = Pending { holders, waiters, ..Pending::default() };
    }
}
