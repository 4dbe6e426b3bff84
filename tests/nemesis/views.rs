//! Every view that the members agreed on during the run, as the API server told them: who was thrown out when, and when all was
//! protected again. That the nemesis had an effect, and what its effects excuse, is read from here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use holdfast_api::{MemberState, SessionView, SessionViewSpec};
use kube::api::{Api, WatchEvent, WatchParams};
use serde::Serialize;
use tokio_util::task::AbortOnDropHandle;

use super::clients::Clock;
use super::schedule::Member;

/// A view, and when it was heard of.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Dated {
    pub(super) at: u64,
    pub(super) view: SessionViewSpec,
}

/// The views so far.
#[derive(Debug)]
pub(super) struct Views {
    all: Arc<Mutex<Vec<Dated>>>,
    _watch: AbortOnDropHandle<()>,
}

impl Views {
    /// Watches from now on.
    pub(super) fn watch(api: Api<SessionView>, name: &'static str, clock: Clock) -> Self {
        let all = Arc::new(Mutex::new(Vec::new()));
        let watch = tokio::spawn(follow(api, name, clock, Arc::clone(&all)));
        Self { all, _watch: AbortOnDropHandle::new(watch) }
    }

    pub(super) fn all(&self) -> Vec<Dated> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn last(&self) -> Option<SessionViewSpec> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).last().map(|dated| dated.view.clone())
    }
}

async fn follow(api: Api<SessionView>, name: &'static str, clock: Clock, all: Arc<Mutex<Vec<Dated>>>) {
    let keep = |view: SessionView| {
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = all.last().is_none_or(|last: &Dated| (last.view.epoch, last.view.sub) < (view.spec.epoch, view.spec.sub));
        if is_new {
            all.push(Dated { at: clock.now(), view: view.spec });
        }
    };
    loop {
        // Whatever goes wrong is looked at anew: between the look and the watch nothing is left out, as the watch begins at the look.
        if let Ok(Ok(now)) = tokio::time::timeout(Duration::from_secs(5), api.get(name)).await {
            let version = now.metadata.resource_version.clone().unwrap_or_default();
            keep(now);
            let wanted = WatchParams::default().fields(&format!("metadata.name={name}"));
            if let Ok(events) = api.watch(&wanted, &version).await {
                let mut events = events.boxed();
                while let Ok(Some(event)) = events.try_next().await {
                    match event {
                        WatchEvent::Added(view) | WatchEvent::Modified(view) => keep(view),
                        WatchEvent::Error(_) => break,
                        WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
                    }
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Whether the view has `members` Full members and no others, and everything is protected in it.
pub(super) fn is_at_rest(view: &SessionViewSpec, members: Member) -> bool {
    view.sub > 0 && view.members.len() == members as usize && view.members.iter().all(|member| member.state == MemberState::Full)
}

/// The members that were thrown out in `views`, from their first to their last: out of the next view, or in it with another incarnation.
/// One that left by itself does not count: it had handed everything over.
pub(super) fn gone(views: &[Dated]) -> BTreeSet<Member> {
    let mut gone = BTreeSet::new();
    for pair in views.windows(2) {
        let after: BTreeMap<_, _> = pair[1].view.members.iter().map(|member| (member.id, &member.incarnation)).collect();
        for before in pair[0].view.members.iter().filter(|member| member.state == MemberState::Full) {
            if after.get(&before.id).is_none_or(|incarnation| **incarnation != before.incarnation) {
                gone.insert(before.id);
            }
        }
    }
    gone
}

/// The members that have another pod at the end of `views` than at their beginning.
pub(super) fn replaced(views: &[Dated]) -> BTreeSet<Member> {
    let uids = |dated: Option<&Dated>| -> BTreeMap<Member, String> {
        dated.into_iter().flat_map(|dated| dated.view.members.iter().map(|member| (member.id, member.pod_uid.clone()))).collect()
    };
    let (before, after) = (uids(views.first()), uids(views.last()));
    after.into_iter().filter(|(id, uid)| before.get(id).is_some_and(|before| before != uid)).map(|(id, _)| id).collect()
}

/// Stretches from a settled view to the next settled one in which members went: when, and who.
pub(super) fn losses(views: &[Dated]) -> Vec<Stretch> {
    let mut found = Vec::new();
    let mut begin = 0;
    for (n, dated) in views.iter().enumerate() {
        if dated.view.sub == 0 && n + 1 < views.len() {
            continue;
        }
        let gone = gone(&views[begin..=n]);
        if !gone.is_empty() {
            found.push(Stretch { from: views[begin].at, to: dated.at, gone });
        }
        begin = n;
    }
    found
}

/// See [`losses`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) gone: BTreeSet<Member>,
}

#[cfg(test)]
mod tests {
    use holdfast_api::ViewMember;

    use super::*;

    fn dated(at: u64, sub: u64, members: &[(u32, &str)]) -> Dated {
        let members = members.iter().map(|(id, incarnation)| ViewMember {
            id: *id,
            name: format!("shop-{id}"),
            incarnation: (*incarnation).to_owned(),
            pod_uid: "uid".to_owned(),
            state: MemberState::Full,
            zone: None,
            domain: None,
        });
        Dated {
            at,
            view: SessionViewSpec { epoch: at, sub, copies: 1, budget: 1, members: members.collect(), ..SessionViewSpec::default() },
        }
    }

    #[test]
    fn who_went_between_two_settled_views_is_one_loss() {
        let views = [
            dated(0, 1, &[(0, "a"), (1, "b"), (2, "c")]),
            dated(10, 0, &[(1, "b"), (2, "c")]),
            dated(20, 0, &[(1, "b")]),
            dated(30, 1, &[(0, "d"), (1, "b"), (2, "e")]),
            dated(40, 0, &[(0, "d"), (1, "x"), (2, "e")]),
            dated(50, 1, &[(0, "d"), (1, "x"), (2, "e")]),
        ];
        let stretch = |from, to, gone: &[u32]| Stretch { from, to, gone: gone.iter().copied().collect() };
        assert_eq!(losses(&views), [stretch(0, 30, &[0, 2]), stretch(30, 50, &[1])]);
        assert!(losses(&views[..1]).is_empty());
    }

    #[test]
    fn rest_needs_all_members_and_their_protection() {
        assert!(is_at_rest(&dated(0, 1, &[(0, "a"), (1, "b")]).view, 2));
        assert!(!is_at_rest(&dated(0, 0, &[(0, "a"), (1, "b")]).view, 2));
        assert!(!is_at_rest(&dated(0, 1, &[(0, "a"), (1, "b")]).view, 3));
    }
}
