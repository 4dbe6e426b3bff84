//! What the pods of members and gateways have in common: security, spreading, the mounted token.

use std::collections::BTreeMap;

use holdfast_api::names;
use k8s_openapi::api::core::v1::{
    Capabilities, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, KeyToPath, ObjectFieldSelector, PodSecurityContext, Probe,
    ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta;
use crate::cluster::Cluster;

/// User and group of Holdfast's own images.
const USER: i64 = 65532;
/// Name of the volume with the admin token.
const TOKEN_VOLUME: &str = "admin-token";

/// For the whole pod. The group owns mounted files, so that a process that is not root can read the token.
pub(super) fn security() -> PodSecurityContext {
    PodSecurityContext {
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

/// For Holdfast's own containers: the Pod Security Standard `restricted`, and a read-only root file system.
pub(super) fn own_container_security() -> SecurityContext {
    SecurityContext {
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        read_only_root_filesystem: Some(true),
        ..restricted_container_security()
    }
}

/// For a container: the Pod Security Standard `restricted`.
pub(super) fn restricted_container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..SecurityContext::default()
    }
}

/// What a container of Holdfast asks for when the spec says nothing. No limits: throttled, a member looks dead to the others.
pub(super) fn default_resources() -> ResourceRequirements {
    let requests = [("cpu", "50m"), ("memory", "64Mi")].map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())));
    ResourceRequirements { requests: Some(BTreeMap::from(requests)), ..ResourceRequirements::default() }
}

/// Away from each other, by zone and by node, as far as there are any.
pub(super) fn spread(cluster: &Cluster, component: &str) -> Vec<TopologySpreadConstraint> {
    [cluster.spec.placement.zone_label.as_str(), "kubernetes.io/hostname"]
        .map(|key| TopologySpreadConstraint {
            max_skew: 1,
            topology_key: key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(meta::selector(cluster, component)),
            ..TopologySpreadConstraint::default()
        })
        .into()
}

/// The volume with the admin token.
pub(super) fn token_volume(cluster: &Cluster) -> Volume {
    Volume {
        name: TOKEN_VOLUME.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(names::admin_secret(&cluster.name)),
            items: Some(vec![KeyToPath { key: names::TOKEN_KEY.to_owned(), path: names::TOKEN_KEY.to_owned(), mode: None }]),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// Where the admin token is mounted.
pub(super) fn token_mount() -> VolumeMount {
    VolumeMount { name: TOKEN_VOLUME.to_owned(), mount_path: names::TOKEN_DIR.to_owned(), read_only: Some(true), ..VolumeMount::default() }
}

/// The setting that says where the token is.
pub(super) fn token_env() -> EnvVar {
    env("HOLDFAST_ADMIN_TOKEN_FILE", format!("{}/{}", names::TOKEN_DIR, names::TOKEN_KEY))
}

/// An environment variable.
pub(super) fn env(name: &str, value: impl ToString) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_string()), value_from: None }
}

/// An environment variable with a field of the pod.
pub(super) fn env_of_field(name: &str, path: &str) -> EnvVar {
    let field = ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: path.to_owned() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }) }
}

/// A probe that asks a path on a named port.
pub(super) fn http_probe(path: &str, port: &str, period: i32, timeout: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(port.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(timeout),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

/// A named TCP port.
pub(super) fn container_port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}
