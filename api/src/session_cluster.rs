//! `SessionCluster`: what a person asks for. Everything but the application has a default that the API server fills in.
//!
//! Only fields that do something are here; the rules say what a value may be, so that the API server refuses the rest.

use k8s_openapi::api::core::v1::{EnvVar, Probe, ResourceRequirements, SecurityContext};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ByteSize, Duration, Placement, Preset, Replication, SessionClusterStatus, StateTransfer, rules};

/// Replicated, sticky sessions for a web application: its pods, each with the replication runtime beside or inside it, and the gateway before them.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "holdfast.dev",
    version = "v1alpha1",
    kind = "SessionCluster",
    plural = "sessionclusters",
    namespaced,
    status = "SessionClusterStatus",
    derive = "PartialEq",
    shortname = "hfsc",
    doc = "Replicated, sticky sessions for a web application: its pods, each with the replication runtime beside or inside it, and the gateway before them.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.readyReplicas", description = "Members that are ready"),
    printcolumn(
        name = "Protected",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='SessionsProtected')].status",
        description = "Whether every session has all its copies"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')")
        .message("metadata.name must be 1 to 40 characters: lower case letters, digits and '-', starting with a letter and not ending with '-'"),
    validation = Rule::new("self.spec.replicas == 0 || self.spec.security.tls.mode == oldSelf.spec.security.tls.mode")
        .message("spec.security.tls.mode can only be changed together with spec.replicas: 0: members with TLS and members without cannot reach each other")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::queue_holds_a_session(),
    validation = rules::in_process_has_no_preset(),
    validation = rules::in_process_has_no_runtime(),
    validation = rules::in_process_serves_no_redis(),
    validation = rules::redis_url_is_set_once()
)]
pub struct SessionClusterSpec {
    /// How many members (pods of the application) there are: 0 to 64.
    #[serde(default = "default_replicas")]
    #[x_kube(validation = rules::integer("spec.replicas", 0, 64))]
    pub replicas: u32,

    /// What runs in each member beside the application.
    #[serde(default)]
    pub runtime: Runtime,

    /// The application.
    pub workload: Workload,

    /// What a session may be.
    #[serde(default)]
    pub sessions: Sessions,

    /// How requests find their member.
    #[serde(default)]
    pub affinity: Affinity,

    /// How many copies of a session there are, how they travel, and how long a write waits for them.
    #[serde(default)]
    pub replication: Replication,

    /// How members notice that another one is gone.
    #[serde(default)]
    pub membership: Membership,

    /// How a new member receives its share of the sessions.
    #[serde(default)]
    pub state_transfer: StateTransfer,

    /// What members that fail together have in common: copies go elsewhere first.
    #[serde(default)]
    pub placement: Placement,

    /// The gateway, which keeps each user on the member that owns their session.
    #[serde(default)]
    pub gateway: Gateway,

    /// How members know each other, and the application.
    #[serde(default)]
    pub security: Security,
}

/// What runs in each member beside the application.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Runtime {
    /// Image of the runtime. Absent: the image that the operator had when this cluster was created, until one is named here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: Option<String>,

    /// Resources of the runtime's container. Its memory limit is its budget for sessions; a CPU limit looks like a failing member to the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// On how many threads the runtime serves connections of the Redis protocol: 1 to 64. Absent: one, which is enough unless a core of its own is busy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::integer("spec.runtime.threads", 1, 64))]
    pub threads: Option<u32>,
}

/// The application whose sessions are kept.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// An application in one container, which reaches its sessions at the address in its environment variable `REDIS_URL`, or is itself the member.
    pub app: App,

    /// The application's framework: its session cookie, the keys that are its sessions, and what it reads from the environment. What the fields
    /// `affinity.sources`, `sessions.keys` and `workload.app.env` say takes precedence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
}

