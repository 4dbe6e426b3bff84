//! The register that holds the members' view: when the operator makes it, and what it writes on it. Pure. The view itself is the members'.
//!
//! A register that is gone, or empty although a view was founded, is made anew with a mark. On a marked one nobody founds a cluster: members that
//! have the view put it back, each by a compare-and-swap. The mark goes with that, or when no member runs any more that may have the view.

use std::collections::BTreeMap;

use holdfast_api::{SessionView, names};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use crate::build::APP_CONTAINER;
use crate::cluster::Cluster;
use crate::observed::Observed;

/// How far the clocks of the API server and of a node may be apart.
const CLOCKS: SignedDuration = SignedDuration::from_secs(60);

/// What to do with the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is as it should be.
    Keep,
    /// Make an empty one; with the epoch of the view that was there before, if there was one.
    Create {
        /// That epoch.
        lost: Option<u64>,
    },
    /// Change what stands on it.
    Mark(Marks),
}

/// A change of what stands on the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Its annotations: what they shall say, or that they shall go.
    pub annotations: BTreeMap<&'static str, Option<String>>,
    /// Somebody made it anew without this operator, at number 0: a number that is ahead of the view that is gone.
    pub epoch: Option<u64>,
}

/// What to do with the register of a cluster whose status knows of a view with the epoch `known`.
pub fn next(cluster: &Cluster, observed: &Observed, known: Option<u64>) -> Step {
    let Some(view) = &observed.view else { return Step::Create { lost: known } };
    let mut marks = Marks { annotations: BTreeMap::new(), epoch: None };
    let copies = cluster.spec.replication.wanted_copies().to_string();
    if view.annotations().get(names::COPIES_ANNOTATION) != Some(&copies) {
        marks.annotations.insert(names::COPIES_ANNOTATION, Some(copies));
    }
    let is_empty = view.spec.members.is_empty();
    let is_marked = view.annotations().contains_key(names::FOUNDED_ANNOTATION);
    if is_marked && (!is_empty || witnesses(observed, view).is_empty()) {
        marks.annotations.insert(names::FOUNDED_ANNOTATION, None);
    } else if let Some(known) = known
        && is_empty
        && view.spec.epoch < known
    {
        marks.annotations.insert(names::FOUNDED_ANNOTATION, Some(known.to_string()));
        marks.epoch = Some(known + names::RESTORE_STEP);
    }
    if marks.annotations.is_empty() { Step::Keep } else { Step::Mark(marks) }
}

/// Whether the register waits for members to put their view back.
pub fn is_lost(view: &SessionView) -> bool {
    view.spec.members.is_empty() && view.annotations().contains_key(names::FOUNDED_ANNOTATION)
}

/// Pods whose member may have the view from before this register: it has run since then. A process that started later has nothing.
pub fn witnesses(observed: &Observed, view: &SessionView) -> Vec<String> {
    let Some(made) = view.creation_timestamp() else { return Vec::new() };
    let is_member = |pod: &&Pod| pod.labels().get(names::COMPONENT_LABEL).is_some_and(|component| component == names::MEMBER);
    let may_have_it = |pod: &&Pod| {
        let running = |container: &ContainerStatus| container.state.as_ref()?.running.as_ref()?.started_at.as_ref().map(|time| time.0);
        of_member(pod).and_then(running).is_some_and(|started| started <= made.0 + CLOCKS)
    };
    observed.pods.iter().filter(is_member).filter(may_have_it).map(ResourceExt::name_any).collect()
}

