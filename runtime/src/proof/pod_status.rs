//! Proof of death from the pod's status in the API server. That a pod is absent counts, as it does for StatefulSets: whoever force-deletes a pod vouches
//! for its end.

use std::fmt::{self, Debug};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use holdfast_api::names;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{Api, Client};
use tokio::time::timeout;

use super::{Death, ProofError, Prover};
use crate::incarnation::started_second;

/// One call to the API server.
const DEADLINE: Duration = Duration::from_secs(1);

/// 2020-01-01: an earlier start was on a clock that had not been set, and no time can be compared with it.
const EARLIEST: i64 = 1_577_836_800;

/// Asks the API server for the pod.
pub struct PodStatus {
    api: Api<Pod>,
    container: String,
}

impl Debug for PodStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodStatus").finish_non_exhaustive()
    }
}

impl PodStatus {
    /// For the pods of `namespace`, whose members run in the container of this name.
    #[must_use]
    pub fn new(client: Client, namespace: &str, container: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), container: container.to_owned() }
    }
}

impl Prover for PodStatus {
    fn seek<'a>(&'a self, pod: &'a str, uid: &'a str, incarnation: u64) -> BoxFuture<'a, Result<Option<Death>, ProofError>> {
        async move {
            match timeout(DEADLINE, self.api.get_opt(pod)).await {
                Ok(Ok(found)) => Ok(judge(found.as_ref(), &self.container, uid, incarnation)),
                Ok(Err(source)) => Err(ProofError::Api { pod: pod.to_owned(), source: source.into() }),
                Err(_) => Err(ProofError::Timeout { pod: pod.to_owned(), limit: DEADLINE }),
            }
        }
        .boxed()
    }
}

/// What the pod's status says about this life. Statuses lag behind by a second or so, therefore only what happened after the start of this life
/// counts. All times in question are from the clock of the pod's own node, in whole seconds, so an equal one leaves a doubt.
fn judge(pod: Option<&Pod>, container: &str, uid: &str, incarnation: u64) -> Option<Death> {
    let Some(pod) = pod else { return Some(Death::PodGone) };
    match pod.metadata.uid.as_deref() {
        Some(found) if found == uid => {}
        Some(_) => return Some(Death::PodReplaced),
        None => return None,
    }
    let started = started_second(incarnation);
    if started < EARLIEST {
        return None;
    }
    let status = pod.status.as_ref()?;
    let named = |name| status.init_container_statuses.iter().chain(&status.container_statuses).flatten().find(|status| status.name == name);
    // A pod with a runtime beside its application has its member there, also where this member is in an application: its cluster may be on the way from the
    // one to the other, and an application that ends beside its runtime takes no member along.
    named(names::RUNTIME_CONTAINER).or_else(|| named(container)).and_then(|status| judge_container(status, started))
}

