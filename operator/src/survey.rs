//! What was observed, boiled down to what decisions and the status need. Pure.

use holdfast_api::{LinksReport, MemberState, MemoryReport, Replication, SessionView, Topology, names};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::de::DeserializeOwned;

use crate::observed::Observed;
use crate::problems::{self, Problem};
use crate::register;

/// A cluster as it stands.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Members that the StatefulSet is to have; `None`: there is no StatefulSet yet.
    pub current: Option<u32>,
    /// The pods of members, by ordinal.
    pub members: Vec<Member>,
    /// The view; `None`: it does not exist.
    pub view: Option<View>,
    /// The gateways.
    pub gateway: Gateway,
    /// What is wrong, the worst first.
    pub problems: Vec<Problem>,
    /// Copies that each session shall have besides its owner's.
    pub copies: u32,
    /// Every other member keeps a copy, however many there are.
    pub all_members: bool,
}

/// The pod of a member.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its number in the StatefulSet.
    pub ordinal: u32,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Whether all its containers are ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Whether it was made from another template than the current one. `false` also while that is not known.
    pub outdated: bool,
    /// Whether its node does not answer.
    pub lost: bool,
    /// How far it is in the view; `None`: outside. Another pod of the same name does not count.
    pub standing: Option<MemberState>,
    /// What it says about its links; `None`: nothing.
    pub links: Option<LinksReport>,
    /// What it says about its memory; `None`: nothing.
    pub memory: Option<MemoryReport>,
}

/// The view, and how it compares with the pods. One that members have yet to put back is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its number.
    pub epoch: u64,
    /// 0: just changed; larger: settled.
    pub sub: u64,
    /// Copies that each session has in it.
    pub copies: u32,
    /// Whether acknowledged writes may have been lost on the way to it.
    pub lossy: bool,
    /// The last view of which that was said.
    pub lossy_epoch: Option<u64>,
    /// How many members own and keep sessions.
    pub full: u32,
    /// Members that enter or leave, by name.
    pub moving: Vec<String>,
    /// Members whose pod is gone, by name.
    pub orphaned: Vec<String>,
    /// One more than the highest ordinal among its members.
    pub ordinals: u32,
}

/// The gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// How many take requests.
    pub available: u32,
    /// How many take requests and are made from the current template.
    pub updated: u32,
}

/// Whether every session has all its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Yes.
    Protected,
    /// The view has just changed, copies are on their way.
    Unsettled,
    /// There are fewer members than an owner and its copies need.
    FewerMembersThanCopies,
    /// Every other member keeps a copy, but there is none.
    SingleMember,
    /// No copies are asked for.
    NoCopiesWanted,
    /// A member was given up before it was known that all it had is elsewhere.
    WritesMayBeLost,
    /// Nobody has founded a view yet.
    NoView,
}

impl Survey {
    /// Boils down what was observed of the cluster `name`.
    pub fn of(name: &str, observed: &Observed, replication: &Replication) -> Self {
        let members = members(name, observed);
        let view = observed.view.as_ref().filter(|view| !register::is_lost(view)).map(|view| {
            let there = |member: &&holdfast_api::ViewMember| members.iter().any(|pod| pod.name == member.name && pod.uid == member.pod_uid);
            let spec = &view.spec;
            View {
                epoch: spec.epoch,
                sub: spec.sub,
                copies: spec.copies,
                lossy: spec.lossy,
                lossy_epoch: view.annotations().get(names::LOSSY_ANNOTATION).and_then(|epoch| epoch.parse().ok()),
                full: u32::try_from(spec.members.iter().filter(|member| member.state == MemberState::Full).count()).unwrap_or(u32::MAX),
                moving: spec.members.iter().filter(|member| member.state != MemberState::Full).map(|member| member.name.clone()).collect(),
                orphaned: spec.members.iter().filter(|member| !there(member)).map(|member| member.name.clone()).collect(),
                ordinals: spec.members.iter().map(|member| member.id + 1).max().unwrap_or_default(),
            }
        });
        Self {
            current: observed.members.as_ref().map(current),
            view,
            gateway: observed.gateway.as_ref().map(gateway).unwrap_or_default(),
            problems: problems::find(name, observed),
            members,
            copies: replication.wanted_copies(),
            all_members: replication.topology == Topology::AllMembers,
        }
    }