/// An application in one container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// Image of the application.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: String,

    /// Port on which the application takes HTTP requests: 1 to 65535, except 4000, 4001 and 6379, which are the runtime's.
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65535 && !(self in [4000, 4001, 6379])")
        .message("spec.workload.app.port must be 1 to 65535 and none of 4000, 4001 and 6379: the runtime listens there in the same pod"))]
    pub port: u16,

    /// Which process of the pod is the member: a runtime beside the application, or the application's own.
    #[serde(default)]
    pub member: MemberProcess,

    /// Command instead of the image's entry point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub command: Option<Vec<String>>,

    /// Arguments instead of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub args: Option<Vec<String>>,

    /// Environment variables of the application. Holdfast itself sets `PORT`, those that start with `HOLDFAST_`, and `REDIS_URL`. That one is the
    /// application's to set where `spec.security.redis.usersSecretRef` asks for a password, and where `member` is `InProcess`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(e, e.name != 'PORT' && !e.name.startsWith('HOLDFAST_'))")
            .message("spec.workload.app.env must not set PORT or a name that starts with HOLDFAST_: Holdfast sets these")
    )]
    pub env: Vec<EnvVar>,

    /// Resources of the application's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// Whether the application can take requests. Absent: whether its port accepts connections; where `member` is `InProcess`, whether the member is
    /// one of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Probe>,

    /// Whether the application must be restarted. Absent: never for that reason; where `member` is `InProcess`, whether the member hangs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<Probe>,

    /// Security context of the application's container. Absent: what the Pod Security Standard `restricted` asks for, so no root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SecurityContext>,

    /// Seconds that a pod has to hand its sessions over and finish its requests: 60 to 3600.
    #[serde(default = "default_termination_grace_period")]
    #[x_kube(validation = rules::integer("spec.workload.app.terminationGracePeriodSeconds", 60, 3600))]
    pub termination_grace_period_seconds: u32,
}

/// Which process of a pod is the member of the cluster.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberProcess {
    /// The runtime, in a container beside the application, which reaches it by the Redis protocol.
    #[default]
    Sidecar,
    /// The application itself, a Rust program with the crate `holdfast`. There is no other container, and nobody serves the Redis protocol.
    InProcess,
}

/// What a session may be.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Sessions {
    /// Largest session, in bytes: 1Ki to 32Mi. A write that would make it larger is refused.
    #[serde(default = "default_max_bytes")]
    #[x_kube(validation = rules::byte_size("spec.sessions.maxBytes", "1Ki", "32Mi"))]
    pub max_bytes: ByteSize,

    /// Patterns of the keys that are sessions and move with their users, as `SCAN MATCH` has them in Redis: 1 to 64, each of 1 to 1024 bytes. All
    /// other keys belong to the member of their hash. Absent: those of `workload.preset`; without one, all keys are sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 1024)))]
    #[x_kube(validation = Rule::new("self.all(key, size(bytes(key)) >= 1 && size(bytes(key)) <= 1024)")
        .message("spec.sessions.keys must be patterns of 1 to 1024 bytes each, such as sess:*"))]
    pub keys: Option<Vec<String>>,

    /// How many sessions there may be in the whole cluster: 1 to 1000000000. Further ones are refused; those that are there go on. Absent: as many
    /// as there is memory for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::integer("spec.sessions.maxActive", 1, 1_000_000_000))]
    pub max_active: Option<u32>,
}

/// How requests find their member.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Affinity {
    /// Where a request carries its session's name. Gateways use it to agree on another member when the one that a request belongs to is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into(), "name".into()]))]
    pub sources: Vec<AffinitySource>,
}

/// A place in a request where the session's name stands.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AffinitySource {
    /// What kind of place.
    #[serde(rename = "type")]
    pub type_: AffinitySourceType,

    /// Name of the cookie: a token as in RFC 6265.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"))]
    #[x_kube(validation = Rule::new("self != 'holdfast-route'")
        .message("spec.affinity.sources[].name must be the application's cookie: holdfast-route is the gateway's own"))]
    pub name: String,
}

/// Kinds of place in a request.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum AffinitySourceType {
    /// A cookie.
    Cookie,
}

/// How members notice that another one is gone.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(self.failureTimeout) >= duration(self.heartbeatInterval) + duration(self.heartbeatInterval) + duration(self.heartbeatInterval) + duration(self.heartbeatInterval)")
    .message(Message::Expression("'spec.membership.failureTimeout must be at least 4 times spec.membership.heartbeatInterval, or a single late heartbeat passes for a failure: ' + self.failureTimeout + ' is less than 4 times ' + self.heartbeatInterval".into()))
    .field_path(".failureTimeout"))]
