//! Builders for tests: a resource, a cluster, and a small world of pods, view and workloads that a test changes in one line.

pub(crate) mod api;

use std::collections::{BTreeMap, BTreeSet};

use holdfast_api::{
    LinksReport, MemberState, MemoryReport, Replication, SessionCluster, SessionView, SessionViewSpec, Topology, ViewMember, names,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::observed::Observed;
use crate::survey::Survey;
use crate::validate::validate;

/// The moment of every test.
pub(crate) fn noon() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().expect("a moment")
}

/// The smallest useful resource, with `spec` merged over it.
pub(crate) fn resource(spec: Value) -> SessionCluster {
    let mut merged = json!({"workload": {"app": {"image": "shop:1", "port": 8080}}});
    merge(&mut merged, spec);
    serde_json::from_value(json!({
        "apiVersion": "holdfast.dev/v1alpha1",
        "kind": "SessionCluster",
        "metadata": {"name": "shop", "namespace": "default", "uid": "cluster-uid", "generation": 3},
        "spec": merged,
    }))
    .expect("a resource")
}

/// The same, validated.
pub(crate) fn cluster(spec: Value) -> Cluster {
    validate(&resource(spec)).expect("valid")
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value))
        }
        (into, from) => *into = from,
    }
}

/// Status of a container that is not ready, with `state` merged over it.
pub(crate) fn container_status(name: &str, state: Value) -> ContainerStatus {
    let mut merged = json!({"name": name, "image": "shop:1", "imageID": "", "ready": false, "restartCount": 0});
    merge(&mut merged, state);
    serde_json::from_value(merged).expect("a container status")
}

/// Everything that the API server holds about one cluster.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) observed: Observed,
    replication: Replication,
}

impl World {
    /// Nothing exists yet.
    pub(crate) fn empty() -> Self {
        let observed = Observed {
            now: noon(),
            members: None,
            gateway: None,
            gateway_config: None,
            view: None,
            pods: Vec::new(),
            failed_create: None,
            dead_nodes: BTreeSet::new(),
            places: BTreeMap::new(),
        };
        Self { observed, replication: Replication::default() }
    }

    /// `replicas` ready pods, each on a node of its own and a full member of a settled view, and two gateways.
    pub(crate) fn settled(replicas: u32) -> Self {
        let mut world = Self::empty();
        world.observed.members = Some(
            serde_json::from_value(json!({
                "metadata": {"name": "shop", "namespace": "default", "uid": "set-uid", "generation": 1},
                "spec": {"replicas": replicas, "serviceName": "shop-members", "selector": {}, "template": {}},
                "status": {"replicas": replicas, "observedGeneration": 1, "updateRevision": "rev"},
            }))
            .expect("a StatefulSet"),
        );
        world.observed.gateway = Some(
            serde_json::from_value(json!({
                "metadata": {"name": "shop-gateway", "namespace": "default", "uid": "gateway-uid", "generation": 1},
                "spec": {"replicas": 2, "selector": {}, "template": {}},
                "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
            }))
            .expect("a Deployment"),
        );
        world.observed.pods = (0..replicas).map(pod).collect();
        let members = (0..replicas).map(|id| member(id, MemberState::Full)).collect();
        world.observed.view =
            Some(SessionView::new("shop", SessionViewSpec { epoch: 7, sub: 1, copies: 1, budget: 1, lossy: false, members }));
        (0..replicas).fold(world, |world, ordinal| world.links(ordinal, true))
    }

    /// A member says whether its links are encrypted.
    pub(crate) fn links(self, ordinal: u32, encrypted: bool) -> Self {
        let report = LinksReport { pod_uid: format!("pod-{ordinal}"), encrypted, certificate: None, authorities: Vec::new() };
        let text = serde_json::to_string(&report).expect("JSON");
        self.marked(&[(&names::links_annotation(ordinal), &text)])
    }

    /// A member says nothing of its links.
    pub(crate) fn silent_about_links(mut self, ordinal: u32) -> Self {
        let view = self.observed.view.as_mut().expect("a view");
        view.metadata.annotations.get_or_insert_default().remove(&names::links_annotation(ordinal));
        self
    }

    /// A member says how many mebibytes it holds, and how many it may.
    pub(crate) fn memory(self, ordinal: u32, mebibytes: u64, budget: Option<u64>) -> Self {
        let (bytes, budget) = (mebibytes << 20, budget.map(|budget| budget << 20));
        let text = serde_json::to_string(&MemoryReport { pod_uid: format!("pod-{ordinal}"), bytes, budget }).expect("JSON");
        self.marked(&[(&names::memory_annotation(ordinal), &text)])
    }

    pub(crate) fn survey(&self) -> Survey {
        Survey::of("shop", &self.observed, &self.replication)
    }

    pub(crate) fn copies(mut self, copies: u32) -> Self {
        self.replication.copies = copies;
        self.view(|view| view.copies = copies)
    }

