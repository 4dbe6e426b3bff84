//! What is wrong with the pods of a cluster, in words that stay the same while it is. Pure.
//!
//! Kubernetes' own messages count back-off seconds and alternate between a failure and the wait after it; as a condition's text, they would be
//! written again every few seconds.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use crate::observed::Observed;
use crate::survey::{belongs_to, condition, is_lost};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Reason of the condition: Kubernetes' own word where it has one.
    pub reason: String,
    /// What, where.
    pub message: String,
}

/// Reasons for which a container waits in the ordinary course of a start.
const ORDINARY_WAITS: [&str; 3] = ["ContainerCreating", "PodInitializing", ""];
/// A container that ended this often, and lately, is in a crash loop also during the seconds in which it runs.
const CRASH_LOOP_RESTARTS: i32 = 2;
/// After this long without a restart, the kubelet begins a new back-off, and so does the count here.
const CRASH_LOOP_MEMORY: SignedDuration = SignedDuration::from_mins(10);
/// How long a pod may be unready without a reason that Kubernetes names.
pub(crate) const READY_IN: Duration = Duration::from_secs(180);

/// All that is wrong in the cluster `name`, pods in the order of their names.
pub fn find(name: &str, observed: &Observed) -> Vec<Problem> {
    let mut pods: Vec<&Pod> = observed.pods.iter().collect();
    pods.sort_by_key(|pod| pod.name_any());
    let of_pods = pods.iter().filter_map(|pod| of_pod(pod, observed));
    let missing = observed.failed_create.as_ref().map(|message| Problem {
        reason: "FailedCreate".to_owned(),
        message: format!("StatefulSet {name} cannot create a pod: {message}"),
    });
    let gateway = observed.gateway.as_ref().and_then(|deployment| {
        let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
        let failure = conditions.iter().find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
        let message = failure.message.clone().unwrap_or_default();
        Some(Problem {
            reason: "FailedCreate".to_owned(),
            message: format!("Deployment {} cannot create a pod: {message}", deployment.name_any()),
        })
    });
    of_pods.chain(missing).chain(gateway).collect()
}

fn of_pod(pod: &Pod, observed: &Observed) -> Option<Problem> {
    let name = pod.name_any();
    if is_lost(pod, observed) {
        // A stateless gateway that was replaced elsewhere is no problem; its pod stays until the node is back.
        let ours = observed.members.as_ref().is_some_and(|members| belongs_to(pod, members)) || pod.metadata.deletion_timestamp.is_none();
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        return ours
            .then(|| Problem { reason: "NodeNotReady".to_owned(), message: format!("pod {name}: its node {node} does not answer") });
    }
    if pod.metadata.deletion_timestamp.is_some() || condition(pod, "Ready") {
        return None;
    }
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    if let Some(problem) = containers.clone().find_map(|container| of_container(&name, container, observed.now)) {
        return Some(problem);
    }
    let scheduled = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled");
    if let Some(unscheduled) = scheduled.filter(|condition| condition.status == "False") {
        let message = format!("pod {name}: {}", unscheduled.message.as_deref().unwrap_or("no node takes it"));
        return Some(Problem { reason: unscheduled.reason.clone().unwrap_or_else(|| "Unschedulable".to_owned()), message });
    }
    let since = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready")
        .and_then(|ready| ready.last_transition_time.as_ref());
    let since = since.or(pod.metadata.creation_timestamp.as_ref())?;
    let waited = Duration::try_from(observed.now.duration_since(since.0)).unwrap_or_default();
    let waiting: Vec<&str> = containers.filter(|container| !container.ready).map(|container| container.name.as_str()).collect();
    (waited > READY_IN).then(|| Problem {
        reason: "NotReady".to_owned(),
        message: format!("pod {name}: not ready for more than {} s, waiting for: {}", READY_IN.as_secs(), waiting.join(", ")),
    })
}

