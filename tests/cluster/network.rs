//! The wires between the machines: each node's `eth0` is plugged into a bridge in the control plane's namespace. There is no
//! uplink, and the host has no route to any of it.

use holdfast_support::command::{self, Run};

use super::addresses::Addresses;
use super::namespaces::Namespaces;
use super::state::State;
use super::topology::{CONTROL_PLANE, Topology};

/// The bridge in the control plane's namespace.
pub(super) const BRIDGE: &str = "lan0";

/// Why the machines were not connected.
#[derive(Debug, thiserror::Error)]
#[error("failed to connect `{machine}` to the cluster's network")]
pub struct Error {
    machine: String,
    #[source]
    source: command::Error,
}

/// Lines for `ip -batch` in the control plane's namespace. `networks` are the nodes' network namespaces.
fn control_plane_wiring(addresses: Addresses, nodes: &[String], networks: &[String]) -> String {
    let mut lines = vec![
        "link set lo up".to_owned(),
        // A bridge without an address of its own takes the lowest of its ports', and changes it as ports come and go.
        format!("link add {BRIDGE} address 02:00:00:00:00:01 type bridge"),
        format!("addr add {}/24 dev {BRIDGE}", addresses.control_plane()),
        format!("link set {BRIDGE} up"),
        format!("route add {} dev {BRIDGE}", addresses.services()),
    ];
    for ((node, network), number) in nodes.iter().zip(networks).zip(1..) {
        lines.push(format!("link add {node} type veth peer name eth0 netns {network}"));
        lines.push(format!("link set {node} master {BRIDGE} up"));
        lines.push(format!("route add {} via {}", addresses.pods_of(number), addresses.node(number)));
    }
    lines.join("\n") + "\n"
}

/// Lines for `ip -batch` in the namespace of node `number` of `count`.
fn node_wiring(addresses: Addresses, number: u8, count: u8) -> String {
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("addr add {}/24 dev eth0", addresses.node(number)),
        "link set eth0 up".to_owned(),
        // kube-proxy turns these addresses into others, but a packet needs a route before it comes to that.
        format!("route add {} dev eth0", addresses.services()),
    ];
    for other in (1..=count).filter(|other| *other != number) {
        lines.push(format!("route add {} via {}", addresses.pods_of(other), addresses.node(other)));
    }
    lines.join("\n") + "\n"
}

/// Connects all machines. Their namespaces exist, and nothing is in them yet.
pub(super) async fn connect(state: &State, topology: &Topology) -> Result<(), Error> {
    let networks: Vec<_> = topology.nodes.iter().map(|node| Namespaces::of(state, node).network).collect();
    let wiring = control_plane_wiring(topology.addresses, &topology.nodes, &networks);
    wire(state, CONTROL_PLANE, wiring).await?;
    let count = topology.nodes.len() as u8;
    let nodes = topology.nodes.iter().zip(1..);
    let work = nodes.map(|(node, number)| wire(state, node, node_wiring(topology.addresses, number, count)));
    futures::future::try_join_all(work).await.map(drop)
}

async fn wire(state: &State, machine: &str, wiring: String) -> Result<(), Error> {
    let fail = |source| Error { machine: machine.to_owned(), source };
    let namespaces = Namespaces::of(state, machine);
    let settings = ["-qw", "net.ipv4.ip_forward=1"];
    // Where br_netfilter is loaded, frames that only cross the bridge would be judged by kube-proxy's rules: with -e, a kernel
    // without it is content.
    let bridge = ["-e", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0"];
    let args = [&settings[..], &bridge[..]].concat();
    Run::in_network(&namespaces.network_path(), "sysctl", &args).output().await.map_err(fail)?;
    Run::new("ip", ["-n", &namespaces.network, "-batch", "-"]).input(wiring).output().await.map_err(fail)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_route_to_the_pods_of_every_other() {
        let wiring = node_wiring(Addresses::new(0).unwrap(), 2, 3);
        assert!(wiring.contains("addr add 198.18.24.102/24 dev eth0\n"), "{wiring}");
        assert!(wiring.contains("route add 198.18.0.0/24 via 198.18.24.101\n"), "{wiring}");
        assert!(wiring.contains("route add 198.18.2.0/24 via 198.18.24.103\n"), "{wiring}");
        assert!(!wiring.contains("198.18.1.0/24"), "{wiring}");
    }

    #[test]
    fn every_node_is_plugged_into_the_bridge() {
        let names = |prefix: &str| (1..=3).map(|number| format!("{prefix}{number}")).collect::<Vec<_>>();
        let wiring = control_plane_wiring(Addresses::new(0).unwrap(), &names("node"), &names("holdfast.a.node"));
        for number in 1..=3 {
            let line = format!("link add node{number} type veth peer name eth0 netns holdfast.a.node{number}\n");
            assert!(wiring.contains(&line), "{wiring}");
        }
    }
}