pub struct Membership {
    /// How often members tell each other that they live: 50ms to 10s.
    #[serde(default = "default_heartbeat_interval")]
    #[x_kube(validation = rules::duration("spec.membership.heartbeatInterval", "50ms", "10s", ""))]
    pub heartbeat_interval: Duration,

    /// How long a member may be silent before the others take its sessions over: 200ms to 1m, and at least 4 times heartbeatInterval.
    #[serde(default = "default_failure_timeout")]
    #[x_kube(validation = rules::duration("spec.membership.failureTimeout", "200ms", "1m", ", and at least 4 times spec.membership.heartbeatInterval"))]
    pub failure_timeout: Duration,
}

/// The gateway, which keeps each user on the member that owns their session.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// How many gateways there are: 1 to 32.
    #[serde(default = "default_gateway_replicas")]
    #[x_kube(validation = rules::integer("spec.gateway.replicas", 1, 32))]
    pub replicas: u32,

    /// Resources of the gateway's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

/// How members know each other.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Security {
    /// Encryption of the links between members.
    #[serde(default)]
    pub tls: Tls,
    /// Who may use the Redis protocol in the pod, and for how long.
    #[serde(default)]
    pub redis: RedisSecurity,
}

/// Who may use the Redis protocol in the pod, and for how long.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RedisSecurity {
    /// The Secret with the users; without it, whoever is in the pod. Its key `users` has a line `name:hash` for each, the hash being the SHA-256 of the
    /// password in hexadecimal. A pod does not start before it is there; what changes in it is taken up while members run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users_secret_ref: Option<SecretRef>,

    /// After how long a client that asks nothing is closed, in whole seconds: 1s to 8760h. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration("spec.security.redis.idleTimeout", "1s", "8760h", ""))]
    pub idle_timeout: Option<Duration>,
}

/// A Secret in the namespace of the resource.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct SecretRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Encryption of the links between members.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Who makes the certificates. Can only be changed while there are no members.
    #[serde(default)]
    pub mode: TlsMode,
}

/// Who makes the certificates of the members.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// The operator does, and renews them: members take links with mutual TLS only.
    #[default]
    Managed,
    /// Nobody: links are plain TCP. Whoever reaches port 4000 reads and writes sessions.
    Disabled,
}

fn default_replicas() -> u32 {
    3
}

fn default_termination_grace_period() -> u32 {
    60
}

fn default_max_bytes() -> ByteSize {
    ByteSize::from_bytes(1 << 20)
}

fn default_heartbeat_interval() -> Duration {
    Duration::from_millis(250)
}

fn default_failure_timeout() -> Duration {
    Duration::from_secs(2)
}

fn default_gateway_replicas() -> u32 {
    2
}

impl SessionClusterSpec {
    /// Whether the application's own process is the member.
    #[must_use]
    pub fn is_in_process(&self) -> bool {
        self.workload.app.member == MemberProcess::InProcess
    }

    /// Patterns of the keys that are sessions; none: all are.
    #[must_use]
    pub fn session_keys(&self) -> Vec<&str> {
        match (&self.sessions.keys, self.workload.preset) {
            (Some(keys), _) => keys.iter().map(String::as_str).collect(),
            (None, preset) => preset.map(Preset::keys).unwrap_or_default().to_vec(),
        }
    }

    /// Where a request carries its session's name.
    #[must_use]
    pub fn affinity_sources(&self) -> Vec<AffinitySource> {
        let of_preset = |preset: Preset| AffinitySource { type_: AffinitySourceType::Cookie, name: preset.cookie().to_owned() };
        match self.workload.preset {
            Some(preset) if self.affinity.sources.is_empty() => vec![of_preset(preset)],
            _ => self.affinity.sources.clone(),
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self { max_bytes: default_max_bytes(), keys: None, max_active: None }
    }
}

impl Default for Membership {
    fn default() -> Self {
        Self { heartbeat_interval: default_heartbeat_interval(), failure_timeout: default_failure_timeout() }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self { replicas: default_gateway_replicas(), resources: None }
    }
}
