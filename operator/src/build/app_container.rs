//! The application's container: what the spec says, and where its sessions are. Where the application is the member itself, it is the only one of the pod, and
//! has all that the runtime's would have.

use holdfast_api::{Preset, names};
use k8s_openapi::api::core::v1::{Container, EnvVar, Lifecycle, LifecycleHandler, Probe, SleepAction, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{member_process, pod};
use crate::cluster::Cluster;

/// Name of the container.
pub const NAME: &str = "app";
/// Seconds that an application beside the runtime goes on serving when its pod ends, while the gateways move its users to other members.
const LINGER_SECONDS: i64 = 5;
/// Seconds that an application may take until it starts its member: it reads its settings, looks for its database, and so on.
const PREPARATION_SECONDS: u64 = 300;

/// Beside the runtime.
pub(super) fn build(cluster: &Cluster) -> Container {
    let app = &cluster.spec.workload.app;
    let redis_url = pod::env("REDIS_URL", format!("redis://127.0.0.1:{}", names::REDIS_PORT));
    let mut env = if is_free(cluster, "REDIS_URL") { vec![redis_url] } else { Vec::new() };
    env.extend(told_in_any_case(cluster));
    let of_preset = cluster.spec.workload.preset.map(Preset::environment).unwrap_or_default();
    env.extend(of_preset.iter().filter(|(name, _)| is_free(cluster, name)).map(|(name, value)| pod::env(name, value)));
    Container {
        readiness_probe: Some(app.readiness_probe.clone().unwrap_or_else(accepts_connections)),
        liveness_probe: app.liveness_probe.clone(),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler { sleep: Some(SleepAction { seconds: LINGER_SECONDS }), ..LifecycleHandler::default() }),
            ..Lifecycle::default()
        }),
        volume_mounts: Some(vec![member_process::run_mount()]),
        ..container(cluster, env)
    }
}

/// As the member itself. It has no preStop hook: at SIGTERM it hands over what it has while it goes on serving, as the crate `holdfast` does it. Of the probes
/// the first is the member's in any case, because a start must not be cut short; for the others the application may have better ones.
pub(super) fn build_member(cluster: &Cluster, tls: bool) -> Container {
    let app = &cluster.spec.workload.app;
    let mut env = member_process::environment(cluster, tls);
    env.extend(told_in_any_case(cluster));
    let container = container(cluster, env);
    Container {
        ports: Some(container.ports.into_iter().flatten().chain(member_process::ports()).collect()),
        startup_probe: Some(member_process::startup_probe(cluster, PREPARATION_SECONDS)),
        readiness_probe: Some(app.readiness_probe.clone().unwrap_or_else(member_process::readiness_probe)),
        liveness_probe: Some(app.liveness_probe.clone().unwrap_or_else(member_process::liveness_probe)),
        volume_mounts: Some(member_process::mounts(cluster, tls)),
        ..container
    }
}

/// What both have in common. Its own variables come last, so that they can refer to the others as $(PORT).
fn container(cluster: &Cluster, mut env: Vec<EnvVar>) -> Container {
    let app = &cluster.spec.workload.app;
    env.extend(app.env.iter().cloned());
    Container {
        name: NAME.to_owned(),
        image: Some(app.image.clone()),
        command: app.command.clone(),
        args: app.args.clone(),
        env: Some(env),
        ports: Some(vec![pod::container_port(names::HTTP_PORT_NAME, app.port)]),
        resources: app.resources.clone(),
        security_context: Some(app.security_context.clone().unwrap_or_else(pod::restricted_container_security)),
        ..Container::default()
    }
}

fn told_in_any_case(cluster: &Cluster) -> [EnvVar; 2] {
    [pod::env_of_field("HOLDFAST_MEMBER", "metadata.name"), pod::env("PORT", cluster.spec.workload.app.port)]
}

/// Whether the application does not set this variable itself.
fn is_free(cluster: &Cluster, name: &str) -> bool {
    !cluster.spec.workload.app.env.iter().any(|env| env.name == name)
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