fn of_container(pod: &str, container: &ContainerStatus, now: Timestamp) -> Option<Problem> {
    if container.ready {
        return None;
    }
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref()).and_then(|waiting| waiting.reason.as_deref());
    let waiting = waiting.filter(|reason| !ORDINARY_WAITS.contains(reason));
    let ended = [container.state.as_ref(), container.last_state.as_ref()].into_iter().flatten().find_map(|state| state.terminated.as_ref());
    let lately = ended.and_then(|ended| ended.finished_at.as_ref()).is_some_and(|at| now.duration_since(at.0) < CRASH_LOOP_MEMORY);
    let (name, image) = (&container.name, &container.image);
    let place = format!("pod {pod}, container {name}");
    let problem = |reason: &str, what: String| Some(Problem { reason: reason.to_owned(), message: format!("{place}: {what}") });
    match waiting {
        // The two alternate, as the kubelet tries and waits.
        Some("ErrImagePull" | "ImagePullBackOff") => problem("ImagePullBackOff", format!("image {image} cannot be pulled")),
        Some("CrashLoopBackOff") | None if waiting.is_some() || (lately && container.restart_count >= CRASH_LOOP_RESTARTS) => {
            let last = ended.map_or_else(String::new, |ended| {
                let reason =
                    ended.reason.as_deref().filter(|reason| *reason != "Error").map_or_else(String::new, |reason| format!(" ({reason})"));
                format!(", the last time with exit code {}{reason}", ended.exit_code)
            });
            problem("CrashLoopBackOff", format!("image {image} ends again and again{last}"))
        }
        Some(reason) => {
            let message = container.state.as_ref().and_then(|state| state.waiting.as_ref()).and_then(|waiting| waiting.message.as_deref());
            problem(reason, format!("image {image} cannot start: {}", message.unwrap_or(reason)))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, container_status};

    fn problems(world: &World) -> Vec<Problem> {
        world.survey().problems
    }

    fn with_app(state: serde_json::Value) -> World {
        World::settled(3)
            .unready(1)
            .pod(1, |pod| pod.status.as_mut().expect("status").container_statuses = Some(vec![container_status("app", state.clone())]))
    }

    #[test]
    fn a_healthy_cluster_has_no_problem() {
        assert_eq!(problems(&World::settled(3)), []);
    }

    #[test]
    fn a_wrong_image_is_one_problem_whether_the_kubelet_tries_or_waits() {
        let tries = problems(&with_app(json!({"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}})));
        let waits = problems(&with_app(json!({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "back-off 10s"}}})));
        assert_eq!(tries, waits);
        assert_eq!(tries[0].reason, "ImagePullBackOff");
        assert_eq!(tries[0].message, "pod shop-1, container app: image shop:1 cannot be pulled");
    }

    #[test]
    fn a_crash_loop_is_one_problem_whether_the_container_runs_or_waits() {
        let ended = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T11:59:00Z"}});
        let waits =
            problems(&with_app(json!({"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended})));
        let runs = problems(&with_app(json!({"restartCount": 3, "state": {"running": {}}, "lastState": ended})));
        assert_eq!(waits, runs);
        assert_eq!(waits[0].reason, "CrashLoopBackOff");
        assert_eq!(
            waits[0].message,
            "pod shop-1, container app: image shop:1 ends again and again, the last time with exit code 137 (OOMKilled)"
        );
    }

    #[test]
    fn one_restart_long_ago_is_no_crash_loop() {
        let ended = json!({"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T09:00:00Z"}});
        assert_eq!(problems(&with_app(json!({"restartCount": 7, "state": {"running": {}}, "lastState": ended}))), []);
    }

    #[test]
    fn a_container_that_cannot_be_made_says_why() {
        let waiting = json!({"reason": "CreateContainerConfigError", "message": "secret \"shop-admin\" not found"});
        let found = problems(&with_app(json!({"state": {"waiting": waiting}})));
        assert_eq!(found[0].reason, "CreateContainerConfigError");
        assert!(found[0].message.ends_with("cannot start: secret \"shop-admin\" not found"), "{}", found[0].message);
    }

    #[test]
    fn an_ordinary_start_is_no_problem_until_it_takes_too_long() {
        let starting = json!({"state": {"waiting": {"reason": "PodInitializing"}}});
        assert_eq!(problems(&with_app(starting.clone())), []);
        let late = with_app(starting).later(jiff::SignedDuration::from_mins(4));
        assert_eq!(problems(&late)[0].message, "pod shop-1: not ready for more than 180 s, waiting for: app");
    }

    #[test]
    fn a_pod_that_no_node_takes_is_unschedulable() {
        let world = World::settled(3).pod(2, |pod| {
            let condition =
                json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]);
            pod.status = serde_json::from_value(json!({"conditions": condition})).expect("status");
        });
        let expected = Problem { reason: "Unschedulable".to_owned(), message: "pod shop-2: 0/3 nodes are available".to_owned() };
        assert_eq!(problems(&world), [expected]);
    }

    #[test]
    fn a_pod_on_a_dead_node_names_the_node() {
        assert_eq!(problems(&World::settled(3).dead_node("node-1"))[0].message, "pod shop-1: its node node-1 does not answer");
    }

    #[test]
    fn a_pod_that_may_not_be_created_says_why() {
        let mut world = World::settled(3);
        world.observed.failed_create = Some("exceeded quota".to_owned());
        assert_eq!(problems(&world)[0].message, "StatefulSet shop cannot create a pod: exceeded quota");
    }
}
