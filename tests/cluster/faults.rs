//! Faults of the kinds that happen to clusters, on purpose: containers and nodes that die or stand still, nodes that lose their
//! wire, parts of the network that do not hear each other, an API server or a DNS that does not answer. And the end of each.

use std::time::{Duration, Instant};

use holdfast_support::command::{self, Run};
use nix::sys::signal::Signal;

use super::containers::{self, Container};
use super::control_plane::API_SERVER;
use super::handle::{Cluster, Error as ClusterError, Lab};
use super::namespaces::Namespaces;
use super::node;
use super::partition::{self, Partitions};
use super::process::{self, Home, Identity};
use super::topology::CONTROL_PLANE;

/// Namespace and container of the cluster's DNS.
const DNS: (&str, &str) = ("kube-system", "coredns");

/// Why a fault could not be set or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such machine.
    #[error("there is no machine `{name}` in this cluster, but {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The control plane is not a node.
    #[error("`{CONTROL_PLANE}` is no node: it can be partitioned, and its API server frozen, but not killed, frozen or cut off")]
    NotANode,
    /// The containers could not be found.
    #[error(transparent)]
    Containers(#[from] containers::Error),
    /// A process withstood.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// The link could not be set.
    #[error("failed to set the link of `{node}` {direction}")]
    Link {
        /// The node.
        node: String,
        /// Up or down, slow or quick.
        direction: &'static str,
        /// What `ip` said.
        #[source]
        source: command::Error,
    },
    /// Processes went on running.
    #[error("processes {0:?} of `{1}` went on although they were sent SIGSTOP")]
    Unstoppable(Vec<i32>, String),
    /// The packet filter could not be set.
    #[error(transparent)]
    Partition(#[from] partition::Error),
    /// A node did not start again.
    #[error(transparent)]
    Node(#[from] node::Error),
}

impl Cluster {
    /// Kills one container of a pod by SIGKILL.
    pub async fn kill_container(&self, ns: &str, pod: &str, container: &str) -> Result<(), ClusterError> {
        let lab = self.lab("killing a container")?;
        let container = containers::of_name(&lab.state, &lab.topology, ns, pod, container).map_err(Error::from)?;
        Ok(kill(&[container]).await?)
    }

    /// Kills all containers of a pod by SIGKILL at once. The pod stays, with its address, and kubelet starts them again.
    pub async fn kill_pod(&self, ns: &str, pod: &str) -> Result<(), ClusterError> {
        let lab = self.lab("killing a pod")?;
        let containers = containers::of_pod(&lab.state, &lab.topology, ns, pod).map_err(Error::from)?;
        Ok(kill(&containers).await?)
    }

    /// Makes one container of a pod stand still: its processes are stopped, its kernel still takes what is sent to it.
    pub async fn pause_container(&self, ns: &str, pod: &str, container: &str) -> Result<(), ClusterError> {
        let lab = self.lab("pausing a container")?;
        let found = containers::of_name(&lab.state, &lab.topology, ns, pod, container).map_err(Error::from)?;
        Ok(pause(&[found], &format!("{ns}/{pod} {container}")).await?)
    }

    /// Lets a paused container go on; nothing happens when it has ended meanwhile.
    pub async fn resume_container(&self, ns: &str, pod: &str, container: &str) -> Result<(), ClusterError> {
        let lab = self.lab("resuming a container")?;
        match containers::of_name(&lab.state, &lab.topology, ns, pod, container) {
            Ok(found) => Ok(resume(&[found])?),
            Err(containers::Error::NoPod { .. } | containers::Error::NoContainer { .. }) => Ok(()),
            Err(error) => Err(Error::from(error).into()),
        }
    }

    /// Takes the DNS away: it takes questions, and answers none. [`Cluster::thaw_dns`] gives it back.
    pub async fn freeze_dns(&self) -> Result<(), ClusterError> {
        let lab = self.lab("freezing the DNS")?;
        Ok(pause(&containers::of_every_pod(&lab.state, &lab.topology, DNS.0, DNS.1).map_err(Error::from)?, "the DNS").await?)
    }

    /// Lets the DNS go on.
    pub async fn thaw_dns(&self) -> Result<(), ClusterError> {
        let lab = self.lab("thawing the DNS")?;
        Ok(resume(&containers::of_every_pod(&lab.state, &lab.topology, DNS.0, DNS.1).map_err(Error::from)?)?)
    }

    /// Where the cluster's DNS takes questions.
    pub fn dns(&self) -> Result<std::net::SocketAddr, ClusterError> {
        Ok((self.lab("the DNS of the lab")?.topology.addresses.dns_service(), 53).into())
    }

    /// Where the pods find the API server.
    pub fn api_service(&self) -> Result<std::net::SocketAddr, ClusterError> {
        Ok((self.lab("the API server's address in the lab")?.topology.addresses.api_service(), 443).into())
    }

    /// Ends a node as if its power were cut: no packet leaves it any more, and all its processes die. [`Cluster::heal`] starts it
    /// again.
    pub async fn kill_node(&self, node: &str) -> Result<(), ClusterError> {
        let lab = self.lab("killing a node")?;
        lab.check_node(node)?;
        lab.set_link(node, "down").await?;
        lab.home(node).clear().await.map_err(Error::from)?;
        Ok(())
    }

    /// Makes a node stand still: all its processes are stopped, though its kernel still answers for them.
    pub async fn freeze_node(&self, node: &str) -> Result<(), ClusterError> {
        let lab = self.lab("freezing a node")?;
        lab.check_node(node)?;
        let home = lab.home(node);
        Ok(stop(|| Ok(home.residents()?), node).await?)
    }

    /// Pulls a node's wire: its processes run on, but hear and reach nobody else.
    pub async fn cut_off(&self, node: &str) -> Result<(), ClusterError> {
        let lab = self.lab("cutting off a node")?;
        lab.check_node(node)?;
        Ok(lab.set_link(node, "down").await?)
    }

    /// Parts two sets of machines: nobody in one hears anybody in the other. Adds to partitions that are there already.
    pub async fn partition(&self, one: &[&str], other: &[&str]) -> Result<(), ClusterError> {
        self.part(one, other, true).await
    }

    /// Parts two sets of machines one way: nobody in `to` hears anybody in `from`, but not the other way round.
    pub async fn partition_one_way(&self, from: &[&str], to: &[&str]) -> Result<(), ClusterError> {
        self.part(from, to, false).await
    }

    async fn part(&self, from: &[&str], to: &[&str], both: bool) -> Result<(), ClusterError> {
        let lab = self.lab("a partition")?;
        for machine in from.iter().chain(to) {
            lab.check_machine(machine)?;
        }
        let _lock = lab.state.lock(|| {}).await?;
        let mut partitions = Partitions::load(&lab.state).map_err(Error::from)?;
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (from, to))) {
            partitions.cut(from, to);
            if both {
                partitions.cut(to, from);
            }
        }
        Ok(partitions.enforce(&lab.state, &lab.topology).await.map_err(Error::from)?)
    }

    /// Stops the API server's process: it takes connections, and answers nothing.
    pub async fn freeze_apiserver(&self) -> Result<(), ClusterError> {
        let lab = self.lab("freezing the API server")?;
        Ok(lab.signal_api_server(Signal::SIGSTOP)?)
    }

    /// Lets the API server go on.
    pub async fn thaw_apiserver(&self) -> Result<(), ClusterError> {
        let lab = self.lab("thawing the API server")?;
        Ok(lab.signal_api_server(Signal::SIGCONT)?)
    }

    /// Ends every fault of a node: its wire is plugged in, it hears and is heard by all, and its processes run.
    pub async fn heal(&self, node: &str) -> Result<(), ClusterError> {
        let lab = self.lab("healing a node")?;
        lab.check_node(node)?;
        let _lock = lab.state.lock(|| {}).await?;
        let mut partitions = Partitions::load(&lab.state).map_err(Error::from)?;
        partitions.join(node);
        partitions.enforce(&lab.state, &lab.topology).await.map_err(Error::from)?;
        Ok(lab.heal_node(node).await?)
    }

    /// Ends every fault.
    pub async fn heal_all(&self) -> Result<(), ClusterError> {
        let lab = self.lab("healing")?;
        let _lock = lab.state.lock(|| {}).await?;
        lab.heal_wires().await?;
        futures::future::try_join_all(lab.topology.nodes.iter().map(|node| lab.heal_node(node))).await?;
        Ok(())
    }
}

