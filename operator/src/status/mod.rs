//! Last step of the pipeline: the status, from what was applied and observed. Pure; `docs/status.md` explains each condition to users.

mod capacity;
mod conditions;
mod members;
mod verdicts;

use holdfast_api::{GatewayIntent, GatewayStatus, SessionCluster, SessionClusterStatus, ViewStatus, names};
use jiff::Timestamp;

pub use self::conditions::{
    CAPACITY_FOR_FAILOVER, DEGRADED, GATEWAY_SYNCED, LINKS_ENCRYPTED, MEMBERSHIP_FORMED, READY, RECONCILING, SESSIONS_PROTECTED, STALLED,
    find, is_true,
};
use crate::build::{Applied, Resources};
use crate::certificates::Links;
use crate::cluster::Cluster;
use crate::pace::Plan;
use crate::problems::Problem;
use crate::survey::Survey;

/// Why the operator cannot go on until somebody changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Reason of the condition.
    pub reason: &'static str,
    /// What is wrong, and what is right.
    pub message: String,
}

/// What a pass has done.
#[derive(Debug)]
pub struct Done<'a> {
    /// The objects, as the API server returned them.
    pub applied: &'a Resources<Applied>,
    /// What the gateways are told.
    pub intent: &'a GatewayIntent,
    /// What becomes of the members.
    pub plan: &'a Plan,
    /// How the links between them stand.
    pub links: &'a Links,
}

/// The status of a cluster whose objects have been applied.
pub fn of_applied(
    cluster: &Cluster,
    survey: &Survey,
    done: &Done<'_>,
    before: &SessionClusterStatus,
    now: Timestamp,
) -> SessionClusterStatus {
    let mut status = counted(cluster, survey, before);
    status.gateway = Some(GatewayStatus {
        service_name: done.applied.gateway_service.metadata.name.clone().unwrap_or_default(),
        table_generation: done.intent.generation,
    });
    let verdicts = verdicts::of_applied(cluster, survey, done.plan, done.links);
    for (type_, verdict) in verdicts {
        conditions::set(&mut status.conditions, type_, verdict, Some(cluster.generation), now);
    }
    status
}

/// The status of a cluster that was looked at, but whose objects could not be applied.
pub fn of_failed(
    cluster: &Cluster,
    survey: &Survey,
    failure: &Failure,
    before: &SessionClusterStatus,
    now: Timestamp,
) -> SessionClusterStatus {
    let mut status = counted(cluster, survey, before);
    for (type_, verdict) in verdicts::of_failed(cluster, survey, failure) {
        conditions::set(&mut status.conditions, type_, verdict, Some(cluster.generation), now);
    }
    status
}

/// What kept the objects from being applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Somebody must change something.
    Stall(Stall),
    /// It may pass.
    Problem(Problem),
}

/// The status of a resource that cannot be built. What it said about the running cluster stays as it was.
pub fn of_invalid(stall: Stall, generation: Option<i64>, before: &SessionClusterStatus, now: Timestamp) -> SessionClusterStatus {
    let mut status = SessionClusterStatus { observed_generation: generation, ..before.clone() };
    for (type_, verdict) in verdicts::of_stall(&stall) {
        conditions::set(&mut status.conditions, type_, verdict, generation, now);
    }
    status
}

/// The part of the status that is counted.
fn counted(cluster: &Cluster, survey: &Survey, before: &SessionClusterStatus) -> SessionClusterStatus {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    // A view that is gone was still there: its epoch is what keeps another one from being founded.
    let view = survey.view.as_ref().filter(|view| view.epoch > 0).map(|view| ViewStatus {
        epoch: view.epoch,
        sub: view.sub,
        copies: view.copies,
        lossy_epoch: view.lossy_epoch,
    });
    SessionClusterStatus {
        observed_generation: Some(cluster.generation),
        replicas: count(survey.members.len()),
        ready_replicas: survey.ready(),
        updated_replicas: count(survey.members.iter().filter(|member| !member.outdated).count()),
        selector: Some(names::member_selector(&cluster.name)),
        view: view.or_else(|| before.view.clone()),
        gateway: before.gateway.clone(),
        members: members::of(survey, &before.members),
        conditions: before.conditions.clone(),
    }
}

/// Whether a view was founded, as far as the status knows: then it is never created again.
pub fn knows_view(resource: &SessionCluster) -> Option<u64> {
    resource.status.as_ref()?.view.as_ref().map(|view| view.epoch).filter(|epoch| *epoch > 0)
}

#[cfg(test)]
mod tests;
