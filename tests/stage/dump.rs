//! What a person needs to understand a failure, saved to files: objects, events, and the logs of every container, those of its
//! former life too.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::{NAMESPACE, SYSTEM, Stage};

/// The whole dump: a cluster that does not answer must not keep a person waiting.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn dump(stage: &Stage, folder: &Path) {
    if let Err(error) = std::fs::create_dir_all(folder) {
        eprintln!("failed to create {}: {error}", folder.display());
        return;
    }
    let all = async {
        for (file, arguments) in [
            ("pods.txt", &["get", "pods", "-A", "-o", "wide"][..]),
            ("nodes.txt", &["describe", "nodes"]),
            ("events.txt", &["get", "events", "-A", "--sort-by=.metadata.creationTimestamp", "-o", "wide"]),
            ("holdfast.yaml", &["get", "hfsc,hfsv", "-A", "-o", "yaml"]),
            ("described.txt", &["describe", "pods", "-n", NAMESPACE]),
            ("endpoints.yaml", &["get", "endpointslices,services", "-n", NAMESPACE, "-o", "yaml"]),
            ("workloads.yaml", &["get", "statefulsets,deployments,configmaps,poddisruptionbudgets", "-n", NAMESPACE, "-o", "yaml"]),
            ("operator.txt", &["describe", "pods", "-n", SYSTEM]),
        ] {
            save(folder, file, stage.kubectl(arguments).await);
        }
        for namespace in [NAMESPACE, SYSTEM] {
            let pods: Api<Pod> = Api::namespaced(stage.cluster.client(), namespace);
            let Ok(pods) = pods.list(&ListParams::default()).await else { continue };
            for pod in pods {
                logs(stage, folder, namespace, &pod).await;
            }
        }
    };
    if tokio::time::timeout(LIMIT, all).await.is_err() {
        eprintln!("the cluster answers too slowly: what is in {} is not all", folder.display());
    }
}

async fn logs(stage: &Stage, folder: &Path, namespace: &str, pod: &Pod) {
    let name = pod.name_any();
    let Some(status) = &pod.status else { return };
    let statuses = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    for container in statuses {
        let of = ["logs", "-n", namespace, &name, "-c", &container.name, "--timestamps"];
        save(folder, &format!("{name}.{}.log", container.name), stage.kubectl(&of).await);
        if container.restart_count > 0 {
            let file = format!("{name}.{}.before-restart.log", container.name);
            save(folder, &file, stage.kubectl(&[&of[..], &["--previous"]].concat()).await);
        }
    }
}

fn save(folder: &Path, file: &str, content: Result<String, super::Error>) {
    let text = content.unwrap_or_else(|error| format!("{error}\n"));
    let path = folder.join(file);
    if let Err(error) = std::fs::write(&path, text) {
        eprintln!("failed to write {}: {error}", path.display());
    }
}
