//! Kubernetes Events: what happened, for people who run `kubectl describe`. What is notable is decided purely; publishing never fails a pass.

use holdfast_api::SessionClusterStatus;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::apply::FIELD_MANAGER;
use crate::certificates::Step;
use crate::pace::{Removal, Why};
use crate::status::{DEGRADED, READY, SESSIONS_PROTECTED, STALLED, find};

/// Longest note that the API server takes.
const NOTE_BYTES: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether it needs attention.
    pub warning: bool,
    /// What, in one word.
    pub reason: String,
    /// What, in a sentence.
    pub note: String,
    /// Name of the pod that it is about, if it is about one.
    pub pod: Option<String>,
}

impl Notice {
    fn new(warning: bool, reason: &str, note: impl Into<String>) -> Self {
        Self { warning, reason: reason.to_owned(), note: note.into(), pod: None }
    }
}

/// What changed between two statuses.
pub fn between(before: &SessionClusterStatus, after: &SessionClusterStatus) -> Vec<Notice> {
    // Type, whether True is the good news, and the word for the bad or for its end.
    [
        (READY, true, "NotReady"),
        (SESSIONS_PROTECTED, true, "SessionsUnprotected"),
        (DEGRADED, false, "Recovered"),
        (STALLED, false, "Resumed"),
    ]
    .into_iter()
    .filter_map(|(type_, good, opposite)| {
        let now = find(&after.conditions, type_)?;
        let was = find(&before.conditions, type_);
        let is_true = now.status == "True";
        // A condition that begins with what everybody expects of a new cluster is no news.
        let news = was.map_or(is_true, |was| was.status != now.status || (!good && is_true && was.reason != now.reason));
        let reason = match (is_true, good) {
            (true, true) => type_,
            (true, false) => &now.reason,
            (false, _) => opposite,
        };
        news.then(|| Notice::new(is_true != good, reason, now.message.clone()))
    })
    .chain(losses(before, after))
    .collect()
}

/// The members gave another one up. The view says so only until it settles, which may be sooner than anybody looks; its mark stays.
fn losses(before: &SessionClusterStatus, after: &SessionClusterStatus) -> Option<Notice> {
    let epoch = |status: &SessionClusterStatus| status.view.as_ref().and_then(|view| view.lossy_epoch);
    let lossy = epoch(after).filter(|now| epoch(before).is_none_or(|was| was < *now))?;
    let note = format!("in view {lossy} a member was given up before all that it held was elsewhere: acknowledged writes may be lost");
    Some(Notice::new(true, "WritesMayBeLost", note))
}

/// The register was made anew.
pub fn view_remade(lost: u64) -> Notice {
    Notice::new(
        true,
        "ViewRemade",
        format!("the SessionView was at epoch {lost} and was deleted; made it anew for the members to put their view back"),
    )
}

/// Nobody can put the view back.
pub fn view_abandoned() -> Notice {
    Notice::new(
        true,
        "ViewAbandoned",
        "no member that may have the lost view runs any more: the cluster is founded anew, without its sessions",
    )
}

/// The StatefulSet's number of members changes.
pub fn scaled(from: Option<u32>, to: u32) -> Option<Notice> {
    match from {
        None => Some(Notice::new(false, "Created", format!("created a cluster of {to} members"))),
        Some(from) if from < to => Some(Notice::new(false, "ScaledUp", format!("scaled from {from} to {to} members"))),
        Some(from) if from > to => {
            Some(Notice::new(false, "ScaledDown", format!("scaled from {from} to {to} members, on the way down one by one")))
        }
        Some(_) => None,
    }
}

/// Something was done about the certificates of the links. That the first ones are made is no news.
pub fn certified(steps: &[Step]) -> Vec<Notice> {
    if steps.contains(&Step::Switch) && steps.contains(&Step::AddAuthority) && !steps.contains(&Step::Adopt) {
        return Vec::new();
    }
    let notice = |step: &Step| match step {
        Step::Adopt => {
            Some(Notice::new(true, "AuthorityLost", "the Secret with the authority's key was lost: another authority takes its place"))
        }
        Step::AddAuthority => {
            Some(Notice::new(false, "AuthorityAdded", "members begin to trust a new authority, which issues nothing yet"))
        }
        Step::Switch => Some(Notice::new(false, "AuthorityInUse", "the new authority issues the members' certificate")),
        Step::DropOthers => Some(Notice::new(false, "AuthorityDropped", "members trust the old authority no longer")),
        Step::Publish { issue: true } => Some(Notice::new(false, "CertificateRenewed", "the members get a new certificate")),
        Step::Publish { issue: false } => None,
    };
    steps.iter().filter_map(notice).collect()
}

