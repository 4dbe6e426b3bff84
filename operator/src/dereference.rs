//! First step of the pipeline: reads what the decisions need, from the API server itself and not from a watch's memory, because a member must
//! not be sent away on the strength of a view that has changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use futures::try_join;
use holdfast_api::{SessionCluster, SessionClusterStatus, SessionView, names};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cluster::Cluster;
use crate::nodes;
use crate::observed::Observed;
use crate::places::{self, Place};
use crate::survey::belongs_to;

/// How long an Event about a pod that could not be created is believed. The StatefulSet's controller tries again at growing intervals.
const EVENT_MEMORY: SignedDuration = SignedDuration::from_mins(15);

/// Something could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {what} of cluster `{cluster}`")]
pub struct ReadError {
    what: &'static str,
    cluster: String,
    source: kube::Error,
}

/// A resource as the API server holds it.
#[derive(Debug)]
pub enum Found {
    /// It is gone, or on its way: the garbage collector does the rest.
    Gone,
    /// It is not what this operator knows as a SessionCluster; the text names the field.
    Malformed {
        /// Its metadata.
        metadata: Box<ObjectMeta>,
        /// Its status, if that can be read.
        status: Box<SessionClusterStatus>,
        /// What is wrong.
        error: String,
    },
    /// It can be read; whether it can be built is the next step's question.
    Resource(Box<SessionCluster>),
}

/// Reads the resource.
///
/// # Errors
/// When the API server cannot be reached or refuses.
pub async fn resource(client: &Client, namespace: &str, name: &str) -> Result<Found, ReadError> {
    let kind = ApiResource::erase::<SessionCluster>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    let object = api.get_opt(name).await.map_err(|source| ReadError { what: "the resource", cluster: name.to_owned(), source })?;
    Ok(object.map_or(Found::Gone, interpret))
}

fn interpret(object: DynamicObject) -> Found {
    if object.metadata.deletion_timestamp.is_some() {
        return Found::Gone;
    }
    let json = serde_json::to_value(&object).expect("it was JSON a moment ago");
    match serde_path_to_error::deserialize::<_, SessionCluster>(json) {
        Ok(resource) => Found::Resource(Box::new(resource)),
        Err(error) => {
            let status = object.data.get("status").and_then(|status| SessionClusterStatus::deserialize(status).ok());
            Found::Malformed { metadata: Box::new(object.metadata), status: Box::new(status.unwrap_or_default()), error: error.to_string() }
        }
    }
}

/// Reads everything that belongs to a cluster.
///
/// # Errors
/// When the API server cannot be reached or refuses.
pub async fn observe(client: &Client, cluster: &Cluster, nodes: &Store<Node>) -> Result<Observed, ReadError> {
    let name = cluster.name.as_str();
    let error = |what| move |source| ReadError { what, cluster: name.to_owned(), source };
    let pods: Api<Pod> = Api::namespaced(client.clone(), &cluster.namespace);
    let of_cluster = ListParams::default().labels(&names::cluster_selector(name));
    let (members, gateway, gateway_config, view, pods) = try_join!(
        get::<StatefulSet>(client, cluster, names::stateful_set(name), "the StatefulSet"),
        get::<Deployment>(client, cluster, names::gateway(name), "the gateway's Deployment"),
        get::<ConfigMap>(client, cluster, names::gateway(name), "the gateway's ConfigMap"),
        get::<SessionView>(client, cluster, names::view(name), "the SessionView"),
        async { pods.list(&of_cluster).await.map_err(error("the pods")) },
    )?;
    let now = Timestamp::now();
    let failed_create = match &members {
        Some(set) if pod_is_missing(set, &pods.items) => failed_create(client, cluster, set, now).await.map_err(error("the Events"))?,
        _ => None,
    };
    let dead_nodes = dead_nodes(&pods.items, nodes);
    let places = places(cluster, &pods.items, nodes);
    Ok(Observed { now, members, gateway, gateway_config, view, pods: pods.items, failed_create, dead_nodes, places })
}

