//! PodDisruptionBudgets: how many pods a drained node may take at once.

use holdfast_api::names;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta;
use crate::cluster::Cluster;

/// One member at a time, and none while a session lacks a copy. `IfHealthyBudget`, because the other policy would let a drain evict every
/// member of an application that is unready for a reason of its own, and so every copy.
pub(super) fn members(cluster: &Cluster, protected: bool) -> PodDisruptionBudget {
    budget(cluster, names::members_budget(&cluster.name), names::MEMBER, i32::from(protected))
}

/// One gateway at a time. A single one may be evicted: the Deployment then replaces it, and no state is lost.
pub(super) fn gateway(cluster: &Cluster) -> PodDisruptionBudget {
    budget(cluster, names::gateway(&cluster.name), names::GATEWAY, 1)
}

fn budget(cluster: &Cluster, name: String, component: &str, max_unavailable: i32) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: meta::object(cluster, name, component),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(max_unavailable)),
            selector: Some(meta::selector(cluster, component)),
            unhealthy_pod_eviction_policy: Some("IfHealthyBudget".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