/// A pod was deleted.
pub fn removed(removal: &Removal) -> Notice {
    let pod = &removal.pod;
    let notice = match removal.why {
        Why::Outdated => Notice::new(false, "PodReplaced", format!("deleted pod {pod}, which was made from an older template")),
        Why::NodeLost => Notice::new(
            true,
            "PodForceDeleted",
            format!("force-deleted pod {pod}: its node does not answer, and its member is out of the view"),
        ),
    };
    Notice { pod: Some(pod.clone()), ..notice }
}

/// Publishes notices.
#[derive(Clone)]
pub struct Publisher {
    recorder: Recorder,
}

impl Publisher {
    /// Publishes as `instance`, the name of this operator's pod.
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(instance.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Publishes notices about a cluster. One that cannot be published is logged: nothing depends on it.
    pub async fn publish(&self, about: &ObjectReference, notices: Vec<Notice>) {
        for notice in notices {
            let pod = notice.pod.map(|name| ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(name),
                namespace: about.namespace.clone(),
                ..ObjectReference::default()
            });
            let event = Event {
                type_: if notice.warning { EventType::Warning } else { EventType::Normal },
                action: notice.reason.clone(),
                reason: notice.reason,
                note: Some(cut(notice.note)),
                secondary: pod,
            };
            if let Err(error) = self.recorder.publish(&event, about).await {
                tracing::warn!(error = %error, reason = event.reason, "failed to publish an Event");
            }
        }
    }
}

fn cut(mut note: String) -> String {
    if note.len() > NOTE_BYTES {
        note.truncate(note.floor_char_boundary(NOTE_BYTES - 3));
        note.push_str("...");
    }
    note
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(conditions: &[(&str, &str, &str)]) -> SessionClusterStatus {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|(type_, status, reason)| {
                json!({"type": type_, "status": status, "reason": reason, "message": "m", "lastTransitionTime": "2026-01-01T12:00:00Z"})
            })
            .collect();
        serde_json::from_value(json!({"conditions": conditions})).expect("a status")
    }

    fn reasons(before: &[(&str, &str, &str)], after: &[(&str, &str, &str)]) -> Vec<(String, bool)> {
        between(&status(before), &status(after)).into_iter().map(|notice| (notice.reason, notice.warning)).collect()
    }

    #[test]
    fn a_flip_is_news_and_a_changed_message_is_not() {
        assert_eq!(reasons(&[(READY, "False", "A")], &[(READY, "True", "B")]), [("Ready".to_owned(), false)]);
        assert_eq!(reasons(&[(READY, "True", "A")], &[(READY, "False", "B")]), [("NotReady".to_owned(), true)]);
        assert_eq!(reasons(&[(READY, "True", "A")], &[(READY, "True", "B")]), []);
        assert_eq!(reasons(&[(DEGRADED, "True", "A")], &[(DEGRADED, "False", "NoProblem")]), [("Recovered".to_owned(), false)]);
    }

    #[test]
    fn another_problem_is_news_while_one_is_known() {
        let before = &[(DEGRADED, "True", "ImagePullBackOff")];
        assert_eq!(reasons(before, &[(DEGRADED, "True", "CrashLoopBackOff")]), [("CrashLoopBackOff".to_owned(), true)]);
    }

    #[test]
    fn a_new_cluster_is_only_in_the_news_with_a_problem() {
        assert_eq!(reasons(&[], &[(READY, "False", "MembersNotReady"), (DEGRADED, "False", "NoProblem")]), []);
        assert_eq!(reasons(&[], &[(STALLED, "True", "InvalidSpec")]), [("InvalidSpec".to_owned(), true)]);
    }

    #[test]
    fn a_loss_is_told_once_even_if_the_view_has_settled_since() {
        let at = |epoch: Option<u64>| {
            let view = holdfast_api::ViewStatus { epoch: 9, sub: 1, copies: 1, lossy_epoch: epoch };
            SessionClusterStatus { view: Some(view), ..SessionClusterStatus::default() }
        };
        let told = |before, after| between(&at(before), &at(after)).into_iter().map(|notice| notice.reason).collect::<Vec<_>>();
        assert_eq!(told(None, Some(8)), ["WritesMayBeLost"]);
        assert_eq!(told(Some(8), Some(9)), ["WritesMayBeLost"]);
        assert_eq!(told(Some(9), Some(9)), [""; 0]);
    }

    #[test]
    fn steps_of_scaling_are_news() {
        let reason = |from, to| scaled(from, to).map(|notice| notice.reason);
        assert_eq!(reason(None, 3).as_deref(), Some("Created"));
        assert_eq!(reason(Some(3), 5).as_deref(), Some("ScaledUp"));
        assert_eq!(reason(Some(5), 4).as_deref(), Some("ScaledDown"));
        assert_eq!(reason(Some(3), 3), None);
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let note = cut("é".repeat(600));
        assert!(note.len() <= NOTE_BYTES && note.ends_with("é..."));
    }
}