impl Lab {
    /// Ends every fault except that of processes that have ended. The caller holds the cluster's lock.
    pub(super) async fn heal_wires(&self) -> Result<(), Error> {
        Partitions::default().enforce(&self.state, &self.topology).await?;
        for node in &self.topology.nodes {
            self.set_link(node, "up").await?;
            self.quick_link(node).await?;
        }
        for machine in self.topology.machines() {
            self.wake(machine)?;
        }
        Ok(())
    }

    async fn heal_node(&self, node: &str) -> Result<(), Error> {
        self.wake(node)?;
        self.set_link(node, "up").await?;
        self.quick_link(node).await?;
        node::start_containerd(&self.state, node).await?;
        node::start_agents(&self.state, &self.topology, node)?;
        Ok(())
    }

    /// Lets all processes of a machine go on.
    fn wake(&self, machine: &str) -> Result<(), Error> {
        for process in self.home(machine).residents()? {
            process.signal(Signal::SIGCONT);
        }
        Ok(())
    }

    fn home(&self, machine: &str) -> Home {
        Namespaces::of(&self.state, machine).home()
    }

    fn check_machine(&self, name: &str) -> Result<(), Error> {
        if self.topology.machines().any(|machine| machine == name) {
            return Ok(());
        }
        let known = self.topology.machines().map(|machine| format!("`{machine}`")).collect::<Vec<_>>().join(", ");
        Err(Error::Unknown { name: name.to_owned(), known })
    }