async fn get<K>(client: &Client, cluster: &Cluster, name: String, what: &'static str) -> Result<Option<K>, ReadError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), &cluster.namespace);
    api.get_opt(&name).await.map_err(|source| ReadError { what, cluster: cluster.name.clone(), source })
}

/// Whether the StatefulSet's controller knows how many pods there should be, and there are fewer.
fn pod_is_missing(set: &StatefulSet, pods: &[Pod]) -> bool {
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let seen = set.status.as_ref().is_some_and(|status| status.observed_generation >= set.metadata.generation);
    let there = pods.iter().filter(|pod| belongs_to(pod, set)).count();
    seen && usize::try_from(wanted).is_ok_and(|wanted| there < wanted)
}

/// What Kubernetes last said about a pod that it could not create; it says so in an Event and nowhere else.
async fn failed_create(client: &Client, cluster: &Cluster, set: &StatefulSet, now: Timestamp) -> Result<Option<String>, kube::Error> {
    let events: Api<Event> = Api::namespaced(client.clone(), &cluster.namespace);
    let selector = format!("involvedObject.uid={},reason=FailedCreate", set.uid().unwrap_or_default());
    let events = events.list(&ListParams::default().fields(&selector)).await?;
    let at = |event: &Event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        last.or(event.event_time.as_ref().map(|time| time.0)).or(event.metadata.creation_timestamp.as_ref().map(|time| time.0))
    };
    let latest = events.items.into_iter().filter(|event| at(event).is_some_and(|at| now.duration_since(at) < EVENT_MEMORY)).max_by_key(at);
    Ok(latest.and_then(|event| event.message))
}

fn dead_nodes(pods: &[Pod], nodes: &Store<Node>) -> BTreeSet<String> {
    let used = pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone());
    used.filter(|name| nodes.get(&ObjectRef::new(name)).is_none_or(|node| nodes::is_dead(&node))).collect()
}

fn places(cluster: &Cluster, pods: &[Pod], nodes: &Store<Node>) -> BTreeMap<String, Place> {
    let used = pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone());
    let known = used.filter_map(|name| nodes.get(&ObjectRef::new(&name)).map(|node| (name, node)));
    known.map(|(name, node)| (name, places::of_node(node.labels(), &cluster.spec.placement))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::World;

    fn object(spec: serde_json::Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "holdfast.dev/v1alpha1",
            "kind": "SessionCluster",
            "metadata": {"name": "shop", "namespace": "default", "generation": 3},
            "spec": spec,
            "status": {"replicas": 2},
        }))
        .expect("an object")
    }

    #[test]
    fn a_malformed_resource_is_found_with_the_field_that_is_wrong() {
        let spec = json!({"workload": {"app": {"image": "shop:1", "port": 8080}}, "membership": {"failureTimeout": "2 weeks"}});
        let Found::Malformed { status, error, .. } = interpret(object(spec)) else { panic!("malformed") };
        assert!(error.starts_with("spec.membership.failureTimeout: "), "{error}");
        assert!(error.contains(r#""2 weeks" is not a duration"#), "{error}");
        assert_eq!(status.replicas, 2);
    }

    #[test]
    fn a_resource_that_is_being_deleted_is_gone() {
        let mut object = object(json!({}));
        object.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(crate::testing::noon()));
        assert!(matches!(interpret(object), Found::Gone));
    }

    #[test]
    fn events_are_asked_for_only_when_a_pod_is_missing() {
        let missing = |world: World| pod_is_missing(world.observed.members.as_ref().expect("a StatefulSet"), &world.observed.pods);
        assert!(!missing(World::settled(3)));
        assert!(missing(World::settled(3).without_pod(1)));
        assert!(!missing(World::settled(3).without_pod(1).unseen_generation()));
    }
}
