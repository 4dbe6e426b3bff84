//! The runtime's container: a native sidecar, so that it starts before the application and ends after it.
//!
//! Its startup probe holds the application back until the member has its share of the sessions; the drain starts in its preStop hook, while the
//! application finishes its requests, because the sidecar itself gets SIGTERM only once the application has exited.

use holdfast_api::{ByteSize, Duration, names};
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, Container, DownwardAPIProjection, DownwardAPIVolumeFile, EmptyDirVolumeSource, EnvVar, ExecAction, KeyToPath,
    Lifecycle, LifecycleHandler, ObjectFieldSelector, ProjectedVolumeSource, SecretVolumeSource, ServiceAccountTokenProjection, Volume,
    VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::Serialize;

use super::{Images, pod};
use crate::cluster::Cluster;

/// Name of the container.
pub const NAME: &str = "holdfast";
/// Name of the volume that the runtime shares with the application.
const RUN_VOLUME: &str = "run";
/// Name of the volume with the members' certificate.
const TLS_VOLUME: &str = "tls";
/// Name of the volume with the users of the Redis protocol.
const USERS_VOLUME: &str = "redis-users";
/// Name of the volume with what a client of the API server needs.
const API_VOLUME: &str = "api-access";
/// How much longer than the state transfer the start may take: the others have to notice an earlier incarnation's end, and to agree on a view.
const STARTUP_MARGIN_SECONDS: u64 = 30;
/// Seconds of the pod's end that are not for the hand-over.
const END_SECONDS: u32 = 15;

pub(super) fn build(cluster: &Cluster, images: &Images, tls: bool) -> Container {
    let spec = &cluster.spec;
    let startup = spec.state_transfer.timeout.as_std().as_secs() + STARTUP_MARGIN_SECONDS;
    Container {
        name: NAME.to_owned(),
        image: Some(spec.runtime.image.clone().unwrap_or_else(|| images.runtime.clone())),
        args: Some(vec!["run".to_owned()]),
        restart_policy: Some("Always".to_owned()),
        ports: Some(vec![
            pod::container_port(names::REPLICATION_PORT_NAME, names::REPLICATION_PORT),
            pod::container_port(names::ADMIN_PORT_NAME, names::ADMIN_PORT),
        ]),
        env: Some(environment(cluster, tls)),
        startup_probe: Some(pod::http_probe("/startedz", names::ADMIN_PORT_NAME, 1, 1, i32::try_from(startup).unwrap_or(i32::MAX))),
        readiness_probe: Some(pod::http_probe("/readyz", names::ADMIN_PORT_NAME, 1, 1, 2)),
        // Half a minute: a restart loses the member's memory, and a busy machine must not cause one.
        liveness_probe: Some(pod::http_probe("/livez", names::ADMIN_PORT_NAME, 5, 3, 6)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(ExecAction { command: Some(vec!["/holdfast-runtime".to_owned(), "drain".to_owned()]) }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        resources: Some(spec.runtime.resources.clone().unwrap_or_else(pod::default_resources)),
        security_context: Some(pod::own_container_security()),
        volume_mounts: Some(mounts(cluster, tls)),
        ..Container::default()
    }
}

fn environment(cluster: &Cluster, tls: bool) -> Vec<EnvVar> {
    let spec = &cluster.spec;
    let replication = &spec.replication;
    let mut env = vec![
        pod::env("HOLDFAST_CLUSTER", &cluster.name),
        pod::env_of_field("HOLDFAST_NAMESPACE", "metadata.namespace"),
        pod::env_of_field("HOLDFAST_POD_NAME", "metadata.name"),
        pod::env_of_field("HOLDFAST_POD_UID", "metadata.uid"),
        pod::env_of_field("HOLDFAST_POD_IP", "status.podIP"),
        pod::env("HOLDFAST_MEMBERS_SERVICE", names::members_service(&cluster.name)),
        // Not the number of copies, which changes without a restart: it is an annotation of the view (register.rs).
        pod::env("HOLDFAST_ACKNOWLEDGE", word(&replication.acknowledge)),
        pod::env("HOLDFAST_ACK_TIMEOUT", replication.ack_timeout),
        pod::env("HOLDFAST_ON_UNDER_REPLICATED", word(&replication.on_under_replicated)),
        pod::env("HOLDFAST_CONNECTIONS", replication.transport.connections),
        pod::env("HOLDFAST_QUEUE_BYTES", replication.transport.queue_bytes.as_bytes()),
        pod::env("HOLDFAST_COMPRESSION", word(&replication.transport.compression)),
        pod::env("HOLDFAST_TRANSFER_RATE", spec.state_transfer.rate.map_or(0, ByteSize::as_bytes)),
        pod::env("HOLDFAST_HEARTBEAT_INTERVAL", spec.membership.heartbeat_interval),
        pod::env("HOLDFAST_FAILURE_TIMEOUT", spec.membership.failure_timeout),
        pod::env("HOLDFAST_STATE_TRANSFER_TIMEOUT", spec.state_transfer.timeout),
        pod::env("HOLDFAST_DRAIN_TIMEOUT", drain_timeout(spec.workload.app.termination_grace_period_seconds)),
        pod::env("HOLDFAST_MAX_BYTES", spec.sessions.max_bytes.as_bytes()),
        pod::token_env(),
        pod::env("HOLDFAST_REDIS_LISTEN", format!("127.0.0.1:{}", names::REDIS_PORT)),
        pod::env("HOLDFAST_REDIS_SOCKET", format!("{}/redis.sock", names::RUN_DIR)),
        pod::env("HOLDFAST_REPLICATION_LISTEN", format!("0.0.0.0:{}", names::REPLICATION_PORT)),
        pod::env("HOLDFAST_ADMIN_LISTEN", format!("0.0.0.0:{}", names::ADMIN_PORT)),
    ];
    let keys = spec.session_keys();
    if !keys.is_empty() {
        // Patterns may hold any character, so no separator would do.
        env.push(pod::env("HOLDFAST_SESSION_KEYS", serde_json::to_string(&keys).expect("a list of texts")));
    }
    if let Some(most) = spec.sessions.max_active {
        env.push(pod::env("HOLDFAST_MAX_ACTIVE", most));
    }
    if tls {
        env.push(pod::env("HOLDFAST_TLS_DIR", names::TLS_DIR));
    }
    if spec.security.redis.users_secret_ref.is_some() {
        env.push(pod::env("HOLDFAST_REDIS_USERS_FILE", format!("{}/{}", names::USERS_DIR, names::USERS_KEY)));
    }
    if let Some(timeout) = spec.security.redis.idle_timeout {
        env.push(pod::env("HOLDFAST_REDIS_TIMEOUT", timeout));
    }
    if let Some(threads) = spec.runtime.threads {
        env.push(pod::env("HOLDFAST_THREADS", threads));
    }
    env
}

fn mounts(cluster: &Cluster, tls: bool) -> Vec<VolumeMount> {
    let read_only = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    let mut mounts = vec![run_mount(), pod::token_mount(), read_only(API_VOLUME, "/var/run/secrets/kubernetes.io/serviceaccount")];
    if tls {
        mounts.push(read_only(TLS_VOLUME, names::TLS_DIR));
    }
    if cluster.spec.security.redis.users_secret_ref.is_some() {
        mounts.push(read_only(USERS_VOLUME, names::USERS_DIR));
    }
    mounts
}

/// A value of an enumeration as the resource writes it.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("an enumeration of the resource is a word, not {other:?}"),
    }
}

