//! The members. Pods come and go in parallel and are never replaced by Kubernetes itself (`OnDelete`): the operator paces that.

use std::collections::BTreeMap;

use holdfast_api::names;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Images, RUNTIME_IMAGE_ANNOTATION, TLS_ANNOTATION, app_container, member_process, meta, pod, runtime_container};
use crate::cluster::Cluster;

pub(super) fn build(cluster: &Cluster, images: &Images, replicas: u32, tls: bool) -> StatefulSet {
    let mut metadata = meta::object(cluster, names::stateful_set(&cluster.name), names::MEMBER);
    let mode = if tls { "Managed" } else { "Disabled" };
    metadata.annotations =
        Some(BTreeMap::from([(RUNTIME_IMAGE_ANNOTATION.to_owned(), images.runtime.clone()), (TLS_ANNOTATION.to_owned(), mode.to_owned())]));
    StatefulSet {
        metadata,
        spec: Some(StatefulSetSpec {
            replicas: Some(i32::try_from(replicas).expect("at most 64")),
            service_name: Some(names::members_service(&cluster.name)),
            selector: meta::selector(cluster, names::MEMBER),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy { type_: Some("OnDelete".to_owned()), rolling_update: None }),
            revision_history_limit: Some(5),
            template: template(cluster, images, tls),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

/// The pod of a member. Any change here restarts every member of every cluster: nothing of the operator itself may be in it, and the golden
/// files under tests/golden hold it still.
fn template(cluster: &Cluster, images: &Images, tls: bool) -> PodTemplateSpec {
    let app = &cluster.spec.workload.app;
    let (runtime, container) = if cluster.spec.is_in_process() {
        (None, app_container::build_member(cluster, tls))
    } else {
        (Some(vec![runtime_container::build(cluster, images, tls)]), app_container::build(cluster))
    };
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(meta::labels(cluster, names::MEMBER)), ..ObjectMeta::default() }),
        spec: Some(PodSpec {
            service_account_name: Some(names::member_account(&cluster.name)),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(i64::from(app.termination_grace_period_seconds)),
            security_context: Some(pod::security()),
            topology_spread_constraints: Some(pod::spread(cluster, names::MEMBER)),
            init_containers: runtime,
            containers: vec![container],
            volumes: Some(member_process::volumes(cluster, tls)),
            ..PodSpec::default()
        }),
    }
}
