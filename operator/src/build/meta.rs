//! Names, labels and owner references that all objects of a cluster share.

use std::collections::BTreeMap;

use holdfast_api::names;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use crate::cluster::Cluster;

/// Annotation on the StatefulSet: the runtime's image, chosen at creation. Editing it there is how a cluster without `spec.runtime.image` moves on.
pub const RUNTIME_IMAGE_ANNOTATION: &str = "holdfast.dev/runtime-image";
/// Annotation on the StatefulSet: whether its members' links are encrypted, chosen while it has no pods. Absent: made before there was encryption.
pub const TLS_ANNOTATION: &str = "holdfast.dev/tls";
/// Annotation on the gateway's Deployment: its image, chosen at creation. Editing it there is how a gateway moves on.
pub const GATEWAY_IMAGE_ANNOTATION: &str = "holdfast.dev/gateway-image";

/// Labels of an object. `app.kubernetes.io/instance` is not among them: Argo CD tracks what it deployed by it, and would prune ours.
pub(super) fn labels(cluster: &Cluster, component: &str) -> BTreeMap<String, String> {
    let mut labels = selector_labels(cluster, component);
    labels.insert(names::MANAGED_BY_LABEL.to_owned(), names::MANAGER.to_owned());
    labels.insert(names::NAME_LABEL.to_owned(), names::MANAGER.to_owned());
    labels
}

/// The labels by which Services, budgets and workloads select pods. Selectors are immutable: these never change.
pub(super) fn selector_labels(cluster: &Cluster, component: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(names::CLUSTER_LABEL.to_owned(), cluster.name.clone()), (names::COMPONENT_LABEL.to_owned(), component.to_owned())])
}

/// The same as a selector.
pub(super) fn selector(cluster: &Cluster, component: &str) -> LabelSelector {
    LabelSelector { match_labels: Some(selector_labels(cluster, component)), ..LabelSelector::default() }
}

/// Metadata of an object that belongs to the cluster.
pub(crate) fn object(cluster: &Cluster, name: String, component: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.namespace.clone()),
        labels: Some(labels(cluster, component)),
        owner_references: Some(vec![cluster.owner()]),
        ..ObjectMeta::default()
    }
}