/// How long the hand-over may take: the rest of the pod's time is for the application and the runtime to end in order.
fn drain_timeout(grace_seconds: u32) -> Duration {
    Duration::from_secs(u64::from(grace_seconds.saturating_sub(END_SECONDS)))
}

/// Where the runtime's sockets are, for the runtime and for the application.
pub(super) fn run_mount() -> VolumeMount {
    VolumeMount { name: RUN_VOLUME.to_owned(), mount_path: names::RUN_DIR.to_owned(), ..VolumeMount::default() }
}

/// The volumes that the runtime needs.
pub(super) fn volumes(cluster: &Cluster, tls: bool) -> Vec<Volume> {
    let mut volumes = vec![
        Volume {
            name: RUN_VOLUME.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource { medium: Some("Memory".to_owned()), size_limit: Some(Quantity("16Mi".to_owned())) }),
            ..Volume::default()
        },
        pod::token_volume(cluster),
        api_access(),
    ];
    // No pod starts without these, and the kubelet brings their successors while pods run.
    if tls {
        volumes.push(secret_volume(TLS_VOLUME, names::tls_secret(&cluster.name)));
    }
    if let Some(users) = &cluster.spec.security.redis.users_secret_ref {
        volumes.push(secret_volume(USERS_VOLUME, users.name.clone()));
    }
    volumes
}

fn secret_volume(name: &str, secret: String) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource { secret_name: Some(secret), default_mode: Some(0o440), ..SecretVolumeSource::default() }),
        ..Volume::default()
    }
}

/// What Kubernetes would mount into every container of the pod by itself; by hand, the application does not get the runtime's rights.
fn api_access() -> Volume {
    let token = VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            expiration_seconds: Some(3607),
            path: "token".to_owned(),
            ..ServiceAccountTokenProjection::default()
        }),
        ..VolumeProjection::default()
    };
    let authority = VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: "kube-root-ca.crt".to_owned(),
            items: Some(vec![KeyToPath { key: "ca.crt".to_owned(), path: "ca.crt".to_owned(), mode: None }]),
            ..ConfigMapProjection::default()
        }),
        ..VolumeProjection::default()
    };
    let namespace = VolumeProjection {
        downward_api: Some(DownwardAPIProjection {
            items: Some(vec![DownwardAPIVolumeFile {
                path: "namespace".to_owned(),
                field_ref: Some(ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: "metadata.namespace".to_owned() }),
                ..DownwardAPIVolumeFile::default()
            }]),
        }),
        ..VolumeProjection::default()
    };
    Volume {
        name: API_VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource { default_mode: Some(0o444), sources: Some(vec![token, authority, namespace]) }),
        ..Volume::default()
    }
}
