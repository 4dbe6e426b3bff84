//! `SessionView`: the register that holds a cluster's current view (docs/protocol.md, the arbiter).
//!
//! The operator creates it empty. From then on only members write its spec, by PUT with the resourceVersion that they read, which makes
//! each write a compare-and-swap. The rule below refuses any write that is neither the direct successor of what is there, nor a view that members put
//! back after the object was deleted or rewound, which is at least 1000 epochs ahead: a number is never used again, and a member that
//! has missed a view by mistake cannot skip it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The numbered list of the members that count, agreed on by compare-and-swap.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "holdfast.dev",
    version = "v1alpha1",
    kind = "SessionView",
    plural = "sessionviews",
    namespaced,
    derive = "PartialEq",
    shortname = "hfsv",
    doc = "The members of a SessionCluster that count, agreed on by compare-and-swap. Written by the members only.",
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".spec.epoch"),
    printcolumn(name = "Sub", type_ = "integer", json_path = ".spec.sub"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
// An unchanged spec passes, or nobody could touch the object's metadata (the garbage collector patches owner references). It is harmless:
// such a write still needs the resourceVersion that was read, so at most one of two racing members sees success.
#[x_kube(validation = Rule::new("self == oldSelf || (self.epoch == oldSelf.epoch + 1 && self.sub == 0) || (self.epoch == oldSelf.epoch && self.sub == oldSelf.sub + 1) || (self.epoch >= oldSelf.epoch + 1000 && self.sub == 0)")
    .message("spec must be the direct successor of what is stored: the next epoch with sub 0, or the same epoch with the next sub (or a view put back, at least 1000 epochs ahead); read the view again"))]
pub struct SessionViewSpec {
    /// Number of the view; 0 with no members: none has been founded yet.
    #[serde(default)]
    pub epoch: u64,

    /// 0: the view has just changed; 1: it has settled, so every session has all its copies again.
    #[serde(default)]
    pub sub: u64,

    /// Members that keep a copy of each session besides its owner.
    #[serde(default)]
    pub copies: u32,

    /// How many members may still be evicted on suspicion before the view must settle.
    #[serde(default)]
    pub budget: u32,

    /// A member was given up although acknowledged writes may be lost with it, because `onUnderReplicated` is Accept. Until the view settles.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lossy: bool,

    /// The members that count.
    #[serde(default)]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub members: Vec<ViewMember>,
}

/// A member of a view.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ViewMember {
    /// Ordinal of its pod in the StatefulSet.
    pub id: u32,

    /// Name of its pod, which is also its route.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,

    /// Number that the process drew when it started, in decimal: a restart is another incarnation. Text, because JSON numbers end at 2^53.
    #[schemars(length(min = 1, max = 20), regex(pattern = "^[0-9]+$"))]
    pub incarnation: String,

    /// UID of its pod.
    #[serde(rename = "podUID")]
    #[schemars(length(min = 1, max = 64))]
    pub pod_uid: String,

    /// How far it is in.
    pub state: MemberState,

    /// Failure zone of its node; absent while it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub zone: Option<String>,

    /// Replication domain of its node; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub domain: Option<String>,
}

/// How far a member is in.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberState {
    /// Entered, receives its share, owns nothing yet.
    Join,
    /// Owns and keeps sessions.
    Full,
    /// Hands its sessions over and will leave.
    Leave,
}
