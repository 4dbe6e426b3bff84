//! A cluster with a small web server on every node, and a way in to it: whether it is well can be seen from outside.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use crate::cluster::forward::Forward;
use crate::cluster::handle::Cluster;
use crate::cluster::programs::COREDNS_IMAGE;
use crate::cluster::up::is_ready;

/// How long anything may take: a lost node is noticed after 30 s, and takes some 10 s to come back on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// A cluster and the way in to its web servers.
pub(super) struct Watched {
    pub(super) cluster: Cluster,
    forward: Forward,
    web: reqwest::Client,
}

/// CoreDNS again, as it is at hand and answers HTTP about its health; two containers, so that one can be killed alone.
const WEB: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data:
  one: ".:5301 {\n health :8080\n}\n"
  two: ".:5302 {\n health :8082\n}\n"
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: one
        image: IMAGE
        args: [-conf, /etc/web/one]
        readinessProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: config, mountPath: /etc/web}]
      - name: two
        image: IMAGE
        args: [-conf, /etc/web/two]
        readinessProbe: {httpGet: {path: /health, port: 8082}, periodSeconds: 1}
        volumeMounts: [{name: config, mountPath: /etc/web}]
      volumes: [{name: config, configMap: {name: web}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
"#;

impl Watched {
    pub(super) async fn new(cluster: Cluster) -> anyhow::Result<Self> {
        cluster.apply(&WEB.replace("IMAGE", COREDNS_IMAGE)).await?;
        let forward = cluster.forward_service("default", "web", 80, None).await?;
        let web = reqwest::Client::builder().pool_max_idle_per_host(0).build()?;
        let watched = Self { cluster, forward, web };
        watched.is_well().await?;
        Ok(watched)
    }

    /// Waits until all nodes and all pods are ready, and the way in leads somewhere.
    pub(super) async fn is_well(&self) -> anyhow::Result<()> {
        eventually("all nodes ready", || async { Ok(self.ready_nodes().await? == self.cluster.nodes()) }).await?;
        eventually("all pods ready", || async { Ok(self.ready_pods().await?.len() == self.cluster.nodes().len()) }).await?;
        eventually("the web server answers", || async { Ok(self.answers().await) }).await
    }

    /// Whether the web server answers right now.
    pub(super) async fn answers(&self) -> bool {
        let request = self.web.get(format!("{}/health", self.forward.url())).timeout(Duration::from_secs(5)).send();
        matches!(request.await, Ok(answer) if answer.status().is_success())
    }

    pub(super) async fn ready_nodes(&self) -> anyhow::Result<Vec<String>> {
        let nodes = Api::<Node>::all(self.cluster.client()).list(&ListParams::default()).await?;
        let mut names: Vec<_> = nodes.iter().filter(|node| is_ready(node)).map(ResourceExt::name_any).collect();
        names.sort();
        Ok(names)
    }

    /// The web servers' pods.
    pub(super) async fn pods(&self) -> anyhow::Result<Vec<Pod>> {
        Ok(Api::<Pod>::default_namespaced(self.cluster.client()).list(&ListParams::default().labels("app=web")).await?.items)
    }

    async fn ready_pods(&self) -> anyhow::Result<Vec<String>> {
        let ready = |pod: &Pod| {
            let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
            conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
        };
        Ok(self.pods().await?.iter().filter(|pod| ready(pod)).map(ResourceExt::name_any).collect())
    }

    /// The web server's pod on `node`.
    pub(super) async fn pod_on(&self, node: &str) -> anyhow::Result<Pod> {
        let is_there = |pod: &Pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.as_deref() == Some(node));
        self.pods().await?.into_iter().find(is_there).with_context(|| format!("no web server on {node}"))
    }

    /// Waits until `node` is not ready, and everything else is.
    pub(super) async fn loses(&self, node: &str) -> anyhow::Result<()> {
        let others: Vec<_> = self.cluster.nodes().iter().filter(|name| *name != node).cloned().collect();
        eventually(&format!("{node} not ready"), || async { Ok(self.ready_nodes().await? == others) }).await
    }

    /// How often each container of a pod was started again.
    pub(super) async fn restarts(&self, pod: &str) -> anyhow::Result<Vec<(String, i32)>> {
        let pod = Api::<Pod>::default_namespaced(self.cluster.client()).get(pod).await?;
        let containers = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
        ensure!(!containers.is_empty(), "the pod {} has no containers", pod.metadata.name.unwrap_or_default());
        let mut restarts: Vec<_> = containers.into_iter().map(|one| (one.name, one.restart_count)).collect();
        restarts.sort();
        Ok(restarts)
    }
}

/// Waits until `check` says yes. What it cannot find out counts as no, and is the error in the end.
pub(super) async fn eventually<F: Future<Output = anyhow::Result<bool>>>(what: &str, check: impl Fn() -> F) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let outcome = check().await;
        if let Ok(true) = outcome {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            outcome.with_context(|| format!("waited {PATIENCE:?} for: {what}"))?;
            bail!("not within {PATIENCE:?}: {what}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
