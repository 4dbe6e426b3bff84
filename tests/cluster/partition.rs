//! Which machines do not hear which others, and the packet filter rules that make it so. The wanted set is kept on disk, and the
//! rules of each machine are written anew from it.

use std::collections::BTreeSet;
use std::io;

use holdfast_support::command::{self, Run};
use serde::{Deserialize, Serialize};

use super::namespaces::Namespaces;
use super::network::BRIDGE;
use super::state::{self, State};
use super::topology::{CONTROL_PLANE, Topology};

/// Why machines could not be parted or joined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules were not accepted.
    #[error("failed to set the packet filter of `{machine}`")]
    Filter {
        /// The machine.
        machine: String,
        /// What nft said.
        #[source]
        source: command::Error,
    },
    /// The set could not be kept.
    #[error(transparent)]
    State(#[from] state::Error),
}

/// Pairs of machines: the second does not hear the first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Partitions(BTreeSet<(String, String)>);

const FILE: &str = "partitions.json";

impl Partitions {
    /// Those that are in force.
    pub(super) fn load(state: &State) -> Result<Self, Error> {
        let path = state.path(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(serde_json::from_str(&text).map_err(|source| state::Error::Damaged { path, source })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(state::Error::Io { action: "read", path, source }.into()),
        }
    }

    /// Puts these in force, and no others.
    pub(super) async fn enforce(&self, state: &State, topology: &Topology) -> Result<(), Error> {
        state.write(FILE, serde_json::to_string(self).expect("pairs of names can be written as JSON"))?;
        for machine in topology.machines() {
            let network = Namespaces::of(state, machine).network_path();
            let filter = Run::in_network(&network, "nft", &["-f", "-"]).input(self.rules(topology, machine)).output().await;
            filter.map_err(|source| Error::Filter { machine: machine.to_owned(), source })?;
        }
        Ok(())
    }

    /// Nothing of `from` reaches `to` from now on.
    pub(super) fn cut(&mut self, from: &str, to: &str) {
        if from != to {
            self.0.insert((from.to_owned(), to.to_owned()));
        }
    }

    /// Joins `machine` with all others.
    pub(super) fn join(&mut self, machine: &str) {
        self.0.retain(|(from, to)| from != machine && to != machine);
    }

    /// Those whom `machine` does not hear.
    pub(super) fn unheard_by<'a>(&'a self, machine: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(_, to)| to == machine).map(|(from, _)| from.as_str())
    }

    /// The rules of `machine` for `nft -f`, which applies them at once and altogether, whatever was there before.
    fn rules(&self, topology: &Topology, machine: &str) -> String {
        let unheard: Vec<_> = self.unheard_by(machine).map(|from| sources(topology, from)).collect();
        let clear = "add table inet holdfast_faults\ndelete table inet holdfast_faults\n";
        if unheard.is_empty() {
            return clear.to_owned();
        }
        // Before connection tracking, and before what arrives for a Service is sent on to a pod. The control plane's bridge also
        // carries what the nodes say to each other: there only what is for itself counts.
        let (hook, wire) = if machine == CONTROL_PLANE { ("input", BRIDGE) } else { ("prerouting", "eth0") };
        let unheard = unheard.join(", ");
        format!(
            "{clear}table inet holdfast_faults {{\n  chain incoming {{\n    type filter hook {hook} priority -300; policy accept;\n    \
             iifname \"{wire}\" ip saddr {{ {unheard} }} drop\n  }}\n}}\n"
        )
    }
}

/// The addresses that packets of `machine` come from.
fn sources(topology: &Topology, machine: &str) -> String {
    match topology.number(machine) {
        Some(number) => format!("{}, {}", topology.addresses.node(number), topology.addresses.pods_of(number)),
        None => topology.addresses.control_plane().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::addresses::Addresses;
    use super::*;

    #[test]
    fn the_deaf_side_drops_what_the_other_and_its_pods_say() {
        let topology = Topology::new(Addresses::new(0).unwrap(), 3);
        let mut partitions = Partitions::default();
        partitions.cut("node1", "node2");
        let rules = partitions.rules(&topology, "node2");
        assert!(rules.contains("hook prerouting") && rules.contains("{ 198.18.24.101, 198.18.0.0/24 } drop"), "{rules}");
        assert!(!partitions.rules(&topology, "node1").contains("drop"));
    }

    #[test]
    fn a_joined_machine_hears_and_is_heard_again() {
        let mut partitions = Partitions::default();
        partitions.cut("node1", "node2");
        partitions.cut("node3", "node1");
        partitions.cut("node3", "node2");
        partitions.cut("node2", "node2");
        partitions.join("node1");
        assert_eq!(partitions.unheard_by("node2").collect::<Vec<_>>(), ["node3"]);
        assert_eq!(partitions.unheard_by("node1").count(), 0);
    }
}
