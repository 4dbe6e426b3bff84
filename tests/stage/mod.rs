//! The shop on a Kubernetes: Holdfast installed by its chart, the shop's `SessionCluster` applied, its state waited for, its pods
//! found. What the demo and the end-to-end tests have in common; neither knows here whether the cluster is the lab's.

mod acts;
mod dump;
mod images;
mod settled;
mod waits;

use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_api::{SessionCluster, SessionView, names};
use holdfast_core::engine::BrokenRule;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::cluster::{self, Cluster};

pub use acts::Victim;
pub use images::write as write_images;
pub use settled::{Wanted, epoch, is_true, settled};
pub use waits::{NotYet, eventually};

/// Where the operator lives.
pub const SYSTEM: &str = "holdfast-system";
/// Where the shop lives.
pub const NAMESPACE: &str = "default";
/// The shop's name.
pub const SHOP: &str = "shop";

/// Why a step on the stage failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// kubectl, helm or the lab.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// cargo could not build the product.
    #[error("failed to build the images' programs: cargo ended with {0}")]
    Build(std::process::ExitStatus),
    /// An image could not be written.
    #[error(transparent)]
    Image(#[from] cluster::archive::Error),
    /// A file or a program could not be used.
    #[error("failed to use {path}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The API server refused, or did not answer.
    #[error("failed to {what}")]
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

    /// One of them: `operator`, `runtime`, `gateway`, `shop` or `kiosk`.
    #[must_use]
    pub fn reference(&self, image: &str) -> String {
        format!("{}/holdfast/{image}:{}", self.registry, self.tag)
    }
}

/// A Kubernetes with the shop on it, or to be.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The cluster.
    pub cluster: Cluster,
}

/// The way from this machine into the shop.
#[derive(Debug)]
pub struct Door {
    /// Where it is on 127.0.0.1.
    pub url: String,
    _forward: Option<cluster::Forward>,
}

fn refused(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
    |source| Error::Api { what: what.into(), source: Box::new(source) }
}

impl Stage {
    /// A stage on a cluster.
    #[must_use]
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// Whether the cluster is one of this machine, so that its machines and containers can be harmed.
    #[must_use]
    pub fn is_lab(&self) -> bool {
        !self.cluster.nodes().is_empty()
    }

    /// Runs kubectl and answers what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String, Error> {
        Ok(self.cluster.kubectl(arguments).await?)
    }

    /// Builds the images of these sources and brings them into every node of a cluster of this machine.
    ///
    /// # Errors
    /// When cargo fails, or a node does not take them.
    pub async fn bring_images(&self) -> Result<Images, Error> {
        let images = Images::of_the_lab();
        images::bring(&self.cluster, &images).await?;
        Ok(images)
    }

    /// Replaces the runtime's image in the nodes by that of one that breaks a rule, before anything runs.
    ///
    /// # Errors
    /// When cargo fails, or a node does not take it.
    pub async fn bring_broken_runtime(&self, images: &Images, rule: BrokenRule) -> Result<(), Error> {
        images::bring_broken(&self.cluster, images, rule).await
    }

    /// Installs Holdfast by its chart, or brings it up to date, and waits until the operator runs.
    ///
    /// # Errors
    /// What helm says.
    pub async fn install_holdfast(&self, images: &Images) -> Result<(), Error> {
        let (registry, tag) = (format!("images.registry={}", images.registry), format!("images.tag={}", images.tag));
        let chart = source("charts/holdfast");
        let arguments = ["upgrade", "--install", "holdfast", &chart, "--namespace", SYSTEM, "--create-namespace"];
        let settings = ["--set", &registry, "--set", &tag, "--wait", "--timeout", "120s"];
        self.cluster.helm([&arguments[..], &settings].concat()).await?;
        Ok(())
    }

    /// Applies the `SessionCluster` of an example, the shop's or another one, as people do: with `kubectl apply`.
    ///
    /// # Errors
    /// What kubectl says, or why the file could not be read.
    pub async fn apply_example(&self, images: &Images, example: &str) -> Result<(), Error> {
        let path = source(&format!("examples/{example}/sessioncluster.yaml"));
        let unusable = |source| Error::File { path: path.clone(), source };
        let manifest = std::fs::read_to_string(&path).map_err(unusable)?;
        let manifest = manifest.replace(&Images::of_the_lab().reference(example), &images.reference(example));
        let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().map_err(unusable)?;
        std::io::Write::write_all(&mut file, manifest.as_bytes()).map_err(unusable)?;
        self.kubectl(&["apply", "-n", NAMESPACE, "-f", &file.path().to_string_lossy()]).await.map(drop)
    }

    /// Opens the shop on 127.0.0.1, at `port` if it is free: until the cluster of this machine goes down, or on another cluster until
    /// what this returns is dropped.
    ///
    /// # Errors
    /// When the Service is not there or nothing can listen.
    pub async fn open(&self, port: u16) -> Result<Door, Error> {
        match self.open_at(Some(port)).await {
            Err(cluster::Error::Forward(cluster::forward::Error::Listen { .. })) => Ok(self.open_at(None).await?),
            answer => Ok(answer?),
        }
    }

    async fn open_at(&self, port: Option<u16>) -> Result<Door, cluster::Error> {
        let service = names::gateway_service(SHOP);
        if self.is_lab() {
            let address = self.cluster.forward_service_detached(NAMESPACE, &service, names::SERVICE_PORT, port).await?;
            return Ok(Door { url: format!("http://{address}"), _forward: None });
        }
        let forward = self.cluster.forward_service(NAMESPACE, &service, names::SERVICE_PORT, port).await?;
        Ok(Door { url: forward.url(), _forward: Some(forward) })
    }

    /// The `SessionCluster`s where the shop is.
    #[must_use]
    pub fn session_clusters(&self) -> Api<SessionCluster> {
        Api::namespaced(self.cluster.client(), NAMESPACE)
    }

    /// The registers of the members' views where the shop is.
    #[must_use]
    pub fn session_views(&self) -> Api<SessionView> {
        Api::namespaced(self.cluster.client(), NAMESPACE)
    }

    /// The pods where the shop is.
    #[must_use]
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client(), NAMESPACE)
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
        let pods: Api<Pod> = Api::namespaced(self.cluster.client(), SYSTEM);
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

/// A program of the product, as it is in its image; there after [`Stage::bring_images`].
#[must_use]
pub fn program(name: &str) -> PathBuf {
    images::path_of(name)
}

/// A file or folder of the sources, by its path from their top.
#[must_use]
pub fn source(path: &str) -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in a folder of the sources");
    top.join(path).to_string_lossy().into_owned()
}