/// The container that a pod's member runs in: the runtime's, and where there is none the application's.
fn of_member(pod: &Pod) -> Option<&ContainerStatus> {
    let status = pod.status.as_ref()?;
    let named =
        |name| status.init_container_statuses.iter().chain(&status.container_statuses).flatten().find(|container| container.name == name);
    named(names::RUNTIME_CONTAINER).or_else(|| named(APP_CONTAINER))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{self, World};

    fn step(spec: serde_json::Value, world: &World, known: Option<u64>) -> Step {
        next(&testing::cluster(spec), &world.observed, known)
    }

    fn marks(annotations: &[(&'static str, Option<&str>)], epoch: Option<u64>) -> Step {
        Step::Mark(Marks { annotations: annotations.iter().map(|(key, value)| (*key, value.map(str::to_owned))).collect(), epoch })
    }

    /// A register made anew at noon, and pods whose runtimes started at these times.
    fn remade(started: [&str; 3]) -> World {
        let mut world = World::settled(3).epoch(0).marked(&[("holdfast.dev/founded", "7"), ("holdfast.dev/copies", "1")]);
        let view = world.observed.view.as_mut().expect("a view");
        view.spec.epoch = 1007;
        view.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(testing::noon()));
        for (ordinal, at) in (0..).zip(started) {
            world = world.pod(ordinal, |pod| {
                let status = json!({"name": "holdfast", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": at}}});
                pod.metadata.labels.get_or_insert_default().insert(names::COMPONENT_LABEL.to_owned(), names::MEMBER.to_owned());
                pod.status.as_mut().expect("a status").init_container_statuses = serde_json::from_value(json!([status])).expect("statuses");
            });
        }
        world
    }

    #[test]
    fn the_first_register_is_empty_and_a_lost_one_is_made_anew_with_its_number() {
        assert_eq!(step(json!({}), &World::empty(), None), Step::Create { lost: None });
        assert_eq!(step(json!({}), &World::settled(3).without_view(), Some(7)), Step::Create { lost: Some(7) });
    }

    #[test]
    fn a_change_of_copies_is_written_on_the_register() {
        let world = World::settled(3).marked(&[("holdfast.dev/copies", "1")]);
        assert_eq!(step(json!({}), &world, Some(7)), Step::Keep);
        let two = json!({"replication": {"copies": 2}});
        assert_eq!(step(two, &world, Some(7)), marks(&[("holdfast.dev/copies", Some("2"))], None));
        let all = json!({"replication": {"topology": "AllMembers"}});
        assert_eq!(step(all, &world, Some(7)), marks(&[("holdfast.dev/copies", Some("63"))], None));
    }

    #[test]
    fn a_register_that_somebody_made_anew_is_marked_and_brought_ahead() {
        let world = World::settled(3).epoch(0).marked(&[("holdfast.dev/copies", "1")]);
        assert_eq!(step(json!({}), &world, None), Step::Keep);
        assert_eq!(step(json!({}), &world, Some(7)), marks(&[("holdfast.dev/founded", Some("7"))], Some(1007)));
    }

    #[test]
    fn the_mark_stays_as_long_as_a_member_runs_that_may_have_the_view() {
        let before = remade(["2026-01-01T12:05:00Z", "2026-01-01T11:00:00Z", "2026-01-01T12:05:00Z"]);
        assert_eq!(step(json!({}), &before, Some(1007)), Step::Keep);
        assert_eq!(witnesses(&before.observed, before.observed.view.as_ref().expect("a view")), ["shop-1"]);
        let by_the_clock_of_its_node = remade(["2026-01-01T12:05:00Z", "2026-01-01T12:00:30Z", "2026-01-01T12:05:00Z"]);
        assert_eq!(step(json!({}), &by_the_clock_of_its_node, Some(1007)), Step::Keep);
        let none = remade(["2026-01-01T12:05:00Z"; 3]);
        assert_eq!(step(json!({}), &none, Some(1007)), marks(&[("holdfast.dev/founded", None)], None));
    }

    #[test]
    fn an_application_that_is_the_member_may_have_the_view_and_one_beside_a_runtime_has_not() {
        let started = |name: &str, at: &str| json!([{"name": name, "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": at}}}]);
        let with_app = |mut world: World| {
            for ordinal in 0..3 {
                world = world.pod(ordinal, |pod| {
                    let statuses = started("app", "2026-01-01T11:00:00Z");
                    pod.status.as_mut().expect("a status").container_statuses = serde_json::from_value(statuses).expect("statuses");
                });
            }
            world
        };
        let beside = with_app(remade(["2026-01-01T12:05:00Z"; 3]));
        assert_eq!(witnesses(&beside.observed, beside.observed.view.as_ref().expect("a view")), [""; 0]);
        let inside = beside.pod(1, |pod| pod.status.as_mut().expect("a status").init_container_statuses = None);
        assert_eq!(witnesses(&inside.observed, inside.observed.view.as_ref().expect("a view")), ["shop-1"]);
    }

    #[test]
    fn the_mark_goes_once_a_view_is_back() {
        let world = World::settled(3).marked(&[("holdfast.dev/founded", "7"), ("holdfast.dev/copies", "1")]);
        assert_eq!(step(json!({}), &world, Some(7)), marks(&[("holdfast.dev/founded", None)], None));
    }
}
