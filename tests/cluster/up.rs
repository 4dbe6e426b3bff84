//! Starts a cluster, or what is missing of one: the namespaces and their wires, then the control plane and the nodes' container
//! runtimes at the same time, then the kubelets, then what every cluster needs. Ends when pods can run.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use holdfast_support::command::{self, Run};
use holdfast_support::progress::Progress;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::{Api, Client};

use super::addresses::Addresses;
use super::control_plane::{self, API_SERVER};
use super::handle::Lab;
use super::namespaces::{self, Namespaces};
use super::process::{self, Identity};
use super::programs::{KUBE_PROGRAMS, Programs};
use super::state::{self, Record, State};
use super::topology::{CONTROL_PLANE, Topology};
use super::{addons, down, faults, forward, images, network, node, pki};

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It runs with another number of nodes.
    #[error("cluster `{name}` runs with {running} nodes, not {asked}: `cluster down --name {name}` first")]
    Nodes {
        /// The cluster.
        name: String,
        /// What it has.
        running: u8,
        /// What was asked for.
        asked: u8,
    },
    /// The API server did not become ready.
    #[error("the API server was not ready after {waited:?}; the end of its log: {log}")]
    NotReady {
        /// How long we waited.
        waited: Duration,
        /// The end of its log.
        log: String,
    },
    /// The nodes, the DNS or the default ServiceAccount did not become ready.
    #[error("the cluster was not ready after {waited:?}: {missing}; see `cluster logs`")]
    Incomplete {
        /// How long we waited.
        waited: Duration,
        /// What was missing.
        missing: String,
    },
    /// The programs could not be linked into the cluster's folder.
    #[error("failed to link {0}")]
    Link(PathBuf, #[source] std::io::Error),
    /// The kubeconfig is of no use.
    #[error("failed to use the cluster's own kubeconfig")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The add-ons were refused.
    #[error("failed to install the cluster's add-ons")]
    Addons(#[source] command::Error),
    /// What an earlier start left could not be removed.
    #[error(transparent)]
    Down(#[from] down::Error),
    /// The state could not be used.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The certificates could not be made.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// The namespaces could not be made.
    #[error(transparent)]
    Namespaces(#[from] namespaces::Error),
    /// The machines could not be connected.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// A process did not start.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// The forwarder to the API server did not start.
    #[error(transparent)]
    Forward(#[from] forward::Error),
    /// Faults could not be ended.
    #[error(transparent)]
    Faults(#[from] faults::Error),
    /// A node did not start.
    #[error(transparent)]
    Node(#[from] node::Error),
    /// The first images could not be loaded.
    #[error(transparent)]
    Images(#[from] images::Error),
}

/// How long the control plane, and then the rest, may take. Warm they take some 5 s each on two cores.
const LIMIT: Duration = Duration::from_secs(120);

/// Starts the cluster, or what is missing of it, and ends all faults. The caller holds its lock.
pub(super) async fn start(state: &State, nodes: u8, programs: &Programs, progress: &Progress) -> Result<Record, Error> {
    let mut record = match running(state)? {
        Some(record) if record.nodes == nodes => {
            Lab { state: state.clone(), topology: topology(&record) }.heal_wires().await?;
            record
        }
        Some(record) => return Err(Error::Nodes { name: state.name().to_owned(), running: record.nodes, asked: nodes }),
        None => {
            let step = progress.step("Making namespaces, wires and certificates");
            down::remove(state).await?;
            let record = state.claim(nodes).await?;
            prepare(state, &record, programs).await?;
            step.done();
            record
        }
    };
    let topology = topology(&record);

    let step = progress.step(format!("Starting the control plane and {nodes} container runtimes"));
    let api = async {
        for daemon in control_plane::first(state, &topology) {
            daemon.start(state)?;
        }
        control_plane::start_forwarder(state, &topology, record.port)?;
        let client = client(&state.kubeconfig()).await.map_err(Error::Client)?;
        wait_for_api(state, &client).await?;
        Ok::<_, Error>(client)
    };
    let runtimes = topology.nodes.iter().map(|name| async {
        node::start_containerd(state, name).await?;
        images::load_all(state, name, &programs.images).await?;
        Ok::<_, Error>(())
    });
    let (client, _) = tokio::try_join!(api, futures::future::try_join_all(runtimes))?;
    step.done();

    let step = progress.step(format!("Starting {nodes} nodes"));
    for daemon in control_plane::second(state, &topology) {
        daemon.start(state)?;
    }
    // First, as the nodes' rights are among it.
    install_addons(state, &topology).await?;
    for name in &topology.nodes {
        node::start_agents(state, &topology, name)?;
    }
    wait_for_nodes(&client, &topology).await?;
    step.done();

    record.complete = true;
    state.save(&record)?;
    Ok(record)
}

/// The machines of a recorded cluster.
pub(super) fn topology(record: &Record) -> Topology {
    let addresses = Addresses::new(record.slot).expect("a recorded slot is one of those that there are");
    Topology::new(addresses, record.nodes)
}

/// The record, if the cluster came up in this boot of the machine.
fn running(state: &State) -> Result<Option<Record>, Error> {
    match state.load() {
        Ok(Some(record)) => {
            let machines = topology(&record);
            let whole = machines.machines().all(|machine| Namespaces::of(state, machine).network_path().exists());
            Ok(Some(record).filter(|record| record.complete && whole && state::boot().is_ok_and(|boot| boot == record.boot)))
        }
        Ok(None) => Ok(None),
        // Nothing can be known of such a cluster, but it can be replaced.
        Err(state::Error::Damaged { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn prepare(state: &State, record: &Record, programs: &Programs) -> Result<(), Error> {
    let topology = topology(record);
    link_programs(state, programs)?;
    pki::create(state, topology.addresses, &topology.nodes, record.port)?;
    namespaces::prepare(state)?;
    let folders = [programs.kube.clone(), programs.forward.parent().unwrap_or(&programs.forward).to_owned()];
    // The first alone: it may have to make the folder of all network namespaces.
    Namespaces::of(state, CONTROL_PLANE).create(state, &folders).await?;
    let nodes = topology.nodes.iter().map(|name| async { Namespaces::of(state, name).create(state, &folders).await });
    futures::future::try_join_all(nodes).await?;
    network::connect(state, &topology).await?;
    for name in &topology.nodes {
        node::configure(state, &topology, name)?;
    }
    Ok(())
}

fn link_programs(state: &State, programs: &Programs) -> Result<(), Error> {
    let bin = state.create("bin")?;
    let kube = KUBE_PROGRAMS.iter().map(|name| (*name, programs.kube.join(name)));
    for (name, program) in kube.chain([("helm", programs.helm.clone()), ("forward", programs.forward.clone())]) {
        let link = bin.join(name);
        symlink(program, &link).map_err(|error| Error::Link(link, error))?;
    }
    Ok(())
}

/// A client by the kubeconfig at `path`.
pub(super) async fn client(path: &Path) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    // Another part of the process may have chosen the provider already: then that one it is.
    drop(rustls::crypto::ring::default_provider().install_default());
    let config = kube::config::Kubeconfig::read_from(path)?;
    let config = kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

async fn wait_for_api(state: &State, client: &Client) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        let request = http::Request::get("/readyz").body(Vec::new()).expect("the path is a valid one");
        let answer = tokio::time::timeout(Duration::from_secs(2), client.request_text(request)).await;
        if matches!(answer, Ok(Ok(_))) {
            return Ok(());
        }
        for name in [API_SERVER, "control-plane.etcd"] {
            if !process::recorded(state, name)?.is_some_and(Identity::is_alive) {
                return Err(process::Error::Ended { name: name.to_owned(), log: process::log_end(state, name) }.into());
            }
        }
        let waited = started.elapsed();
        if waited > LIMIT {
            return Err(Error::NotReady { waited, log: process::log_end(state, API_SERVER) });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn install_addons(state: &State, topology: &Topology) -> Result<(), Error> {
    let kubeconfig = format!("--kubeconfig={}", state.kubeconfig().display());
    let args = [&kubeconfig, "apply", "--server-side", "--force-conflicts", "--validate=false", "-f", "-"];
    let apply = Run::new(state.path("bin/kubectl"), args).input(addons::manifests(topology));
    apply.output().await.map(drop).map_err(Error::Addons)
}

async fn wait_for_nodes(client: &Client, topology: &Topology) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        let Some(missing) = missing(client, topology).await else { return Ok(()) };
        let waited = started.elapsed();
        if waited > LIMIT {
            return Err(Error::Incomplete { waited, missing });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What the cluster still lacks before pods can run, in words.
async fn missing(client: &Client, topology: &Topology) -> Option<String> {
    let nodes = match Api::<Node>::all(client.clone()).list(&kube::api::ListParams::default()).await {
        Ok(nodes) => nodes.items,
        Err(error) => return Some(format!("the API server does not answer: {error}")),
    };
    let ready: Vec<_> = nodes.iter().filter(|node| is_ready(node)).filter_map(|node| node.metadata.name.as_ref()).collect();
    if let Some(node) = topology.nodes.iter().find(|node| !ready.contains(node)) {
        return Some(format!("node `{node}` is not ready"));
    }
    let dns = Api::<DaemonSet>::namespaced(client.clone(), "kube-system").get_opt("coredns").await;
    let serving = dns.ok().flatten().and_then(|dns| dns.status).map_or(0, |status| status.number_ready);
    if usize::try_from(serving) != Ok(topology.nodes.len()) {
        return Some("the DNS is not ready".to_owned());
    }
    // The controller manager makes it a moment after the namespace; without it no pod is admitted.
    match Api::<ServiceAccount>::namespaced(client.clone(), "default").get_opt("default").await {
        Ok(Some(_)) => None,
        _ => Some("the default ServiceAccount is not there".to_owned()),
    }
}

/// Whether a node says that it is ready.
pub(super) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

/// The background programs that should run on a machine.
pub(super) fn programs_of(topology: &Topology, machine: &str) -> &'static [&'static str] {
    match topology.number(machine) {
        Some(_) => &["containerd", "kubelet", "kube-proxy"],
        None => &["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "forward-api"],
    }
}
