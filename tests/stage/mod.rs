//! The shop on a Kubernetes: Holdfast installed by its chart, the shop's `SessionCluster` applied, its state waited for, its pods
//! found. What the demo and the end-to-end tests have in common; neither knows here whether the cluster is the lab's.

mod dump;
mod settled;
mod waits;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use holdfast_api::{SessionCluster, names};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::process::Command;

pub use settled::{Wanted, epoch, is_true, settled};
pub use waits::{NotYet, eventually};

/// Where the operator lives.
pub const SYSTEM: &str = "holdfast-system";
/// Where the shop lives.
pub const NAMESPACE: &str = "default";
/// The shop's name.
pub const SHOP: &str = "shop";

const COMMAND_LIMIT: Duration = Duration::from_secs(180);

/// Why a step on the stage failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program could not be run.
    #[error("failed to run {program}: {source}")]
    Run {
        /// Which.
        program: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A program ran too long.
    #[error("{command} was not done after {COMMAND_LIMIT:?}")]
    Overdue {
        /// The command line.
        command: String,
    },
    /// A program failed.
    #[error("{command} failed: {message}")]
    Failed {
        /// The command line.
        command: String,
        /// What it wrote to its standard error.
        message: String,
    },
    /// The API server refused, or did not answer.
    #[error("failed to {what}: {source}")]
    Api {
        /// What was being done.
        what: String,
        /// The client's error.
        source: Box<kube::Error>,
    },
    /// Something did not become so in time.
    #[error(transparent)]
    NotYet(#[from] NotYet),
}

/// The programs that people use on a cluster, and the cluster that they speak to.
#[derive(Debug, Clone)]
pub struct Tools {
    /// kubectl.
    pub kubectl: PathBuf,
    /// helm.
    pub helm: PathBuf,
    /// The cluster, for both.
    pub kubeconfig: PathBuf,
}

/// Where the images come from.
#[derive(Debug, Clone)]
pub struct Images {
    /// The part before `/holdfast/...`.
    pub registry: String,
    /// The part after the colon.
    pub tag: String,
}

impl Images {
    /// Those that the lab builds and loads.
    #[must_use]
    pub fn of_the_lab() -> Self {
        Self { registry: "localhost".to_owned(), tag: "dev".to_owned() }
    }
}

/// A Kubernetes with its tools.
#[derive(Clone)]
pub struct Stage {
    /// A client with full rights.
    pub client: Client,
    /// kubectl and helm.
    pub tools: Tools,
    /// The sources: the chart and the examples are read from there.
    pub sources: PathBuf,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("tools", &self.tools).finish_non_exhaustive()
    }
}

fn refused(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
    |source| Error::Api { what: what.into(), source: Box::new(source) }
}

impl Stage {
    /// A stage on a cluster.
    #[must_use]
    pub fn new(client: Client, tools: Tools) -> Self {
        Self { client, tools, sources: sources() }
    }

