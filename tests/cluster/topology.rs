//! Which machines a cluster has, and what they are called.

use super::addresses::Addresses;

/// The machine with the API server, the other parts of the control plane, and the forwarders from the host.
pub(super) const CONTROL_PLANE: &str = "control-plane";

/// The machines of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topology {
    /// Their addresses.
    pub addresses: Addresses,
    /// The names of the nodes, `node1` first.
    pub nodes: Vec<String>,
}

impl Topology {
    /// A control plane and `count` nodes.
    pub(super) fn new(addresses: Addresses, count: u8) -> Self {
        Self { addresses, nodes: (1..=count).map(|number| format!("node{number}")).collect() }
    }

    /// All machines, the control plane first.
    pub(super) fn machines(&self) -> impl Iterator<Item = &str> {
        std::iter::once(CONTROL_PLANE).chain(self.nodes.iter().map(String::as_str))
    }

    /// The number of node `name`, counted from 1.
    pub(super) fn number(&self, name: &str) -> Option<u8> {
        self.nodes.iter().position(|node| node == name).map(|index| index as u8 + 1)
    }

    /// The zone that node `number` is in: three of them, in turn.
    pub(super) fn zone(number: u8) -> String {
        format!("zone{}", (number - 1) % 3 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_spread_over_three_zones() {
        assert_eq!([1, 2, 3, 4].map(Topology::zone), ["zone1", "zone2", "zone3", "zone1"]);
    }

    #[test]
    fn a_node_is_found_by_its_name() {
        let topology = Topology::new(Addresses::new(0).unwrap(), 3);
        assert_eq!(topology.number("node3"), Some(3));
        assert_eq!(topology.number("node4"), None);
    }
}
