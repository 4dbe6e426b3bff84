//! What was read at the API server about one cluster, as it came.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_api::SessionView;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};

use crate::places::Place;

/// The objects of a cluster at one moment.
#[derive(Clone, Debug)]
pub struct Observed {
    /// When.
    pub now: Timestamp,
    /// The members' StatefulSet.
    pub members: Option<StatefulSet>,
    /// The gateways' Deployment.
    pub gateway: Option<Deployment>,
    /// The gateways' instructions.
    pub gateway_config: Option<ConfigMap>,
    /// The view.
    pub view: Option<SessionView>,
    /// Pods of members and gateways.
    pub pods: Vec<Pod>,
    /// Why the StatefulSet could not make a pod that is missing, if Kubernetes said so lately.
    pub failed_create: Option<String>,
    /// Nodes that do not answer, or are gone.
    pub dead_nodes: BTreeSet<String>,
    /// What pods are to say about where they are, by the name of their node.
    pub places: BTreeMap<String, Place>,
}
