//! Which addresses a cluster uses. Each takes one of sixteen slots of 198.18.0.0/15, the range that RFC 2544 sets aside for
//! benchmarks, so that no address of the lab can be one that the machine itself talks to.

use std::fmt;
use std::net::Ipv4Addr;

/// How many clusters can run at once.
pub const SLOTS: u8 = 16;
/// How many nodes one cluster can have: one /24 each for its pods.
pub const MAX_NODES: u8 = 16;

/// A range of addresses, printed as `address/prefix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first address.
    pub first: Ipv4Addr,
    /// The length of the prefix in bits.
    pub prefix: u8,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// The addresses of one cluster. A slot is a /19, that is 32 blocks of 256 addresses: blocks 0 to 15 are the pods of nodes 1 to
/// 16, blocks 16 to 23 the Services, block 24 the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    slot: u8,
}

impl Addresses {
    /// The addresses of `slot`, or none when there is no such slot.
    pub fn new(slot: u8) -> Option<Self> {
        (slot < SLOTS).then_some(Self { slot })
    }

    fn block(self, block: u16, host: u8) -> Ipv4Addr {
        let block = u16::from(self.slot) * 32 + block;
        let [high, low] = block.to_be_bytes();
        Ipv4Addr::new(198, 18 + high, low, host)
    }

    /// All pods.
    pub fn pods(self) -> Range {
        Range { first: self.block(0, 0), prefix: 20 }
    }

    /// The pods of node `number`, counted from 1.
    pub fn pods_of(self, number: u8) -> Range {
        Range { first: self.block(u16::from(number) - 1, 0), prefix: 24 }
    }

    /// All Services.
    pub fn services(self) -> Range {
        Range { first: self.block(16, 0), prefix: 21 }
    }

    /// The Service `kubernetes`: the API server takes the first address of the range.
    pub fn api_service(self) -> Ipv4Addr {
        self.block(16, 1)
    }

    /// The Service of the cluster's DNS.
    pub fn dns_service(self) -> Ipv4Addr {
        self.block(16, 10)
    }

    /// The machine with the control plane.
    pub fn control_plane(self) -> Ipv4Addr {
        self.block(24, 1)
    }

    /// The machine of node `number`, counted from 1.
    pub fn node(self, number: u8) -> Ipv4Addr {
        self.block(24, 100 + number)
    }

    /// The API server's port on the host's loopback, when it is free. Below the ports that the kernel gives to clients.
    pub fn preferred_port(self) -> u16 {
        16443 + u16::from(self.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slot_starts_at_the_reserved_range() {
        let addresses = Addresses::new(0).unwrap();
        assert_eq!(addresses.pods().to_string(), "198.18.0.0/20");
        assert_eq!(addresses.pods_of(1).to_string(), "198.18.0.0/24");
        assert_eq!(addresses.pods_of(16).to_string(), "198.18.15.0/24");
        assert_eq!(addresses.services().to_string(), "198.18.16.0/21");
        assert_eq!(addresses.control_plane().to_string(), "198.18.24.1");
        assert_eq!(addresses.node(3).to_string(), "198.18.24.103");
    }

    #[test]
    fn the_last_slot_ends_inside_the_reserved_range() {
        let addresses = Addresses::new(SLOTS - 1).unwrap();
        assert_eq!(addresses.pods().to_string(), "198.19.224.0/20");
        assert_eq!(addresses.node(16).to_string(), "198.19.248.116");
        assert!(Addresses::new(SLOTS).is_none());
    }

    #[test]
    fn no_address_belongs_to_two_clusters() {
        let all = |slot| {
            let addresses = Addresses::new(slot).unwrap();
            let blocks = (1..=MAX_NODES).map(move |node| addresses.pods_of(node).first);
            blocks.chain([addresses.services().first, addresses.control_plane()]).map(move |first| (first, slot))
        };
        let mut seen = std::collections::HashMap::new();
        for (first, slot) in (0..SLOTS).flat_map(all) {
            assert_eq!(seen.insert(first, slot), None);
        }
    }
}
