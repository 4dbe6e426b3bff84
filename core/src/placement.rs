//! Where a session belongs: rendezvous hashing, so that a member that comes or goes moves only its own share.

use xxhash_rust::xxh3::xxh3_64;

use crate::view::{MemberSet, NodeId};

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

/// The first `copies` of the ranking, `owner` left out.
pub fn keepers(nodes: MemberSet, position: u64, owner: NodeId, copies: u8) -> MemberSet {
    let mut rest = nodes;
    rest.remove(owner);
    let mut chosen = MemberSet::EMPTY;
    for _ in 0..copies {
        let Some(next) = home(rest.without(chosen), position) else { break };
        chosen.insert(next);
    }
    chosen
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

    #[test]
    fn the_home_owns_or_keeps() {
        for i in 0..1_000u32 {
            let position = position(&i.to_be_bytes());
            let home = home(nodes(4), position).expect("there are members");
            for owner in nodes(4).iter().filter(|owner| *owner != home) {
                assert!(keepers(nodes(4), position, owner, 1).contains(home));
            }
        }
    }
}
