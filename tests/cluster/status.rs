//! How a cluster is, seen from below: which machines are there, what is wrong with each on purpose or by itself, and what the
//! API server says of the nodes.

use std::fmt;
use std::time::Duration;

use holdfast_support::command::Run;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, ResourceExt};
use serde::Deserialize;

use super::handle::{Cluster, Error};
use super::namespaces::Namespaces;
use super::partition::Partitions;
use super::process::{self, Identity};
use super::state::State;
use super::topology::{CONTROL_PLANE, Topology};
use super::{down, faults, up};

/// How a cluster is.
#[derive(Debug)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its machines, the control plane first; none when only something was left of it.
    pub machines: Vec<Machine>,
    /// What was left by a start that failed.
    pub leftovers: Vec<String>,
    /// The API server on 127.0.0.1.
    pub port: Option<u16>,
}

/// How a machine is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Whether the API server holds the node for ready, or answers at all; not known when it does not answer.
    pub ready: Option<bool>,
    /// The programs that should run on it, and do not.
    pub ended: Vec<String>,
    /// The programs of it that are stopped.
    pub stopped: Vec<String>,
    /// Whether its wire is pulled.
    pub cut_off: bool,
    /// The machines that it does not hear.
    pub deaf_to: Vec<String>,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = match (self.ready, self.name == CONTROL_PLANE) {
            (Some(true), _) => "ready",
            (Some(false), _) => "not ready",
            (None, true) => "the API server does not answer",
            (None, false) => "unknown",
        };
        write!(f, "{:14} {ready}", self.name)?;
        let lists = [("not running", &self.ended), ("frozen", &self.stopped), ("does not hear", &self.deaf_to)];
        for (what, names) in lists.iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "; {what}: {}", names.join(", "))?;
        }
        if self.cut_off {
            write!(f, "; cut off")?;
        }
        Ok(())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "cluster {}: https://127.0.0.1:{port}", self.name)?,
            None => {
                write!(f, "cluster {}: not up, unless `up` is still at work; `cluster --name {0} down` removes what there is", self.name)?
            }
        }
        for machine in &self.machines {
            write!(f, "\n  {machine}")?;
        }
        for thing in &self.leftovers {
            write!(f, "\n  {thing}")?;
        }
        Ok(())
    }
}

/// How the cluster of that name is.
pub async fn status(name: &str) -> Result<Status, Error> {
    let state = State::new(name)?;
    let Some(record) = state.load()?.filter(|record| record.complete) else {
        return Ok(Status { name: name.to_owned(), machines: Vec::new(), leftovers: down::leftovers(&state)?, port: None });
    };
    let topology = up::topology(&record);
    let ready = ready_nodes(name).await;
    let unplugged = unplugged(&state).await;
    let partitions = Partitions::load(&state).map_err(faults::Error::from)?;
    let machines = topology.machines().map(|machine| {
        let is_control_plane = machine == CONTROL_PLANE;
        let (ended, stopped) = daemons(&state, &topology, machine)?;
        Ok(Machine {
            name: machine.to_owned(),
            ready: ready.as_ref().map(|ready| is_control_plane || ready.iter().any(|node| node == machine)),
            ended,
            stopped,
            cut_off: unplugged.iter().any(|node| node == machine),
            deaf_to: partitions.unheard_by(machine).map(str::to_owned).collect(),
        })
    });
    let machines = machines.collect::<Result<Vec<_>, process::Error>>().map_err(faults::Error::from)?;
    Ok(Status { name: name.to_owned(), machines, leftovers: Vec::new(), port: Some(record.port) })
}

/// The nodes that are ready, unless the API server does not answer.
async fn ready_nodes(name: &str) -> Option<Vec<String>> {
    let list = async {
        let cluster = Cluster::open(name).await.ok()?;
        let nodes = Api::<Node>::all(cluster.client()).list(&kube::api::ListParams::default()).await.ok()?;
        Some(nodes.items.iter().filter(|node| up::is_ready(node)).map(ResourceExt::name_any).collect())
    };
    tokio::time::timeout(Duration::from_secs(3), list).await.ok().flatten()
}

/// The nodes whose wire is pulled.
async fn unplugged(state: &State) -> Vec<String> {
    #[derive(Deserialize)]
    struct Link {
        ifname: String,
        flags: Vec<String>,
    }
    let network = Namespaces::of(state, CONTROL_PLANE).network;
    let links = Run::new("ip", ["-n", &network, "-json", "link", "show"]).output().await.unwrap_or_default();
    let links: Vec<Link> = serde_json::from_str(&links).unwrap_or_default();
    links.into_iter().filter(|link| !link.flags.iter().any(|flag| flag == "UP")).map(|link| link.ifname).collect()
}

/// The programs of a machine that do not run, and those that are stopped.
fn daemons(state: &State, topology: &Topology, machine: &str) -> Result<(Vec<String>, Vec<String>), process::Error> {
    let (mut ended, mut stopped) = (Vec::new(), Vec::new());
    for &program in up::programs_of(topology, machine) {
        match process::recorded(state, &format!("{machine}.{program}"))?.filter(|found| Identity::is_alive(*found)) {
            None => ended.push(program.to_owned()),
            Some(process) if process.is_stopped() => stopped.push(program.to_owned()),
            Some(_) => {}
        }
    }
    Ok((ended, stopped))
}

/// Whether a process lives in one of the clusters of this machine.
pub(super) fn belongs_to_a_cluster(pid: i32) -> bool {
    let clusters = State::all().unwrap_or_default();
    clusters.iter().any(|state| down::home(state).houses(pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_says_what_is_wrong_with_it() {
        let sound = Machine { name: "node1".into(), ready: Some(true), ..Machine::default() };
        assert_eq!(sound.to_string(), "node1          ready");
        let ill = Machine { ended: vec!["kubelet".into()], cut_off: true, deaf_to: vec!["node2".into()], ready: None, ..sound };
        assert_eq!(ill.to_string(), "node1          unknown; not running: kubelet; does not hear: node2; cut off");
    }
}