    /// Whether every session has all its copies.
    pub fn protection(&self) -> Protection {
        match &self.view {
            None => Protection::NoView,
            Some(view) if view.epoch == 0 => Protection::NoView,
            Some(view) if view.lossy => Protection::WritesMayBeLost,
            Some(_) if self.copies == 0 => Protection::NoCopiesWanted,
            Some(view) if self.all_members && view.full < 2 => Protection::SingleMember,
            Some(view) if !self.all_members && view.full <= self.copies => Protection::FewerMembersThanCopies,
            // Of fewer copies than before there is none too few.
            Some(view) if view.sub == 0 || view.copies < self.copies => Protection::Unsettled,
            Some(_) => Protection::Protected,
        }
    }

    /// Whether a drained node may take a member: nothing is only there that somebody wanted elsewhere, and nothing is on its way.
    pub fn may_evict(&self) -> bool {
        match self.protection() {
            Protection::Protected => true,
            Protection::NoCopiesWanted => self.view.as_ref().is_some_and(|view| view.sub > 0),
            _ => false,
        }
    }

    /// Pods that are ready and full members.
    pub fn ready(&self) -> u32 {
        let ready = self.members.iter().filter(|member| member.ready && member.standing == Some(MemberState::Full));
        u32::try_from(ready.count()).unwrap_or(u32::MAX)
    }

    /// How many ordinals are in use: by the StatefulSet, by pods that are ending, by members whose pods are gone.
    pub fn ordinals(&self) -> u32 {
        let of_pods = self.members.iter().map(|member| member.ordinal + 1).max().unwrap_or_default();
        let of_view = self.view.as_ref().map_or(0, |view| view.ordinals);
        self.current.unwrap_or_default().max(of_pods).max(of_view)
    }

    /// Whether a view was founded: before that, there is no session anywhere.
    pub fn founded(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.epoch > 0)
    }
}

impl Member {
    /// Whether it owns and keeps sessions.
    pub fn is_full(&self) -> bool {
        self.standing == Some(MemberState::Full)
    }
}

fn members(name: &str, observed: &Observed) -> Vec<Member> {
    let Some(stateful_set) = &observed.members else { return Vec::new() };
    let revision = current_revision(stateful_set);
    let view = observed.view.as_ref();
    let mut members: Vec<Member> = observed
        .pods
        .iter()
        .filter(|pod| belongs_to(pod, stateful_set))
        .filter_map(|pod| {
            let (pod_name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
            let standing = view
                .and_then(|view| view.spec.members.iter().find(|member| member.name == pod_name && member.pod_uid == uid))
                .map(|member| member.state);
            let ordinal = names::ordinal(name, &pod_name)?;
            Some(Member {
                ordinal,
                links: note(view, &names::links_annotation(ordinal)).filter(|report: &LinksReport| report.pod_uid == uid),
                memory: note(view, &names::memory_annotation(ordinal)).filter(|report: &MemoryReport| report.pod_uid == uid),
                ready: condition(pod, "Ready"),
                terminating: pod.metadata.deletion_timestamp.is_some(),
                outdated: revision.is_some_and(|revision| pod.labels().get("controller-revision-hash").is_some_and(|of| of != revision)),
                lost: is_lost(pod, observed),
                name: pod_name,
                uid,
                standing,
            })
        })
        .collect();
    members.sort_by_key(|member| member.ordinal);
    members
}

/// What a member has noted on the register.
fn note<T: DeserializeOwned>(view: Option<&SessionView>, annotation: &str) -> Option<T> {
    serde_json::from_str(view?.annotations().get(annotation)?).ok()
}

/// Whether the StatefulSet made the pod.
pub(crate) fn belongs_to(pod: &Pod, stateful_set: &StatefulSet) -> bool {
    pod.owner_references().iter().any(|owner| owner.controller == Some(true) && Some(&owner.uid) == stateful_set.metadata.uid.as_ref())
}

/// Whether the pod is on a node that does not answer.
pub(crate) fn is_lost(pod: &Pod, observed: &Observed) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()).is_some_and(|node| observed.dead_nodes.contains(node))
}

/// Whether a condition of the pod is true.
pub(crate) fn condition(pod: &Pod, type_: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == type_ && condition.status == "True")
}

fn current(stateful_set: &StatefulSet) -> u32 {
    let replicas = stateful_set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    u32::try_from(replicas).unwrap_or_default()
}

/// The revision that new pods are made of; `None` while the StatefulSet's controller has not seen its latest spec.
fn current_revision(stateful_set: &StatefulSet) -> Option<&String> {
    let status = stateful_set.status.as_ref()?;
    (status.observed_generation >= stateful_set.metadata.generation).then_some(status.update_revision.as_ref()?)
}

