//! Where a session belongs: rendezvous hashing, so that a member that comes or goes moves only its own share.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::view::{MAX_MEMBERS, MemberSet, MemberState, NodeId, Place, View};

/// So many copies stand for one on each other member.
pub const ALL: u8 = MAX_MEMBERS - 1;

/// The fixed place of a key in the order of all keys; 48 bits, so that scan cursors fit what clients store in a double, and never 0.
pub fn position(key: &[u8]) -> u64 {
    (xxh3_64(key) >> 16).max(1)
}

/// How much `node` is preferred for `position`: independent for each pair (splitmix64's finalizer).
fn weight(node: NodeId, position: u64) -> u64 {
    let mut z = position ^ (u64::from(node.get()) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The first of the ranking of `nodes` for `position`.
pub fn home(nodes: MemberSet, position: u64) -> Option<NodeId> {
    nodes.iter().max_by_key(|node| weight(*node, position))
}

/// Who is placed in a view, and where: everything about a view that deciding on a session's members takes, ready for use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    full: MemberSet,
    /// Full members and joiners.
    joined: MemberSet,
    copies: u8,
    /// Members that share a replication domain, and members that share a failure zone.
    domains: Vec<MemberSet>,
    zones: Vec<MemberSet>,
}

impl Layout {
    /// The layout of `view`.
    pub fn new(view: &View) -> Layout {
        Layout {
            full: view.full(),
            joined: view.in_states(&[MemberState::Full, MemberState::Join]),
            copies: view.copies,
            domains: groups(view, |place| &place.domain),
            zones: groups(view, |place| &place.zone),
        }
    }

    /// Those that own and keep sessions.
    pub fn full(&self) -> MemberSet {
        self.full
    }

    /// The home of the session at `position`.
    pub fn home(&self, position: u64) -> Option<NodeId> {
        home(self.full, position)
    }

    /// Who has to hold a session at `position` that `owner` owns before a write is acknowledged: its keepers, and the joiners that will be.
    pub fn want(&self, position: u64, owner: NodeId) -> MemberSet {
        let keepers = self.keepers(self.full, position, owner);
        if self.joined == self.full {
            return keepers;
        }
        keepers.union(self.keepers(self.joined, position, owner).without(self.full))
    }

    /// The keepers of a session at `position` that `owner` owns.
    pub fn keepers_of(&self, position: u64, owner: NodeId) -> MemberSet {
        self.keepers(self.full, position, owner)
    }

    /// How many copies each session should have, however many members there are: all others count as enough where all are asked for.
    pub fn copies_wanted(&self) -> usize {
        if self.copies >= ALL { self.full.len().saturating_sub(1) } else { usize::from(self.copies) }
    }

    /// The first `copies` of the ranking without the owner; those in other domains and zones than the owner and the keepers before them go first.
    fn keepers(&self, nodes: MemberSet, position: u64, owner: NodeId) -> MemberSet {
        let mut rest = nodes;
        rest.remove(owner);
        if usize::from(self.copies) >= rest.len() {
            return rest;
        }
        let mut taken = MemberSet::of(owner);
        let mut chosen = MemberSet::EMPTY;
        for _ in 0..self.copies {
            let shares = |groups: &[MemberSet], node: NodeId| {
                groups.iter().filter(|group| group.contains(node)).map(|group| group.and(taken).len()).sum::<usize>()
            };
            let preference = |node: &NodeId| {
                let (domain, zone) = (shares(&self.domains, *node), shares(&self.zones, *node));
                (std::cmp::Reverse(domain), std::cmp::Reverse(zone), weight(*node, position))
            };
            let Some(next) = rest.iter().max_by_key(preference) else { break };
            rest.remove(next);
            taken.insert(next);
            chosen.insert(next);
        }
        chosen
    }
}

/// The members of each place that is known.
fn groups(view: &View, name: impl Fn(&Place) -> &String) -> Vec<MemberSet> {
    let mut groups: BTreeMap<&str, MemberSet> = BTreeMap::new();
    for (id, entry) in view.members.iter().filter(|(_, entry)| !name(&entry.place).is_empty()) {
        groups.entry(name(&entry.place)).or_default().insert(*id);
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

/// Where `node` stands in the ranking of `nodes` for `position`, 0 for the first.
pub fn rank(nodes: MemberSet, position: u64, node: NodeId) -> usize {
    nodes.iter().filter(|other| weight(*other, position) > weight(node, position)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(n: u8) -> MemberSet {
        (0..n).filter_map(NodeId::new).collect()
    }

    #[test]
    fn a_member_that_goes_moves_only_its_own_share() {
        let (before, mut after) = (nodes(5), nodes(5));
        let gone = NodeId::new(3).expect("3 is less than 64");
        after.remove(gone);
        for i in 0..10_000u32 {
            let position = position(&i.to_be_bytes());
            let home_before = home(before, position).expect("there are members");
            if home_before != gone {
                assert_eq!(home(after, position), Some(home_before));
            }
        }
    }

    #[test]
    fn shares_are_even() {
        let mut counts = [0u32; 5];
        for i in 0..50_000u32 {
            let home = home(nodes(5), position(&i.to_be_bytes())).expect("there are members");
            counts[usize::from(home.get())] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }

    fn layout(copies: u8, places: &[(&str, &str)]) -> Layout {
        let mut view = View::unfounded(copies);
        for (i, (domain, zone)) in places.iter().enumerate() {
            let place = Place { zone: (*zone).to_owned(), domain: (*domain).to_owned() };
            let (name, pod_uid) = (String::new(), String::new());
            let entry = crate::view::ViewEntry { name, incarnation: 1, pod_uid, state: MemberState::Full, place };
            view.members.insert(NodeId::new(i as u8).expect("less than 64"), entry);
        }
        Layout::new(&view)
    }

    #[test]
    fn without_zones_the_home_owns_or_keeps() {
        let layout = layout(1, &[("", ""); 4]);
        for i in 0..1_000u32 {
            let position = position(&i.to_be_bytes());
            let home = layout.home(position).expect("there are members");
            for owner in nodes(4).iter().filter(|owner| *owner != home) {
                assert_eq!(layout.want(position, owner), MemberSet::of(home));
            }
        }
    }

    #[test]
    fn copies_go_to_other_domains_and_zones_first() {
        let places = [("a", "1"), ("a", "2"), ("a", "2"), ("b", "3"), ("b", "3"), ("", "")];
        let layout = layout(2, &places);
        for i in 0..1_000u32 {
            let position = position(&i.to_be_bytes());
            for owner in nodes(6).iter() {
                let place = |id: NodeId| places[usize::from(id.get())];
                let keepers: Vec<NodeId> = layout.want(position, owner).iter().collect();
                assert_eq!(keepers.len(), 2);
                let mut all = vec![owner];
                all.extend(keepers);
                let domains: std::collections::BTreeSet<&str> = all.iter().map(|id| place(*id).0).collect();
                assert_eq!(domains.len(), 3, "{all:?}: one in a, one in b, and the one that may be anywhere");
            }
        }
    }

    #[test]
    fn more_copies_than_others_are_all_others() {
        for copies in [3, 63] {
            let layout = layout(copies, &[("a", ""); 4]);
            let owner = NodeId::new(2).expect("2 is less than 64");
            let mut others = nodes(4);
            others.remove(owner);
            assert_eq!(layout.want(7, owner), others);
        }
    }
}