fn judge_container(container: &ContainerStatus, started: i64) -> Option<Death> {
    let states = [container.state.as_ref(), container.last_state.as_ref()];
    let ends = states.into_iter().flatten().filter_map(|state| state.terminated.as_ref()?.finished_at.as_ref());
    // When a running container started says nothing: containerd takes that time after the process has begun to run, and anew when it recovers a container.
    ends.into_iter().any(|time| time.0.as_second() > started).then_some(Death::ContainerEnded)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A life that started at 2026-01-02T03:04:05Z.
    const LIFE: u64 = 1_767_323_045_000 << 20;

    fn verdict(status: Value) -> Option<Death> {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u1"}, "status": status})).expect("a pod");
        judge(Some(&pod), "holdfast", "u1", LIFE)
    }

    fn container(state: Value, last: Value) -> Value {
        let status = |name: &str, state: &Value, last: &Value| json!({"name": name, "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state, "lastState": last});
        json!({
            "containerStatuses": [status("app", &json!({"terminated": {"exitCode": 1, "finishedAt": "2026-02-01T00:00:00Z"}}), &json!({}))],
            "initContainerStatuses": [status("holdfast", &state, &last)],
        })
    }

    #[test]
    fn an_absent_or_replaced_pod_is_dead() {
        assert_eq!(judge(None, "holdfast", "u1", LIFE), Some(Death::PodGone));
        let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u2"}})).expect("a pod");
        assert_eq!(judge(Some(&pod), "holdfast", "u1", LIFE), Some(Death::PodReplaced));
    }

    #[test]
    fn a_running_container_of_this_life_is_no_proof() {
        for started in ["2026-01-02T03:04:03Z", "2026-01-02T03:04:05Z"] {
            assert_eq!(verdict(container(json!({"running": {"startedAt": started}}), json!({}))), None, "{started}");
        }
        assert_eq!(verdict(json!({})), None);
    }

    #[test]
    fn a_container_that_ended_after_this_life_began_is_dead() {
        let ended = json!({"terminated": {"exitCode": 137, "finishedAt": "2026-01-02T03:05:00Z"}});
        assert_eq!(verdict(container(ended.clone(), json!({}))), Some(Death::ContainerEnded));
        assert_eq!(verdict(container(json!({"waiting": {"reason": "CrashLoopBackOff"}}), ended)), Some(Death::ContainerEnded));
    }

    #[test]
    fn the_end_of_another_container_proves_nothing_about_this_one() {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"uid": "u1"}, "status": container(json!({}), json!({}))})).expect("a pod");
        assert_eq!(judge(Some(&pod), "holdfast", "u1", LIFE), None, "only the application has ended");
        assert_eq!(judge(Some(&pod), "app", "u1", LIFE), None, "not even for members that are in their applications");
    }

    #[test]
    fn an_application_that_is_the_member_and_has_ended_is_dead() {
        let mut pod: Pod =
            serde_json::from_value(json!({"metadata": {"uid": "u1"}, "status": container(json!({}), json!({}))})).expect("a pod");
        pod.status.as_mut().expect("a status").init_container_statuses = None;
        assert_eq!(judge(Some(&pod), "app", "u1", LIFE), Some(Death::ContainerEnded));
        assert_eq!(judge(Some(&pod), "holdfast", "u1", LIFE), None, "a member beside its application knows of no other container");
    }

    #[test]
    fn a_late_start_of_a_running_container_proves_nothing() {
        let running = json!({"running": {"startedAt": "2026-01-02T03:06:00Z"}});
        assert_eq!(verdict(container(running, json!({}))), None);
    }

    #[test]
    fn a_container_that_was_started_again_is_dead_by_its_last_end() {
        let running = json!({"running": {"startedAt": "2026-01-02T03:06:01Z"}});
        let ended = json!({"terminated": {"exitCode": 137, "finishedAt": "2026-01-02T03:06:00Z"}});
        assert_eq!(verdict(container(running, ended)), Some(Death::ContainerEnded));
    }

    #[test]
    fn the_end_of_the_life_before_proves_nothing_about_this_one() {
        for before in ["2026-01-02T03:04:00Z", "2026-01-02T03:04:05Z"] {
            let ended = json!({"terminated": {"exitCode": 137, "finishedAt": before}});
            assert_eq!(verdict(container(ended.clone(), json!({}))), None, "a status that lags behind");
            assert_eq!(verdict(container(json!({"running": {"startedAt": "2026-01-02T03:04:05Z"}}), ended)), None);
        }
    }

    #[test]
    fn a_life_that_began_before_the_clock_was_set_is_never_proven_dead_by_times() {
        let pod = container(json!({"running": {"startedAt": "2026-01-02T03:06:00Z"}}), json!({}));
        let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u1"}, "status": pod})).expect("a pod");
        assert_eq!(judge(Some(&pod), "holdfast", "u1", 5 << 20), None);
    }

    #[test]
    fn a_container_that_waits_for_its_first_start_proves_nothing() {
        assert_eq!(verdict(container(json!({"waiting": {"reason": "PodInitializing"}}), json!({}))), None);
    }
}
