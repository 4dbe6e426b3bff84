//! How fast a cluster may change. Pure.
//!
//! The runtime decides who owns a session; the operator decides only when the next pod may go. One member at a time, and only while everything
//! that it holds is somewhere else too; a pod that holds nothing is in nobody's way and may go at any time.

use crate::cluster::Cluster;
use crate::survey::{Member, Survey};

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Members that the StatefulSet shall have now.
    pub replicas: u32,
    /// Pods to delete now.
    pub removals: Vec<Removal>,
    /// What is going on.
    pub stage: Stage,
}

/// A pod to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Its name.
    pub pod: String,
    /// Its UID: a pod of the same name that came since is left alone.
    pub uid: String,
    /// Why.
    pub why: Why,
}

/// Why a pod is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was made from an older template.
    Outdated,
    /// Its node does not answer and its member is out of the view, so that it cannot acknowledge anything any more.
    NodeLost,
}

/// What is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is left to do.
    Steady,
    /// Members are being added.
    ScalingUp,
    /// Members are being removed; the text says what the next one waits for.
    ScalingDown(Option<String>),
    /// Pods are being replaced by ones of the current template; the text says what the next one waits for.
    Updating(Option<String>),
}

/// What to do now with a cluster that stands as surveyed.
pub fn decide(cluster: &Cluster, survey: &Survey) -> Plan {
    let desired = cluster.spec.replicas;
    let current = survey.current.unwrap_or(desired);
    let mut removals = lost(survey);
    let (replicas, stage) = if desired > current {
        (desired, Stage::ScalingUp)
    } else if desired < current {
        match next_step_down(survey, current) {
            Ok(()) => (current - 1, Stage::ScalingDown(None)),
            Err(wait) => (current, Stage::ScalingDown(Some(wait))),
        }
    } else {
        (current, Stage::Steady)
    };
    let outdated: Vec<&Member> = survey.members.iter().filter(|member| member.outdated).collect();
    let outside = outdated.iter().filter(|member| member.standing.is_none() && !member.terminating && !member.lost);
    removals.extend(outside.map(|member| removal(member, Why::Outdated)));
    if stage != Stage::Steady || outdated.is_empty() {
        return Plan { replicas, removals, stage };
    }
    let wait = match next_update(survey, current, &outdated) {
        Ok(member) => {
            removals.extend(member.map(|member| removal(member, Why::Outdated)));
            None
        }
        Err(wait) => Some(wait),
    };
    Plan { replicas, removals, stage: Stage::Updating(wait) }
}

/// Pods whose node is gone, and which hold nothing that counts. Without a view nobody can tell, so nothing happens.
fn lost(survey: &Survey) -> Vec<Removal> {
    if survey.view.is_none() {
        return Vec::new();
    }
    survey.members.iter().filter(|member| member.lost && member.standing.is_none()).map(|member| removal(member, Why::NodeLost)).collect()
}

/// Whether the member with the highest ordinal may go; `Err` says what it waits for.
fn next_step_down(survey: &Survey, current: u32) -> Result<(), String> {
    if let Some(leaving) = survey.members.iter().find(|member| member.ordinal >= current) {
        return Err(format!("{} to end", leaving.name));
    }
    quiet(survey)?;
    let Some(victim) = survey.members.iter().find(|member| member.ordinal + 1 == current) else { return Ok(()) };
    if victim.standing.is_none() {
        return Ok(());
    }
    // What remains must still hold every copy: enough members if that many are asked for, otherwise all that there are.
    let remaining = survey.view.as_ref().map_or(0, |view| view.full).saturating_sub(1);
    let needed = (current - 1).min(survey.copies + 1);
    if remaining < needed {
        return Err(format!("more members: without {} there would be {remaining} for {needed} copies of each session", victim.name));
    }
    Ok(())
}