    /// Runs kubectl and answers what it wrote to its standard output.
    ///
    /// # Errors
    /// When it cannot be run, fails or takes too long.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String, Error> {
        self.run(&self.tools.kubectl, arguments).await
    }

    /// Runs helm, as [`Self::kubectl`].
    ///
    /// # Errors
    /// When it cannot be run, fails or takes too long.
    pub async fn helm(&self, arguments: &[&str]) -> Result<String, Error> {
        self.run(&self.tools.helm, arguments).await
    }

    async fn run(&self, program: &Path, arguments: &[&str]) -> Result<String, Error> {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
        let command = format!("{name} {}", arguments.join(" "));
        let running = Command::new(program)
            .args(arguments)
            .env("KUBECONFIG", &self.tools.kubeconfig)
            .current_dir(&self.sources)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output: Output = match tokio::time::timeout(COMMAND_LIMIT, running).await {
            Ok(output) => output.map_err(|source| Error::Run { program: program.to_owned(), source })?,
            Err(_) => return Err(Error::Overdue { command }),
        };
        if !output.status.success() {
            return Err(Error::Failed { command, message: String::from_utf8_lossy(&output.stderr).trim().to_owned() });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Installs Holdfast by its chart, or brings it up to date, and waits until the operator runs.
    ///
    /// # Errors
    /// What helm says.
    pub async fn install_holdfast(&self, images: &Images) -> Result<(), Error> {
        let (registry, tag) = (format!("images.registry={}", images.registry), format!("images.tag={}", images.tag));
        let arguments = ["upgrade", "--install", "holdfast", "charts/holdfast", "--namespace", SYSTEM, "--create-namespace"];
        let settings = ["--set", &registry, "--set", &tag, "--wait", "--timeout", "120s"];
        self.helm(&[&arguments[..], &settings].concat()).await.map(drop)
    }

    /// Applies the shop's `SessionCluster` from the examples.
    ///
    /// # Errors
    /// What kubectl says.
    pub async fn apply_shop(&self) -> Result<(), Error> {
        self.kubectl(&["apply", "-n", NAMESPACE, "-f", "examples/shop/sessioncluster.yaml"]).await.map(drop)
    }

    /// The `SessionCluster`s where the shop is.
    #[must_use]
    pub fn session_clusters(&self) -> Api<SessionCluster> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// The pods where the shop is.
    #[must_use]
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// The shop as it is now.
    ///
    /// # Errors
    /// When the API server does not answer with it.
    pub async fn shop(&self) -> Result<SessionCluster, Error> {
        self.session_clusters().get(SHOP).await.map_err(refused("read SessionCluster shop"))
    }

    /// The pods of one component of the shop (see [`names::MEMBER`], [`names::GATEWAY`]), by name.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn pods_of(&self, component: &str) -> Result<Vec<Pod>, Error> {
        let labels = format!("{}={SHOP},{}={component}", names::CLUSTER_LABEL, names::COMPONENT_LABEL);
        let mut pods =
            self.pods().list(&ListParams::default().labels(&labels)).await.map_err(refused(format!("list the {component} pods")))?.items;
        pods.sort_by_key(ResourceExt::name_any);
        Ok(pods)
    }

    /// Waits until the shop is as wanted; see [`settled`].
    ///
    /// # Errors
    /// When it is not after `limit`; the error says what is missing.
    pub async fn settle(&self, wanted: &Wanted, limit: Duration) -> Result<SessionCluster, Error> {
        let shops = self.session_clusters();
        let what = format!("SessionCluster shop to be Ready and protected with {} members", wanted.replicas);
        let seen = eventually(what, limit, || async {
            let shop = shops.get(SHOP).await.map_err(|error| error.to_string())?;
            settled(&shop, wanted).map(|()| shop)
        });
        Ok(seen.await?)
    }

    /// Sets the number of members through the `/scale` subresource, as `kubectl scale` does.
    ///
    /// # Errors
    /// What kubectl says.
    pub async fn scale(&self, replicas: u32) -> Result<(), Error> {
        self.kubectl(&["scale", "-n", NAMESPACE, "hfsc/shop", &format!("--replicas={replicas}")]).await.map(drop)
    }

    /// Deletes a pod as a person would, without waiting for its end.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete_pod(&self, name: &str) -> Result<(), Error> {
        self.pods().delete(name, &DeleteParams::default()).await.map(drop).map_err(refused(format!("delete pod {name}")))
    }

    /// Kills the operator's pods without grace, and answers how many there were.
    ///
    /// # Errors
    /// When the API server refuses, or there is none.
    pub async fn kill_operator(&self) -> Result<usize, Error> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), SYSTEM);
        let all = pods.list(&ListParams::default()).await.map_err(refused("list the operator's pods"))?;
        for pod in &all.items {
            let name = pod.name_any();
            pods.delete(&name, &DeleteParams::default().grace_period(0)).await.map_err(refused(format!("kill pod {name}")))?;
        }
        Ok(all.items.len())
    }

    /// Changes the shop's spec by a JSON merge patch.
    ///
    /// # Errors
    /// What the API server says, such as why the value is refused.
    pub async fn patch_shop(&self, spec: serde_json::Value) -> Result<SessionCluster, Error> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.session_clusters().patch(SHOP, &PatchParams::default(), &patch).await.map_err(refused("change SessionCluster shop"))
    }

    /// Saves what explains a failure to files in `folder`: objects, events, the logs of every container.
    pub async fn dump(&self, folder: &Path) {
        dump::dump(self, folder).await;
    }
}

/// The node on which a pod runs.
#[must_use]
pub fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// The top of the sources, where the chart and the examples are.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in a folder of the sources").to_owned()
}
