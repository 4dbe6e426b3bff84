//! Who counts: the numbered list of members. Views form one line, each replaces its predecessor by a compare-and-swap in the arbiter, and members
//! only ever adopt what the arbiter has shown (rules R1 to R3 of docs/protocol.md).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::placement::Layout;

/// The most members that a cluster can have: sets of them are one machine word.
pub const MAX_MEMBERS: u8 = 64;

/// The place of a member, which outlives restarts: the ordinal of its pod.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct NodeId(u8);

impl TryFrom<u8> for NodeId {
    type Error = String;

    fn try_from(id: u8) -> Result<NodeId, String> {
        NodeId::new(id).ok_or_else(|| format!("{id} is no place of a member: they go up to {}", MAX_MEMBERS - 1))
    }
}

impl NodeId {
    /// The place `id`; `None` unless it is less than [`MAX_MEMBERS`].
    pub fn new(id: u8) -> Option<NodeId> {
        (id < MAX_MEMBERS).then_some(NodeId(id))
    }

    /// The ordinal.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// One life of a member: a new incarnation at each start of the process and at each attempt to join.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// Its place.
    pub id: NodeId,
    /// Which of its lives: later ones have higher numbers. Messages ask for equality only; the order tells a successor from a predecessor.
    pub incarnation: u64,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.{}", self.id, self.incarnation)
    }
}

/// A set of places.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemberSet(u64);

impl MemberSet {
    /// Nobody.
    pub const EMPTY: MemberSet = MemberSet(0);

    /// Just `id`.
    pub fn of(id: NodeId) -> MemberSet {
        MemberSet(1 << id.0)
    }

    /// Whether `id` is in it.
    pub fn contains(self, id: NodeId) -> bool {
        self.0 >> id.0 & 1 == 1
    }

    /// Whether nobody is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many are in it.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Puts `id` in.
    pub fn insert(&mut self, id: NodeId) {
        self.0 |= 1 << id.0;
    }

    /// Takes `id` out.
    pub fn remove(&mut self, id: NodeId) {
        self.0 &= !(1 << id.0);
    }

    /// Those of `self` and those of `other`.
    #[must_use]
    pub fn union(self, other: MemberSet) -> MemberSet {
        MemberSet(self.0 | other.0)
    }

    /// Those of `self` that are not in `other`.
    #[must_use]
    pub fn without(self, other: MemberSet) -> MemberSet {
        MemberSet(self.0 & !other.0)
    }

    /// All but `id`.
    #[must_use]
    pub fn except(mut self, id: NodeId) -> MemberSet {
        self.remove(id);
        self
    }

    /// Those in both.
    #[must_use]
    pub fn and(self, other: MemberSet) -> MemberSet {
        MemberSet(self.0 & other.0)
    }

    /// Whether all of `other` are in it.
    pub fn covers(self, other: MemberSet) -> bool {
        other.0 & !self.0 == 0
    }

    /// In the order of places.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            (rest != 0).then(|| {
                let id = rest.trailing_zeros() as u8;
                rest &= rest - 1;
                NodeId(id)
            })
        })
    }
}

impl FromIterator<NodeId> for MemberSet {
    fn from_iter<T: IntoIterator<Item = NodeId>>(ids: T) -> Self {
        let mut set = MemberSet::EMPTY;
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

impl fmt::Debug for MemberSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What a member of the view may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberState {
    /// It is being filled; it holds shadows but is not placed.
    Join,
    /// It owns and keeps sessions.
    Full,
    /// It hands everything off; it is not placed.
    Leave,
}

/// One line of the view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewEntry {
    /// The name of its pod, which is its route.
    pub name: String,
    /// Which of its lives counts.
    pub incarnation: u64,
    /// The pod's UID: a successor in the same pod proves that the predecessor is dead.
    pub pod_uid: String,
    /// What it may do.
    pub state: MemberState,
    /// The failure zone of its node, and its replication domain; empty when not known. Copies go to other domains and zones first.
    pub place: Place,
}

/// Where a member runs, as far as failures are shared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The failure zone of its node.
    pub zone: String,
    /// Its replication domain.
    pub domain: String,
}

/// The number of a view: the epoch, and within it 0 for "just changed" or 1 for "settled".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Version {
    /// Grows by one with each change of the members.
    pub epoch: u64,
    /// Grows by one when everything is protected again.
    pub sub: u32,
}

/// The list of members that count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its number; epoch 0 is the empty view from before the first member.
    pub version: Version,
    /// How many keepers each session has.
    pub copies: u8,
    /// How many members may still be evicted on suspicion before everything is protected again.
    pub budget: u8,
    /// A member was evicted without a budget, because `onUnderReplicated` says so: acknowledged writes may be lost. Until the view is settled.
    pub is_lossy: bool,
    /// The members by place.
    pub members: BTreeMap<NodeId, ViewEntry>,
}

impl View {
    /// The view from before the first member.
    pub fn unfounded(copies: u8) -> View {
        View { version: Version::default(), copies, budget: 0, is_lossy: false, members: BTreeMap::new() }
    }

    /// Whether exactly this life of this member counts.
    pub fn has(&self, member: Member) -> bool {
        self.members.get(&member.id).is_some_and(|entry| entry.incarnation == member.incarnation)
    }

    /// The life at this place that counts.
    pub fn member(&self, id: NodeId) -> Option<Member> {
        self.members.get(&id).map(|entry| Member { id, incarnation: entry.incarnation })
    }

    /// What the member at this place may do.
    pub fn state(&self, id: NodeId) -> Option<MemberState> {
        self.members.get(&id).map(|entry| entry.state)
    }

    /// Whether the member at this place is placed.
    pub fn is_full(&self, id: NodeId) -> bool {
        self.state(id) == Some(MemberState::Full)
    }

    /// All places taken.
    pub fn all(&self) -> MemberSet {
        self.members.keys().copied().collect()
    }

    /// The places of members in one of `states`.
    pub fn in_states(&self, states: &[MemberState]) -> MemberSet {
        self.members.iter().filter(|(_, entry)| states.contains(&entry.state)).map(|(id, _)| *id).collect()
    }

    /// Those that own and keep sessions.
    pub fn full(&self) -> MemberSet {
        self.in_states(&[MemberState::Full])
    }

    /// Those that vote on evictions and confirm that all is protected: all but the joiners.
    pub fn voters(&self) -> MemberSet {
        self.in_states(&[MemberState::Full, MemberState::Leave])
    }

    /// Where sessions belong in this view.
    pub fn layout(&self) -> Layout {
        Layout::new(self)
    }

    /// The budget of evictions once everything is protected.
    pub fn settled_budget(&self) -> u8 {
        self.copies.max(1).min((self.full().len() as u8).saturating_sub(1))
    }
}
