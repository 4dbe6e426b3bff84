//! What the operator reports in a `SessionCluster`'s status.
//!
//! Counts that move with traffic are metrics, not status: nothing here changes because of a request.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator last saw of a cluster.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SessionClusterStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Member pods that exist.
    #[serde(default)]
    pub replicas: u32,

    /// Member pods that are ready and full members of the view.
    #[serde(default)]
    pub ready_replicas: u32,

    /// Member pods made from the current template.
    #[serde(default)]
    pub updated_replicas: u32,

    /// Label selector of the member pods, for autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// The view that the members agreed on last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewStatus>,

    /// Where users reach the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayStatus>,

    /// The members, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub members: Vec<ClusterMember>,

    /// Ready, Reconciling, Stalled, Degraded, SessionsProtected, CapacityForFailover, MembershipFormed, GatewaySynced and LinksEncrypted; see docs/status.md.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The view that the members agreed on last.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ViewStatus {
    /// Number of the view.
    #[serde(default)]
    pub epoch: u64,

    /// 0: just changed; larger: settled.
    #[serde(default)]
    pub sub: u64,

    /// Copies that the members keep of each session; 63: every other member.
    #[serde(default)]
    pub copies: u32,

    /// Epoch of the last view in which acknowledged writes may have been lost, because `onUnderReplicated` is Accept; absent: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lossy_epoch: Option<u64>,
}

/// Where users reach the application.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// Service that users reach.
    #[serde(default)]
    pub service_name: String,

    /// Generation of the gateway's instructions.
    #[serde(default)]
    pub table_generation: u64,
}

/// A member of the cluster.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClusterMember {
    /// Name of its pod.
    pub name: String,

    /// UID of its pod.
    #[serde(rename = "podUID", default)]
    pub pod_uid: String,

    /// What it does.
    pub state: ClusterMemberState,
}

/// What a member does.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterMemberState {
    /// Starts, or receives its share of the sessions.
    Joining,
    /// Owns and keeps sessions.
    Active,
    /// Hands its sessions over.
    Draining,
    /// Was removed from the view by the others; its pod is still there.
    Evicted,
}