/// The member of the view to replace next, if any is outdated; `Err` says what it waits for.
fn next_update<'a>(survey: &Survey, current: u32, outdated: &[&'a Member]) -> Result<Option<&'a Member>, String> {
    quiet(survey)?;
    let in_view: Vec<&Member> = outdated.iter().copied().filter(|member| member.standing.is_some()).collect();
    if in_view.len() < outdated.len() {
        return Err("the replaced pods outside the view to come back".to_owned());
    }
    let full = u32::try_from(survey.members.iter().filter(|member| member.is_full()).count()).unwrap_or(u32::MAX);
    if full < current {
        return Err(format!("all {current} members: {full} are in the view"));
    }
    // An application that does not work goes first: it is in nobody's way, and it may be what the update mends.
    if let Some(broken) = in_view.iter().copied().rfind(|member| !member.ready) {
        return Ok(Some(broken));
    }
    if let Some(unready) = survey.members.iter().find(|member| !member.ready) {
        return Err(format!("{} to become ready", unready.name));
    }
    Ok(in_view.last().copied())
}

/// Whether nothing moves, so that the next member may go; `Err` says what moves.
fn quiet(survey: &Survey) -> Result<(), String> {
    if let Some(ending) = survey.members.iter().find(|member| member.terminating) {
        return Err(format!("{} to end", ending.name));
    }
    let Some(view) = &survey.view else { return Err("a view of the members".to_owned()) };
    if !survey.founded() {
        return Ok(());
    }
    if let Some(gone) = view.orphaned.first() {
        return Err(format!("{gone} to leave the view: its pod is gone"));
    }
    if let Some(moving) = view.moving.first() {
        return Err(format!("{moving} to finish entering or leaving the view"));
    }
    if view.sub == 0 {
        return Err("every session to have all its copies again".to_owned());
    }
    Ok(())
}

fn removal(member: &Member, why: Why) -> Removal {
    Removal { pod: member.name.clone(), uid: member.uid.clone(), why }
}

#[cfg(test)]
mod tests {
    use holdfast_api::MemberState;
    use serde_json::json;

    use super::*;
    use crate::testing::{self, World};

    fn plan(replicas: u32, world: &World) -> Plan {
        decide(&testing::cluster(json!({"replicas": replicas})), &world.survey())
    }

    fn removed(plan: &Plan) -> Vec<&str> {
        plan.removals.iter().map(|removal| removal.pod.as_str()).collect()
    }

    fn waits(plan: &Plan) -> &str {
        match &plan.stage {
            Stage::ScalingDown(Some(wait)) | Stage::Updating(Some(wait)) => wait,
            stage => panic!("does not wait: {stage:?}"),
        }
    }

    #[test]
    fn a_new_cluster_gets_all_its_members_at_once() {
        assert_eq!(plan(3, &World::empty()), Plan { replicas: 3, removals: vec![], stage: Stage::Steady });
    }

    #[test]
    fn members_are_added_in_one_step() {
        assert_eq!(plan(5, &World::settled(3)).replicas, 5);
        assert_eq!(plan(5, &World::settled(3).sub(0)).stage, Stage::ScalingUp);
    }

    #[test]
    fn members_are_removed_one_by_one() {
        let plan = plan(2, &World::settled(5));
        assert_eq!((plan.replicas, plan.stage), (4, Stage::ScalingDown(None)));
    }

    #[test]
    fn the_next_member_goes_only_once_the_last_one_is_gone() {
        let mut world = World::settled(5);
        world.observed.members.as_mut().and_then(|set| set.spec.as_mut()).expect("spec").replicas = Some(4);
        let leaving = world.clone().terminating(4).standing(4, MemberState::Leave);
        assert_eq!(plan(2, &leaving).replicas, 4);
        assert_eq!(waits(&plan(2, &leaving)), "shop-4 to end");
        let left_view = leaving.outside(4);
        assert_eq!(plan(2, &left_view).replicas, 4);
        let crashed = world.clone().without_pod(4);
        assert_eq!(waits(&plan(2, &crashed)), "shop-4 to leave the view: its pod is gone");
        let gone = world.without_pod(4).outside(4);
        assert_eq!(waits(&plan(2, &gone.clone().sub(0))), "every session to have all its copies again");
        assert_eq!(plan(2, &gone).replicas, 3);
    }

    #[test]
    fn no_member_goes_while_sessions_lack_copies() {
        assert_eq!(plan(2, &World::settled(3).sub(0)).replicas, 3);
        assert_eq!(plan(2, &World::settled(3).standing(1, MemberState::Join)).replicas, 3);
        let one_missing = World::settled(3).outside(0).unready(0);
        assert_eq!(plan(2, &one_missing).replicas, 3);
        assert_eq!(waits(&plan(2, &one_missing)), "more members: without shop-2 there would be 1 for 2 copies of each session");
    }