    /// Every other member keeps a copy.
    pub(crate) fn all_members(mut self) -> Self {
        self.replication.topology = Topology::AllMembers;
        self.view(|view| view.copies = names::ALL_MEMBERS)
    }

    /// The view has this number of copies, whatever is asked for.
    pub(crate) fn view_copies(self, copies: u32) -> Self {
        self.view(|view| view.copies = copies)
    }

    /// Acknowledged writes may be lost since this view, which is the one that is there or an earlier one.
    pub(crate) fn lossy(self, epoch: u64) -> Self {
        self.view(|view| view.lossy = view.epoch == epoch).marked(&[(names::LOSSY_ANNOTATION, &epoch.to_string())])
    }

    /// Annotations of the view.
    pub(crate) fn marked(mut self, marks: &[(&str, &str)]) -> Self {
        let view = self.observed.view.as_mut().expect("a view");
        view.metadata.annotations.get_or_insert_default().extend(marks.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        self
    }

    pub(crate) fn later(mut self, by: SignedDuration) -> Self {
        self.observed.now += by;
        self
    }

    /// Changes the pod of a member.
    pub(crate) fn pod(mut self, ordinal: u32, change: impl FnOnce(&mut Pod)) -> Self {
        let name = format!("shop-{ordinal}");
        let pod = self.observed.pods.iter_mut().find(|pod| pod.metadata.name.as_ref() == Some(&name)).expect("such a pod");
        change(pod);
        self
    }

    pub(crate) fn unready(self, ordinal: u32) -> Self {
        self.pod(ordinal, |pod| {
            let condition = json!([{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T11:59:30Z"}]);
            pod.status.as_mut().expect("status").conditions = serde_json::from_value(condition).expect("conditions");
        })
    }

    pub(crate) fn terminating(self, ordinal: u32) -> Self {
        self.pod(ordinal, |pod| {
            pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(noon()));
        })
    }

    pub(crate) fn without_pod(mut self, ordinal: u32) -> Self {
        self.observed.pods.retain(|pod| pod.metadata.name != Some(format!("shop-{ordinal}")));
        self
    }

    fn view(mut self, change: impl FnOnce(&mut SessionViewSpec)) -> Self {
        change(&mut self.observed.view.as_mut().expect("a view").spec);
        self
    }

    pub(crate) fn without_view(mut self) -> Self {
        self.observed.view = None;
        self
    }

    pub(crate) fn epoch(self, epoch: u64) -> Self {
        self.view(|view| {
            view.epoch = epoch;
            if epoch == 0 {
                view.sub = 0;
                view.members.clear();
            }
        })
    }

    pub(crate) fn sub(self, sub: u64) -> Self {
        self.view(|view| view.sub = sub)
    }

    pub(crate) fn standing(self, ordinal: u32, state: MemberState) -> Self {
        self.view(|view| view.members.iter_mut().filter(|member| member.id == ordinal).for_each(|member| member.state = state))
    }

    /// The others took the member out of the view.
    pub(crate) fn outside(self, ordinal: u32) -> Self {
        self.view(|view| view.members.retain(|member| member.id != ordinal))
    }

    /// The template changed: new pods would be of this revision.
    pub(crate) fn revision(mut self, revision: &str) -> Self {
        let status = self.observed.members.as_mut().and_then(|set| set.status.as_mut()).expect("a status");
        status.update_revision = Some(revision.to_owned());
        self
    }

    pub(crate) fn pod_revision(self, ordinal: u32, revision: &str) -> Self {
        self.pod(ordinal, |pod| {
            pod.metadata.labels.get_or_insert_default().insert("controller-revision-hash".to_owned(), revision.to_owned());
        })
    }

    /// The StatefulSet changed, and its controller has not seen it.
    pub(crate) fn unseen_generation(mut self) -> Self {
        self.observed.members.as_mut().expect("a StatefulSet").metadata.generation = Some(2);
        self
    }

    pub(crate) fn dead_node(mut self, node: &str) -> Self {
        self.observed.dead_nodes.insert(node.to_owned());
        self
    }

    pub(crate) fn gateways(mut self, available: i32) -> Self {
        let status = self.observed.gateway.as_mut().and_then(|gateway| gateway.status.as_mut()).expect("a status");
        (status.available_replicas, status.updated_replicas) = (Some(available), Some(2));
        self
    }
}

fn pod(ordinal: u32) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": format!("shop-{ordinal}"),
            "namespace": "default",
            "uid": format!("pod-{ordinal}"),
            "creationTimestamp": "2026-01-01T11:59:30Z",
            "labels": {"controller-revision-hash": "rev"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "shop", "uid": "set-uid", "controller": true}],
        },
        "spec": {"nodeName": format!("node-{ordinal}"), "containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T11:59:45Z"}]},
    }))
    .expect("a pod")
}

fn member(id: u32, state: MemberState) -> ViewMember {
    ViewMember {
        id,
        name: format!("shop-{id}"),
        incarnation: format!("100{id}"),
        pod_uid: format!("pod-{id}"),
        state,
        zone: None,
        domain: None,
    }
}
