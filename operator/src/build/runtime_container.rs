//! The runtime's container: a native sidecar, so that it starts before the application and ends after it.
//!
//! Its startup probe holds the application back until the member has its share of the sessions; the drain starts in its preStop hook, while the
//! application finishes its requests, because the sidecar itself gets SIGTERM only once the application has exited.

use holdfast_api::names;
use k8s_openapi::api::core::v1::{Container, ExecAction, Lifecycle, LifecycleHandler};

use super::{Images, member_process, pod};
use crate::cluster::Cluster;

pub(super) fn build(cluster: &Cluster, images: &Images, tls: bool) -> Container {
    let spec = &cluster.spec;
    Container {
        name: names::RUNTIME_CONTAINER.to_owned(),
        image: Some(spec.runtime.image.clone().unwrap_or_else(|| images.runtime.clone())),
        args: Some(vec!["run".to_owned()]),
        restart_policy: Some("Always".to_owned()),
        ports: Some(member_process::ports().into()),
        env: Some(member_process::environment(cluster, tls)),
        startup_probe: Some(member_process::startup_probe(cluster, 0)),
        readiness_probe: Some(member_process::readiness_probe()),
        liveness_probe: Some(member_process::liveness_probe()),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(ExecAction { command: Some(vec!["/holdfast-runtime".to_owned(), "drain".to_owned()]) }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        resources: Some(spec.runtime.resources.clone().unwrap_or_else(pod::default_resources)),
        security_context: Some(pod::own_container_security()),
        volume_mounts: Some(member_process::mounts(cluster, tls)),
        ..Container::default()
    }
}
