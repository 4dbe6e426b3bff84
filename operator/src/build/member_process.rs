//! What the process of a member needs, whichever container of the pod it runs in: its settings, its files, its ports and its probes.

use holdfast_api::{ByteSize, Duration, names};
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, ContainerPort, DownwardAPIProjection, DownwardAPIVolumeFile, EmptyDirVolumeSource, EnvVar, KeyToPath,
    ObjectFieldSelector, Probe, ProjectedVolumeSource, SecretVolumeSource, ServiceAccountTokenProjection, Volume, VolumeMount,
    VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::Serialize;

use super::{app_container, pod};
use crate::cluster::Cluster;

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

/// Where other members and the gateways reach it.
pub(super) fn ports() -> [ContainerPort; 2] {
    [
        pod::container_port(names::REPLICATION_PORT_NAME, names::REPLICATION_PORT),
        pod::container_port(names::ADMIN_PORT_NAME, names::ADMIN_PORT),
    ]
}

/// Whether it has its share of the sessions, `preparation` seconds later at most than that may take.
pub(super) fn startup_probe(cluster: &Cluster, preparation: u64) -> Probe {
    let seconds = cluster.spec.state_transfer.timeout.as_std().as_secs() + STARTUP_MARGIN_SECONDS + preparation;
    pod::http_probe("/startedz", names::ADMIN_PORT_NAME, 1, 1, i32::try_from(seconds).unwrap_or(i32::MAX))
}

/// Whether it is one of the cluster.
pub(super) fn readiness_probe() -> Probe {
    pod::http_probe("/readyz", names::ADMIN_PORT_NAME, 1, 1, 2)
}

/// Whether it does anything at all, for half a minute: a restart loses the member's memory, and a busy machine must not cause one.
pub(super) fn liveness_probe() -> Probe {
    pod::http_probe("/livez", names::ADMIN_PORT_NAME, 5, 3, 6)
}

/// Its settings.
pub(super) fn environment(cluster: &Cluster, tls: bool) -> Vec<EnvVar> {
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
    ];
    if spec.is_in_process() {
        env.push(pod::env("HOLDFAST_CONTAINER", app_container::NAME));
    } else {
        env.push(pod::env("HOLDFAST_REDIS_LISTEN", format!("127.0.0.1:{}", names::REDIS_PORT)));
        env.push(pod::env("HOLDFAST_REDIS_SOCKET", format!("{}/redis.sock", names::RUN_DIR)));
    }
    env.push(pod::env("HOLDFAST_REPLICATION_LISTEN", format!("0.0.0.0:{}", names::REPLICATION_PORT)));
    env.push(pod::env("HOLDFAST_ADMIN_LISTEN", format!("0.0.0.0:{}", names::ADMIN_PORT)));
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

/// Its files.
pub(super) fn mounts(cluster: &Cluster, tls: bool) -> Vec<VolumeMount> {
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

/// Where its sockets are, for itself and for an application beside it.
pub(super) fn run_mount() -> VolumeMount {
    VolumeMount { name: RUN_VOLUME.to_owned(), mount_path: names::RUN_DIR.to_owned(), ..VolumeMount::default() }
}

/// The volumes that it needs.
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

/// What Kubernetes would mount into every container of the pod by itself; by hand, an application beside the runtime does not get its rights.
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
