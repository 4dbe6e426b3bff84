//! The part of a `SessionCluster` that says how sessions are copied: how many copies, when a write counts, how copies travel, and where they go.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ByteSize, Duration, rules};

/// How many copies of a session there are, how they travel, and how long a write waits for them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::copies_of_all_members())]
pub struct Replication {
    /// Who keeps copies.
    #[serde(default)]
    pub topology: Topology,

    /// Members that keep a copy of each session besides its owner: 0 to 63. As many members may fail at once without a loss.
    #[serde(default = "default_copies")]
    #[x_kube(validation = rules::integer("spec.replication.copies", 0, 63))]
    pub copies: u32,

    /// When a write is answered.
    #[serde(default)]
    pub acknowledge: Acknowledge,

    /// How copies travel.
    #[serde(default)]
    pub transport: Transport,

    /// How long a write waits for its copies before the application gets an error: 100ms to 1m.
    #[serde(default = "default_ack_timeout")]
    #[x_kube(validation = rules::duration("spec.replication.ackTimeout", "100ms", "1m", ""))]
    pub ack_timeout: Duration,

    /// What becomes of writes while a session has fewer copies than it should.
    #[serde(default)]
    pub on_under_replicated: OnUnderReplicated,
}

/// Who keeps copies.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// As many members as `copies` says, chosen for each session.
    #[default]
    Backups,
    /// Every other member.
    AllMembers,
}

/// When a write is answered.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// When all copies have it.
    #[default]
    Applied,
    /// When all members with copies have received it.
    Received,
    /// At once: an owner that fails takes with it what was still on its way.
    None,
}

/// What becomes of writes while a session has fewer copies than it should.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnderReplicated {
    /// They wait, and end with an error after `ackTimeout`.
    #[default]
    Wait,
    /// Members that are silent for too long are given up, even where acknowledged writes may be lost with them.
    Accept,
    /// They are refused at once.
    Reject,
}

/// How copies travel.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Transport {
    /// Connections between each two members: 1 to 8.
    #[serde(default = "default_connections")]
    #[x_kube(validation = rules::integer("spec.replication.transport.connections", 1, 8))]
    pub connections: u32,

    /// How much may wait for one member before further writes are refused: 1Mi to 4Gi, and at least twice `sessions.maxBytes`.
    #[serde(default = "default_queue_bytes")]
    #[x_kube(validation = rules::byte_size("spec.replication.transport.queueBytes", "1Mi", "4Gi"))]
    pub queue_bytes: ByteSize,

    /// How what is sent is compressed.
    #[serde(default)]
    pub compression: Compression,
}

/// How what is sent is compressed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// By LZ4, where that makes it smaller.
    #[serde(rename = "LZ4")]
    Lz4,
}

/// How a new member receives its share of the sessions.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StateTransfer {
    /// How long a new member waits for its share before it serves all the same: 1s to 15m. Nothing is lost then; the rest follows.
    #[serde(default = "default_timeout")]
    #[x_kube(validation = rules::duration("spec.stateTransfer.timeout", "1s", "15m", ""))]
    pub timeout: Duration,

    /// How many bytes a second each member sends to each other one when copies are made in the background: 64Ki to 64Gi. Absent: unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::byte_size("spec.stateTransfer.rate", "64Ki", "64Gi"))]
    pub rate: Option<ByteSize>,
}

/// What members that fail together have in common: copies go elsewhere first.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Label of nodes that names their failure zone.
    #[serde(default = "default_zone_label")]
    #[schemars(length(min = 1, max = 317))]
    #[x_kube(validation = rules::label_key("spec.placement.zoneLabel"))]
    pub zone_label: String,

    /// Label of nodes that names their replication domain, which weighs more than the zone. Absent: there are no domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    #[x_kube(validation = rules::label_key("spec.placement.domainLabel"))]
    pub domain_label: Option<String>,
}

fn default_copies() -> u32 {
    1
}

fn default_ack_timeout() -> Duration {
    Duration::from_secs(5)
}

fn default_connections() -> u32 {
    1
}

fn default_queue_bytes() -> ByteSize {
    ByteSize::from_bytes(64 << 20)
}

fn default_timeout() -> Duration {
    Duration::from_secs(60)
}

fn default_zone_label() -> String {
    "topology.kubernetes.io/zone".to_owned()
}

impl Default for Replication {
    fn default() -> Self {
        Self {
            topology: Topology::default(),
            copies: default_copies(),
            acknowledge: Acknowledge::default(),
            transport: Transport::default(),
            ack_timeout: default_ack_timeout(),
            on_under_replicated: OnUnderReplicated::default(),
        }
    }
}

impl Replication {
    /// The number of copies that members are told: [`crate::names::ALL_MEMBERS`] where every other one keeps a copy.
    pub fn wanted_copies(&self) -> u32 {
        match self.topology {
            Topology::Backups => self.copies,
            Topology::AllMembers => crate::names::ALL_MEMBERS,
        }
    }
}

impl Default for Transport {
    fn default() -> Self {
        Self { connections: default_connections(), queue_bytes: default_queue_bytes(), compression: Compression::default() }
    }
}

impl Default for StateTransfer {
    fn default() -> Self {
        Self { timeout: default_timeout(), rate: None }
    }
}

impl Default for Placement {
    fn default() -> Self {
        Self { zone_label: default_zone_label(), domain_label: None }
    }
}
