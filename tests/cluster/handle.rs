//! The handle on a cluster that tests and the demo hold: one that this machine runs, or one that was there already.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_support::apt;
use holdfast_support::command::{self, Run};
use holdfast_support::lock;
use holdfast_support::progress::Progress;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, Client};

use super::forward::{self, Forward};
use super::state::{self, State};
use super::topology::{CONTROL_PLANE, Topology};
use super::tunnel::{self, Target};
use super::{down, faults, images, namespaces, packages, process, programs, up};

/// What kind of cluster is wanted.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name: 1 to 20 of a-z, 0-9 and `-`.
    pub name: String,
    /// How many nodes it has, 1 to 16.
    pub nodes: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self { name: "holdfast".to_owned(), nodes: 3 }
    }
}

/// Why something could not be done with a cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This needs the lab.
    #[error("{0} needs a cluster that `cluster up` started: it is not possible on an existing one")]
    NeedsLab(&'static str),
    /// KUBECONFIG is not set.
    #[error("set KUBECONFIG to the kubeconfig of the existing cluster")]
    NoKubeconfig,
    /// The kubeconfig is of no use.
    #[error("failed to use the kubeconfig {path}")]
    Client {
        /// The kubeconfig.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API server said no.
    #[error("failed to look up {what}")]
    Api {
        /// What was looked up.
        what: String,
        /// The answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// There is no address to forward to.
    #[error("{what} has no address to forward to: {why}")]
    NoAddress {
        /// The Service or pod.
        what: String,
        /// Why not.
        why: String,
    },
    /// A program of the machine is missing.
    #[error(transparent)]
    Packages(#[from] packages::Error),
    /// A program of the cluster could not be built.
    #[error(transparent)]
    Programs(#[from] programs::Error),
    /// The cluster's state could not be used.
    #[error(transparent)]
    State(#[from] state::Error),
    /// Another command would not let go of the cluster.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// It did not start.
    #[error(transparent)]
    Up(#[from] up::Error),
    /// It did not go.
    #[error(transparent)]
    Down(#[from] down::Error),
    /// kubectl or helm failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// An image could not be loaded.
    #[error(transparent)]
    Images(#[from] images::Error),
    /// A forwarder could not be started.
    #[error(transparent)]
    Forward(#[from] forward::Error),
    /// A fault could not be set or ended.
    #[error(transparent)]
    Fault(#[from] faults::Error),
}

/// How long kubectl and helm may take: longer than any `--timeout` that a test gives them.
const LIMIT: Duration = Duration::from_secs(900);

/// A cluster. Cheap to clone; dropping it ends nothing.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    helm: PathBuf,
    lab: Option<Lab>,
}

/// What only a cluster on this machine has.
#[derive(Debug, Clone)]
pub(super) struct Lab {
    pub(super) state: State,
    pub(super) topology: Topology,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("kubeconfig", &self.kubeconfig).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Starts the cluster, or what is missing of it, and waits until pods can run. Installs packages and builds programs first
    /// where that was not done yet.
    pub async fn up(options: Options) -> Result<Self, Error> {
        let progress = Progress::default();
        let state = State::new(&options.name)?;
        state::check_nodes(options.nodes)?;
        packages::ensure(&progress).await?;
        let programs = programs::ensure(&progress).await?;
        let _lock = state.lock(|| progress.note("another command works on this cluster: waiting for it")).await?;
        up::start(&state, options.nodes, &programs, &progress).await?;
        Self::open(&options.name).await
    }

    /// The cluster of that name, which is up.
    pub async fn open(name: &str) -> Result<Self, Error> {
        let state = State::new(name)?;
        let record = state.load()?.filter(|record| record.complete).ok_or_else(|| state::Error::Unknown(name.to_owned()))?;
        let kubeconfig = state.kubeconfig();
        Ok(Self {
            client: client(&kubeconfig).await?,
            kubectl: state.path("bin/kubectl"),
            helm: state.path("bin/helm"),
            kubeconfig,
            lab: Some(Lab { state, topology: up::topology(&record) }),
        })
    }

    /// The cluster of the environment's KUBECONFIG. kubectl and helm are those of the PATH, or built where there are none.
    pub async fn existing() -> Result<Self, Error> {
        let kubeconfig = std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty()).ok_or(Error::NoKubeconfig)?;
        let kubeconfig = PathBuf::from(kubeconfig);
        let path = std::env::var("PATH").unwrap_or_default();
        let (kubectl, helm) = match (apt::find("kubectl", &path), apt::find("helm", &path)) {
            (Some(kubectl), Some(helm)) => (kubectl, helm),
            _ => {
                let programs = programs::ensure(&Progress::default()).await?;
                (programs.kubectl, programs.helm)
            }
        };
        Ok(Self { client: client(&kubeconfig).await?, kubeconfig, kubectl, helm, lab: None })
    }

    /// Ends the cluster and everything of it. An existing cluster is left as it is.
    pub async fn down(self) -> Result<(), Error> {
        match self.lab {
            Some(lab) => remove(lab.state.name()).await,
            None => Ok(()),
        }
    }

    /// A client of the API server.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The kubeconfig file.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The nodes of a cluster on this machine, `node1` first.
    pub fn nodes(&self) -> &[String] {
        self.lab.as_ref().map_or(&[], |lab| &lab.topology.nodes)
    }

    /// Runs kubectl and returns what it printed.
    pub async fn kubectl<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<String, Error> {
        Ok(self.run(&self.kubectl, args).output().await?)
    }

    /// Runs `kubectl apply --server-side` on manifests given as text.
    pub async fn apply(&self, manifests: &str) -> Result<String, Error> {
        let run = self.run(&self.kubectl, ["apply", "--server-side", "-f", "-"]);
        Ok(run.input(manifests).output().await?)
    }

    /// Runs helm and returns what it printed.
    pub async fn helm<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<String, Error> {
        Ok(self.run(&self.helm, args).output().await?)
    }

    fn run<A: AsRef<OsStr>>(&self, program: &Path, args: impl IntoIterator<Item = A>) -> Run {
        Run::new(program, args).env("KUBECONFIG", &self.kubeconfig).limit(LIMIT)
    }

    /// kubectl or helm with `args`, to be run in a way of the caller's own: with a terminal, or in the background.
    pub fn command(&self, program: Program, args: impl IntoIterator<Item = OsString>) -> tokio::process::Command {
        let program = match program {
            Program::Kubectl => &self.kubectl,
            Program::Helm => &self.helm,
        };
        self.run(program, args).prepare()
    }

    /// Brings the images in an archive into every node. Pods use them by name with `imagePullPolicy: IfNotPresent` or `Never`.
    pub async fn load_image(&self, archive: &Path) -> Result<(), Error> {
        let lab = self.lab("loading an image")?;
        Ok(images::load(&lab.state, &lab.topology, archive).await?)
    }

    /// Forwards a port of 127.0.0.1, `local` or one that the kernel picks, to a port of a Service, until what this returns is
    /// dropped. Each connection goes where the Service leads at that moment.
    pub async fn forward_service(&self, ns: &str, service: &str, port: u16, local: Option<u16>) -> Result<Forward, Error> {
        let found = self.service(ns, service, port).await?;
        match &self.lab {
            Some(lab) => Ok(forward::start(&lab.state, found.address()?, local)?),
            None => {
                let target = Target::Service { namespace: ns.to_owned(), name: service.to_owned(), port: found.port_name };
                Ok(tunnel::start(self.client(), target, local)?)
            }
        }
    }

    /// As [`Cluster::forward_service`], but until the cluster goes down.
    pub async fn forward_service_detached(&self, ns: &str, service: &str, port: u16, local: Option<u16>) -> Result<SocketAddr, Error> {
        let lab = self.lab("forwarding beyond the end of this command")?;
        let to = self.service(ns, service, port).await?.address()?;
        let name = format!("{CONTROL_PLANE}.forward-{ns}-{service}-{port}");
        Ok(forward::start_detached(&lab.state, &name, to, local)?)
    }

    /// Forwards to a port of one pod, until what this returns is dropped. A pod that takes its place later has another address.
    pub async fn forward_pod(&self, ns: &str, pod: &str, port: u16, local: Option<u16>) -> Result<Forward, Error> {
        let Some(lab) = &self.lab else {
            let target = Target::Pod { namespace: ns.to_owned(), name: pod.to_owned(), port };
            return Ok(tunnel::start(self.client(), target, local)?);
        };
        let what = format!("pod {ns}/{pod}");
        let found = Api::<Pod>::namespaced(self.client(), ns).get(pod).await;
        let found = found.map_err(|source| Error::Api { what: what.clone(), source: Box::new(source) })?;
        let address = found.status.and_then(|status| status.pod_ip).and_then(|address| address.parse::<IpAddr>().ok());
        let address = address.ok_or(Error::NoAddress { what, why: "it has not started".to_owned() })?;
        Ok(forward::start(&lab.state, SocketAddr::new(address, port), local)?)
    }

    async fn service(&self, ns: &str, service: &str, number: u16) -> Result<FoundService, Error> {
        let what = format!("Service {ns}/{service}");
        let found = Api::<Service>::namespaced(self.client(), ns).get(service).await;
        let found = found.map_err(|source| Error::Api { what: what.clone(), source: Box::new(source) })?;
        let spec = found.spec.unwrap_or_default();
        let ports = spec.ports.unwrap_or_default();
        let Some(port) = ports.iter().find(|port| port.port == i32::from(number)) else {
            let others: Vec<_> = ports.iter().map(|port| port.port).collect();
            return Err(Error::NoAddress { what, why: format!("it has no port {number}, but {others:?}") });
        };
        let address = spec.cluster_ip.as_deref().and_then(|address| address.parse().ok());
        let address = address.map(|address| SocketAddr::new(address, number));
        Ok(FoundService { what, port_name: port.name.clone(), address })
    }

    pub(super) fn lab(&self, what: &'static str) -> Result<&Lab, Error> {
        self.lab.as_ref().ok_or(Error::NeedsLab(what))
    }
}

/// A Service that was looked up for one of its ports.
struct FoundService {
    what: String,
    port_name: Option<String>,
    address: Option<SocketAddr>,
}

impl FoundService {
    fn address(self) -> Result<SocketAddr, Error> {
        self.address.ok_or(Error::NoAddress { what: self.what, why: "it is headless".to_owned() })
    }
}

/// A program that is run against the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// kubectl.
    Kubectl,
    /// helm.
    Helm,
}

async fn client(kubeconfig: &Path) -> Result<Client, Error> {
    up::client(kubeconfig).await.map_err(|source| Error::Client { path: kubeconfig.to_owned(), source })
}

/// Ends the cluster of that name, whatever there is of it.
pub async fn remove(name: &str) -> Result<(), Error> {
    packages::require_root()?;
    let progress = Progress::default();
    let state = State::new(name)?;
    let lock = state.lock(|| progress.note("another command works on this cluster: waiting for it")).await?;
    let step = progress.step(format!("Ending cluster {name}"));
    down::remove(&state).await?;
    lock.remove()?;
    state::forget_root();
    namespaces::forget_networks();
    step.done();
    Ok(())
}

/// The names of all clusters of this machine, those of which only something was left included.
pub fn names() -> Result<Vec<String>, Error> {
    Ok(State::all()?.iter().map(|state| state.name().to_owned()).collect())
}

/// The log files of a cluster's own programs whose names begin with `program`.
pub fn logs(name: &str, program: &str) -> Result<Vec<PathBuf>, Error> {
    let state = State::new(name)?;
    if !state.dir().exists() {
        return Err(state::Error::Unknown(name.to_owned()).into());
    }
    let names = process::names(&state).into_iter().filter(|name| name.starts_with(program));
    Ok(names.map(|name| process::log_path(&state, &name)).collect())
}
