//! The application's container: what the spec says, and where its sessions are.

use holdfast_api::{Preset, names};
use k8s_openapi::api::core::v1::{Container, Lifecycle, LifecycleHandler, Probe, SleepAction, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{pod, runtime_container};
use crate::cluster::Cluster;

/// Name of the container.
pub(crate) const NAME: &str = "app";
/// Seconds that the application goes on serving when its pod ends, while the gateways move its users to other members.
const LINGER_SECONDS: i64 = 5;

pub(super) fn build(cluster: &Cluster) -> Container {
    let app = &cluster.spec.workload.app;
    // First, so that the application's own variables can refer to them as $(PORT).
    let is_free = |name: &str| !app.env.iter().any(|env| env.name == name);
    let redis_url = pod::env("REDIS_URL", format!("redis://127.0.0.1:{}", names::REDIS_PORT));
    let mut env = if is_free("REDIS_URL") { vec![redis_url] } else { Vec::new() };
    env.extend([pod::env_of_field("HOLDFAST_MEMBER", "metadata.name"), pod::env("PORT", app.port)]);
    let of_preset = cluster.spec.workload.preset.map(Preset::environment).unwrap_or_default();
    env.extend(of_preset.iter().filter(|(name, _)| is_free(name)).map(|(name, value)| pod::env(name, value)));
    env.extend(app.env.iter().cloned());
    Container {
        name: NAME.to_owned(),
        image: Some(app.image.clone()),
        command: app.command.clone(),
        args: app.args.clone(),
        env: Some(env),
        ports: Some(vec![pod::container_port(names::HTTP_PORT_NAME, app.port)]),
        readiness_probe: Some(app.readiness_probe.clone().unwrap_or_else(accepts_connections)),
        liveness_probe: app.liveness_probe.clone(),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler { sleep: Some(SleepAction { seconds: LINGER_SECONDS }), ..LifecycleHandler::default() }),
            ..Lifecycle::default()
        }),
        resources: app.resources.clone(),
        security_context: Some(app.security_context.clone().unwrap_or_else(pod::restricted_container_security)),
        volume_mounts: Some(vec![runtime_container::run_mount()]),
        ..Container::default()
    }
}

fn accepts_connections() -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction { port: IntOrString::String(names::HTTP_PORT_NAME.to_owned()), host: None }),
        period_seconds: Some(1),
        timeout_seconds: Some(1),
        failure_threshold: Some(3),
        ..Probe::default()
    }
}