    #[test]
    fn a_member_outside_the_view_goes_at_once() {
        assert_eq!(plan(2, &World::settled(3).outside(2).unready(2)).replicas, 2);
        assert_eq!(plan(0, &World::settled(3).epoch(0)).replicas, 2);
    }

    #[test]
    fn a_cluster_can_be_scaled_to_zero() {
        assert_eq!(plan(0, &World::settled(2)).replicas, 1);
        assert_eq!(plan(0, &World::settled(1)).replicas, 0);
    }

    #[test]
    fn without_a_view_nothing_is_taken_away() {
        let world = World::settled(3).without_view().revision("new").dead_node("node-1");
        assert_eq!(plan(2, &world).replicas, 3);
        let lost = plan(3, &World::settled(3).without_view().dead_node("node-1"));
        assert_eq!(lost.removals, []);
    }

    #[test]
    fn outdated_pods_are_replaced_one_by_one_from_the_highest() {
        assert_eq!(removed(&plan(3, &World::settled(3).revision("new"))), ["shop-2"]);
        assert_eq!(removed(&plan(3, &World::settled(3).revision("new").pod_revision(2, "new"))), ["shop-1"]);
    }

    #[test]
    fn no_member_is_replaced_before_the_last_one_is_back() {
        let world = World::settled(3).revision("new").pod_revision(2, "new");
        assert_eq!(waits(&plan(3, &world.clone().terminating(2))), "shop-2 to end");
        assert_eq!(waits(&plan(3, &world.clone().outside(2).without_pod(2))), "all 3 members: 2 are in the view");
        assert_eq!(waits(&plan(3, &world.clone().standing(2, MemberState::Join))), "shop-2 to finish entering or leaving the view");
        assert_eq!(waits(&plan(3, &world.clone().sub(0))), "every session to have all its copies again");
        assert_eq!(waits(&plan(3, &world.unready(2))), "shop-2 to become ready");
    }

    #[test]
    fn an_outdated_pod_outside_the_view_is_replaced_even_while_sessions_lack_copies() {
        let world = World::settled(3).revision("new").outside(0).unready(0).sub(0);
        assert_eq!(removed(&plan(3, &world)), ["shop-0"]);
        assert_eq!(removed(&plan(3, &World::settled(3).epoch(0).revision("new"))), ["shop-0", "shop-1", "shop-2"]);
    }

    #[test]
    fn a_broken_application_in_the_view_is_replaced_first() {
        assert_eq!(removed(&plan(3, &World::settled(3).revision("new").unready(0))), ["shop-0"]);
        let all = World::settled(3).revision("new").unready(0).unready(1).unready(2);
        assert_eq!(removed(&plan(3, &all)), ["shop-2"]);
    }

    #[test]
    fn a_failing_update_stops_at_its_first_pod() {
        let world = World::settled(3).revision("new").pod_revision(2, "new").outside(2).unready(2);
        let plan = plan(3, &world);
        assert_eq!(removed(&plan), [""; 0]);
        assert_eq!(waits(&plan), "all 3 members: 2 are in the view");
    }

    #[test]
    fn pods_are_not_replaced_while_members_are_removed() {
        let plan = plan(2, &World::settled(3).revision("new"));
        assert_eq!((plan.replicas, removed(&plan)), (2, vec![]));
    }

    #[test]
    fn a_pod_on_a_dead_node_goes_once_its_member_is_out_of_the_view() {
        let world = World::settled(3).dead_node("node-1");
        assert_eq!(plan(3, &world).removals, []);
        let fenced = plan(3, &world.outside(1));
        assert_eq!(fenced.removals, [Removal { pod: "shop-1".to_owned(), uid: "pod-1".to_owned(), why: Why::NodeLost }]);
    }

    #[test]
    fn a_pod_on_a_dead_node_counts_as_lost_rather_than_outdated() {
        let fenced = plan(3, &World::settled(3).dead_node("node-1").outside(1).revision("new"));
        assert_eq!(fenced.removals, [Removal { pod: "shop-1".to_owned(), uid: "pod-1".to_owned(), why: Why::NodeLost }]);
    }
}
