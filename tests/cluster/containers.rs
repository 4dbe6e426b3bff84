//! The containers that run on the nodes, as containerd keeps them on disk: found without the API server, so that a fault can be
//! set while that is frozen.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::cgroups;
use super::process::Identity;
use super::state::State;
use super::topology::Topology;

/// Why containers could not be found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pod has no running container.
    #[error("pod {pod} has no running container on any node of the cluster: `cluster kubectl get pods -A` shows what runs")]
    NoPod {
        /// Namespace and name.
        pod: String,
    },
    /// The pod runs, but has no such container.
    #[error("pod {pod} has no running container `{container}`, but {}", .others.join(", "))]
    NoContainer {
        /// Namespace and name.
        pod: String,
        /// What was asked for.
        container: String,
        /// What there is.
        others: Vec<String>,
    },
    /// containerd's files could not be read.
    #[error("failed to read what containerd runs, at {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The container's processes could not be found.
    #[error(transparent)]
    Cgroup(#[from] cgroups::Error),
}

/// A running container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    /// Its name in the pod.
    pub name: String,
    cgroup: String,
}

impl Container {
    /// Its processes.
    pub(super) fn processes(&self) -> Result<Vec<Identity>, Error> {
        Ok(cgroups::processes(&self.cgroup)?.into_iter().filter_map(Identity::of).collect())
    }
}

/// The parts of a container's runtime configuration (OCI runtime-spec, config.json) that say whose it is.
#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    annotations: Annotations,
    linux: Linux,
}

#[derive(Debug, Default, Deserialize)]
struct Annotations {
    #[serde(rename = "io.kubernetes.cri.container-type", default)]
    kind: String,
    #[serde(rename = "io.kubernetes.cri.container-name", default)]
    container: String,
    #[serde(rename = "io.kubernetes.cri.sandbox-name", default)]
    pod: String,
    #[serde(rename = "io.kubernetes.cri.sandbox-namespace", default)]
    namespace: String,
}

#[derive(Debug, Deserialize)]
struct Linux {
    #[serde(rename = "cgroupsPath", default)]
    cgroup: String,
}

/// The container that `config` describes, if it is one of the pod's own: not the one that only holds the pod's namespaces.
fn container_of(config: &str, namespace: &str, pod: &str) -> Option<Container> {
    let config: Config = serde_json::from_str(config).ok()?;
    let Annotations { kind, container, pod: found_pod, namespace: found_namespace } = config.annotations;
    let ours = kind == "container" && found_pod == pod && found_namespace == namespace;
    ours.then_some(Container { name: container, cgroup: config.linux.cgroup })
}

/// The container that `config` describes, if it has that name in a pod of the namespace.
fn named(config: &str, namespace: &str, name: &str) -> Option<Container> {
    let config: Config = serde_json::from_str(config).ok()?;
    let Annotations { kind, container, namespace: found_namespace, .. } = config.annotations;
    let ours = kind == "container" && container == name && found_namespace == namespace;
    ours.then_some(Container { name: container, cgroup: config.linux.cgroup })
}

/// The running containers of a pod.
pub(super) fn of_pod(state: &State, topology: &Topology, namespace: &str, pod: &str) -> Result<Vec<Container>, Error> {
    let running = those(state, topology, |config| container_of(config, namespace, pod))?;
    if running.is_empty() { Err(Error::NoPod { pod: format!("{namespace}/{pod}") }) } else { Ok(running) }
}

/// The running containers of that name in any pod of a namespace.
pub(super) fn of_every_pod(state: &State, topology: &Topology, namespace: &str, name: &str) -> Result<Vec<Container>, Error> {
    let running = those(state, topology, |config| named(config, namespace, name))?;
    if running.is_empty() { Err(Error::NoPod { pod: format!("{namespace}/* with a container `{name}`") }) } else { Ok(running) }
}

/// The running containers that `wanted` takes by their configuration.
fn those(state: &State, topology: &Topology, wanted: impl Fn(&str) -> Option<Container>) -> Result<Vec<Container>, Error> {
    let mut found = Vec::new();
    for node in &topology.nodes {
        let tasks = state.node(node).join("run/containerd/io.containerd.runtime.v2.task/k8s.io");
        for bundle in list(&tasks)? {
            let path = bundle.join("config.json");
            match fs::read_to_string(&path) {
                Ok(config) => found.extend(wanted(&config)),
                // It ended while we looked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::Read { path, source }),
            }
        }
    }
    let mut running = Vec::new();
    for container in found {
        if !container.processes()?.is_empty() {
            running.push(container);
        }
    }
    Ok(running)
}

/// One container of a pod.
pub(super) fn of_name(state: &State, topology: &Topology, namespace: &str, pod: &str, name: &str) -> Result<Container, Error> {
    let mut all = of_pod(state, topology, namespace, pod)?;
    match all.iter().position(|container| container.name == name) {
        Some(index) => Ok(all.swap_remove(index)),
        None => {
            let others = all.into_iter().map(|container| format!("`{}`", container.name)).collect();
            Err(Error::NoContainer { pod: format!("{namespace}/{pod}"), container: name.to_owned(), others })
        }
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let fail = |source| Error::Read { path: folder.to_owned(), source };
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(fail)?.path())).collect(),
        // No container was ever started on the node.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(fail(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(kind: &str) -> String {
        format!(
            r#"{{"annotations": {{"io.kubernetes.cri.container-type": "{kind}", "io.kubernetes.cri.container-name": "app",
            "io.kubernetes.cri.sandbox-name": "shop-0", "io.kubernetes.cri.sandbox-namespace": "demo"}},
            "linux": {{"cgroupsPath": "/holdfast.a/node1/x"}}}}"#
        )
    }

    #[test]
    fn a_container_is_known_by_its_pod() {
        let container = container_of(&config("container"), "demo", "shop-0").unwrap();
        assert_eq!((container.name.as_str(), container.cgroup.as_str()), ("app", "/holdfast.a/node1/x"));
        assert_eq!(container_of(&config("container"), "demo", "shop-1"), None);
        assert_eq!(container_of(&config("container"), "other", "shop-0"), None);
    }

    #[test]
    fn a_container_is_known_by_its_name_in_any_pod() {
        assert_eq!(named(&config("container"), "demo", "app").unwrap().cgroup, "/holdfast.a/node1/x");
        assert_eq!(named(&config("container"), "demo", "other"), None);
        assert_eq!(named(&config("container"), "kube-system", "app"), None);
        assert_eq!(named(&config("sandbox"), "demo", "app"), None);
    }

    #[test]
    fn the_holder_of_the_namespaces_is_none_of_the_pods_containers() {
        assert_eq!(container_of(&config("sandbox"), "demo", "shop-0"), None);
    }
}