fn gateway(deployment: &Deployment) -> Gateway {
    let count = |number: Option<i32>| u32::try_from(number.unwrap_or_default()).unwrap_or_default();
    let Some(status) = &deployment.status else { return Gateway::default() };
    let available = count(status.available_replicas);
    // Until the controller has seen the latest spec, its count of updated pods speaks of the one before.
    let seen = status.observed_generation >= deployment.metadata.generation;
    let updated = if seen { count(status.updated_replicas).min(available) } else { 0 };
    Gateway { available, updated }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[test]
    fn a_member_counts_only_with_the_pod_that_entered_the_view() {
        let survey = World::settled(3).pod(1, |pod| pod.metadata.uid = Some("another".to_owned())).survey();
        assert_eq!(survey.members[1].standing, None);
        assert_eq!(survey.view.as_ref().map(|view| view.orphaned.clone()), Some(vec!["shop-1".to_owned()]));
        assert_eq!(survey.ready(), 2);
    }

    #[test]
    fn protection_needs_a_settled_view_with_more_members_than_copies() {
        assert_eq!(World::settled(3).survey().protection(), Protection::Protected);
        assert_eq!(World::settled(3).sub(0).survey().protection(), Protection::Unsettled);
        assert_eq!(World::settled(1).survey().protection(), Protection::FewerMembersThanCopies);
        assert_eq!(World::settled(3).copies(3).survey().protection(), Protection::FewerMembersThanCopies);
        assert_eq!(World::settled(3).epoch(0).survey().protection(), Protection::NoView);
        assert_eq!(World::settled(3).without_view().survey().protection(), Protection::NoView);
    }

    #[test]
    fn all_members_are_never_fewer_than_copies_need() {
        assert_eq!(World::settled(3).all_members().survey().protection(), Protection::Protected);
        assert_eq!(World::settled(3).all_members().outside(2).survey().protection(), Protection::Protected);
        assert_eq!(World::settled(3).all_members().sub(0).survey().protection(), Protection::Unsettled);
        assert_eq!(World::settled(1).all_members().survey().protection(), Protection::SingleMember);
    }

    #[test]
    fn a_new_number_of_copies_protects_once_the_view_has_it() {
        assert_eq!(World::settled(3).copies(2).view_copies(1).survey().protection(), Protection::Unsettled);
        assert_eq!(World::settled(3).copies(1).view_copies(2).survey().protection(), Protection::Protected);
    }

    #[test]
    fn without_copies_nothing_is_protected_but_nodes_may_be_drained() {
        let none = World::settled(3).copies(0);
        assert_eq!(none.survey().protection(), Protection::NoCopiesWanted);
        assert!(none.survey().may_evict());
        assert!(!none.sub(0).survey().may_evict());
    }

    #[test]
    fn a_lossy_view_is_that_before_all_else() {
        assert_eq!(World::settled(2).copies(2).lossy(7).survey().protection(), Protection::WritesMayBeLost);
        assert_eq!(World::settled(3).lossy(6).survey().protection(), Protection::Protected);
    }

    #[test]
    fn a_register_that_waits_for_its_view_has_none() {
        let world = World::settled(3).epoch(0).marked(&[(names::FOUNDED_ANNOTATION, "7")]);
        assert_eq!(world.survey().view, None);
    }

    #[test]
    fn an_ordinal_is_in_use_until_its_pod_and_its_member_are_gone() {
        let set = |world: &mut World, replicas| {
            world.observed.members.as_mut().and_then(|set| set.spec.as_mut()).expect("a spec").replicas = Some(replicas);
        };
        let mut world = World::settled(5);
        set(&mut world, 3);
        assert_eq!(world.survey().ordinals(), 5);
        assert_eq!(world.clone().without_pod(4).survey().ordinals(), 5);
        assert_eq!(world.without_pod(4).outside(4).survey().ordinals(), 4);
    }

    #[test]
    fn a_strangers_pod_with_the_clusters_labels_is_no_member() {
        let survey = World::settled(3).pod(2, |pod| pod.metadata.owner_references = None).survey();
        assert_eq!(survey.members.len(), 2);
    }

    #[test]
    fn a_pod_is_outdated_only_once_the_new_revision_is_known() {
        let outdated = |world: World| world.survey().members.iter().filter(|member| member.outdated).count();
        assert_eq!(outdated(World::settled(3)), 0);
        assert_eq!(outdated(World::settled(3).revision("new")), 3);
        assert_eq!(outdated(World::settled(3).revision("new").unseen_generation()), 0);
    }
}