    pub(super) fn check_node(&self, name: &str) -> Result<(), Error> {
        if name == CONTROL_PLANE { Err(Error::NotANode) } else { self.check_machine(name) }
    }

    async fn set_link(&self, node: &str, direction: &'static str) -> Result<(), Error> {
        let network = Namespaces::of(&self.state, CONTROL_PLANE).network;
        let set = Run::new("ip", ["-n", &network, "link", "set", node, direction]).output().await;
        set.map(drop).map_err(|source| Error::Link { node: node.to_owned(), direction, source })
    }

    fn signal_api_server(&self, signal: Signal) -> Result<(), Error> {
        let process = process::recorded(&self.state, API_SERVER)?.filter(|found| found.is_alive());
        process.ok_or_else(|| process::Error::NotRunning("the API server".to_owned()))?.signal(signal);
        Ok(())
    }
}

/// Kills containers, and whatever they start while they are being killed. All are found before the first is killed, so that none
/// sees another's end.
async fn kill(containers: &[Container]) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        let mut processes = Vec::new();
        for container in containers {
            processes.extend(container.processes()?);
        }
        if processes.is_empty() {
            return Ok(());
        }
        if started.elapsed() > Duration::from_secs(10) {
            return Err(process::Error::Unkillable(processes.iter().map(|process| process.pid).collect()).into());
        }
        for process in processes {
            process.signal(Signal::SIGKILL);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Stops containers, and whatever they start while they are being stopped.
async fn pause(containers: &[Container], what: &str) -> Result<(), Error> {
    let processes = || {
        let mut processes = Vec::new();
        for container in containers {
            processes.extend(container.processes()?);
        }
        Ok(processes)
    };
    stop(processes, what).await
}

/// Lets containers go on.
fn resume(containers: &[Container]) -> Result<(), Error> {
    for container in containers {
        container.processes()?.into_iter().for_each(|process| process.signal(Signal::SIGCONT));
    }
    Ok(())
}

/// Stops all that `living` finds, and whatever they start while they are being stopped.
async fn stop(living: impl Fn() -> Result<Vec<Identity>, Error>, whose: &str) -> Result<(), Error> {
    let started = Instant::now();
    // A process that is just being born is not seen by one look: only two looks in a row that find nobody awake count.
    let mut still = 0;
    while still < 2 {
        let awake: Vec<Identity> = living()?.into_iter().filter(|process| !process.is_stopped()).collect();
        still = if awake.is_empty() { still + 1 } else { 0 };
        if started.elapsed() > Duration::from_secs(10) && !awake.is_empty() {
            return Err(Error::Unstoppable(awake.iter().map(|process| process.pid).collect(), whose.to_owned()));
        }
        for process in awake {
            process.signal(Signal::SIGSTOP);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
