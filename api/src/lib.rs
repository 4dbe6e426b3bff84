//! Holdfast's custom resources as Rust types, and the names of everything that belongs to a cluster.
//!
//! `SessionCluster` is what people write; `SessionView` is the register in which the members agree on who counts. The definitions that a
//! Kubernetes API server gets are generated from these types ([`crds`]) and checked in under `crds/`.

mod byte_size;
mod crd;
mod duration;
mod gateway_intent;
mod links_report;
mod memory_report;
pub mod names;
mod preset;
#[expect(unreachable_pub, reason = "KubeSchema repeats each struct inside a function, its `pub` included")]
mod replication;
mod rules;
#[expect(unreachable_pub, reason = "KubeSchema repeats each struct inside a function, its `pub` included")]
mod session_cluster;
#[expect(unreachable_pub, reason = "KubeSchema repeats each struct inside a function, its `pub` included")]
#[expect(clippy::duplicated_attributes, reason = "two printer columns of the same type")]
mod session_view;
#[expect(unreachable_pub, reason = "KubeSchema repeats each struct inside a function, its `pub` included")]
mod status;

pub use byte_size::{ByteSize, ParseByteSizeError};
pub use crd::{CrdFile, crds};
pub use duration::{Duration, ParseDurationError};
pub use gateway_intent::GatewayIntent;
pub use links_report::LinksReport;
pub use memory_report::MemoryReport;
pub use preset::Preset;
pub use replication::{Acknowledge, Compression, OnUnderReplicated, Placement, Replication, StateTransfer, Topology, Transport};
pub use session_cluster::{
    Affinity, AffinitySource, AffinitySourceType, App, Gateway, MemberProcess, Membership, RedisSecurity, Runtime, SecretRef, Security,
    SessionCluster, SessionClusterSpec, Sessions, Tls, TlsMode, Workload,
};
pub use session_view::{MemberState, SessionView, SessionViewSpec, ViewMember};
pub use status::{ClusterMember, ClusterMemberState, GatewayStatus, SessionClusterStatus, ViewStatus};
