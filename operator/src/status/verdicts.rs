//! What each condition says about a cluster, and why. Reasons are an interface: people match on them, and `docs/status.md` lists them all.

use super::capacity::capacity_for_failover;
use super::conditions::{
    CAPACITY_FOR_FAILOVER, DEGRADED, GATEWAY_SYNCED, LINKS_ENCRYPTED, MEMBERSHIP_FORMED, READY, RECONCILING, SESSIONS_PROTECTED, STALLED,
    Verdict,
};
use super::{Failure, Stall};
use crate::certificates::Links;
use crate::cluster::Cluster;
use crate::pace::{Plan, Stage};
use crate::problems::Problem;
use crate::survey::{Member, Protection, Survey};

/// A condition's type and what it says.
type Typed = (&'static str, Verdict);

pub(super) fn of_applied(cluster: &Cluster, survey: &Survey, plan: &Plan, links: &Links) -> Vec<Typed> {
    let ready = ready(cluster, survey);
    let reconciling = reconciling(cluster, survey, plan, &ready);
    let mut verdicts = of_survey(cluster, survey, &survey.problems);
    verdicts.extend([(READY, ready), (RECONCILING, reconciling), (STALLED, Verdict::no("Progressing", "nothing is in the way"))]);
    verdicts.push((LINKS_ENCRYPTED, links_encrypted(links, survey)));
    verdicts
}

pub(super) fn of_failed(cluster: &Cluster, survey: &Survey, failure: &Failure) -> Vec<Typed> {
    match failure {
        Failure::Stall(stall) => {
            let mut verdicts = of_survey(cluster, survey, &survey.problems);
            verdicts.extend(of_stall(stall));
            verdicts
        }
        Failure::Problem(problem) => {
            let problems: Vec<Problem> = std::iter::once(problem.clone()).chain(survey.problems.iter().cloned()).collect();
            let mut verdicts = of_survey(cluster, survey, &problems);
            verdicts.push((READY, Verdict::no(&problem.reason, &problem.message)));
            verdicts.push((RECONCILING, Verdict::yes("Retrying", "the operator tries again")));
            verdicts.push((STALLED, Verdict::no("Progressing", "nothing is in the way")));
            verdicts
        }
    }
}

pub(super) fn of_stall(stall: &Stall) -> Vec<Typed> {
    vec![
        (READY, Verdict::no("Stalled", &stall.message)),
        (RECONCILING, Verdict::no("Stalled", "the operator waits for a change")),
        (STALLED, Verdict::yes(stall.reason, &stall.message)),
    ]
}

/// What follows from looking alone.
fn of_survey(cluster: &Cluster, survey: &Survey, problems: &[Problem]) -> Vec<Typed> {
    vec![
        (DEGRADED, degraded(problems)),
        (SESSIONS_PROTECTED, sessions_protected(cluster, survey)),
        (CAPACITY_FOR_FAILOVER, capacity_for_failover(cluster, survey)),
        (MEMBERSHIP_FORMED, membership_formed(cluster, survey)),
        (GATEWAY_SYNCED, gateway_synced(cluster, survey)),
    ]
}

fn ready(cluster: &Cluster, survey: &Survey) -> Verdict {
    let (desired, ready) = (cluster.spec.replicas, survey.ready());
    let there = u32::try_from(survey.members.len()).unwrap_or(u32::MAX);
    let formed = membership_formed(cluster, survey);
    if ready < desired {
        let missing: Vec<String> = (0..desired)
            .map(|ordinal| holdfast_api::names::member_pod(&cluster.name, ordinal))
            .filter(|name| !survey.members.iter().any(|member| &member.name == name && member.ready && member.is_full()))
            .collect();
        Verdict::no("MembersNotReady", format!("{ready} of {desired} members are ready; not ready: {}", some_of(&missing)))
    } else if there > desired {
        Verdict::no("MembersLeaving", format!("{} more than the {desired} members asked for are still there", there - desired))
    } else if desired > 0 && !formed.is_true() {
        Verdict::no(&formed.reason, formed.message)
    } else if survey.gateway.available == 0 {
        Verdict::no("GatewayNotAvailable", "no gateway takes requests")
    } else if desired == 0 {
        Verdict::yes("ScaledToZero", "there are no members, as asked for")
    } else {
        Verdict::yes("MembersReady", format!("{ready} of {desired} members are ready"))
    }
}

fn reconciling(cluster: &Cluster, survey: &Survey, plan: &Plan, ready: &Verdict) -> Verdict {
    let waiting = |what: String, wait: &Option<String>| match wait {
        Some(wait) => format!("{what}; the next one waits for {wait}"),
        None => what,
    };
    let current = plan.replicas;
    match &plan.stage {
        Stage::ScalingUp => Verdict::yes("ScalingUp", format!("adding members, up to {}", cluster.spec.replicas)),
        Stage::ScalingDown(wait) => Verdict::yes(
            "ScalingDown",
            waiting(format!("removing members one by one, from {current} down to {}", cluster.spec.replicas), wait),
        ),
        Stage::Updating(wait) => {
            let left = survey.members.iter().filter(|member| member.outdated).count();
            Verdict::yes("Updating", waiting(format!("replacing members one by one, {left} to go"), wait))
        }
        Stage::Steady if !ready.is_true() => Verdict::yes(&ready.reason, ready.message.clone()),
        Stage::Steady if survey.gateway.updated < cluster.spec.gateway.replicas => {
            let gateway = gateway_synced(cluster, survey);
            Verdict::yes(&gateway.reason, gateway.message)
        }
        Stage::Steady => Verdict::no("UpToDate", "the cluster is as asked for"),
    }
}

fn degraded(problems: &[Problem]) -> Verdict {
    let Some(first) = problems.first() else { return Verdict::no("NoProblem", "no problem is known") };
    let messages: Vec<String> = problems.iter().map(|problem| problem.message.clone()).collect();
    Verdict::yes(&first.reason, some_of(&messages))
}

fn sessions_protected(cluster: &Cluster, survey: &Survey) -> Verdict {
    let copies = survey.copies;
    match survey.protection() {
        Protection::Protected => Verdict::yes("AllCopies", "every session has all its copies"),
        _ if cluster.spec.replicas == 0 => Verdict::no("ScaledToZero", "there are no members, as asked for"),
        Protection::Unsettled => Verdict::no("CopiesMissing", unsettled(survey)),
        Protection::WritesMayBeLost => Verdict::no(
            "WritesMayBeLost",
            "a member was given up before all that it held was elsewhere, as spec.replication.onUnderReplicated allows; copies are being made",
        ),
        Protection::NoCopiesWanted => Verdict::no(
            "NoCopiesWanted",
            "spec.replication.copies is 0: nothing is replicated, and a member that fails takes its sessions along",
        ),
        Protection::SingleMember => Verdict::no("SingleMember", "there is one member, so nobody else can keep a copy"),
        Protection::FewerMembersThanCopies => {
            let full = survey.view.as_ref().map_or(0, |view| view.full);
            let (needed, replicas) = (copies + 1, cluster.spec.replicas);
            let advice = if replicas < needed {
                format!("; spec.replicas is {replicas}: scale up, or ask for at most {} copies", replicas.saturating_sub(1))
            } else {
                String::new()
            };
            Verdict::no(
                "FewerMembersThanCopies",
                format!("a session and its {copies} copies need {needed} members; in the view: {full}{advice}"),
            )
        }
        Protection::NoView => Verdict::no("NoView", "the members have no view"),
    }
}

/// How far it is moves with every write, and is a metric of the members.
fn unsettled(survey: &Survey) -> String {
    let metric = "the metric holdfast_sessions_unprotected of each member says how many sessions are left";
    match &survey.view {
        Some(view) if view.copies < survey.copies => {
            let wanted = if survey.all_members { "all members".to_owned() } else { survey.copies.to_string() };
            format!("copies asked for: {wanted}, in view {}: {}; {metric}", view.epoch, view.copies)
        }
        Some(view) => format!("the members have changed to view {}, and copies are being made; {metric}", view.epoch),
        None => "copies are being made".to_owned(),
    }
}

fn membership_formed(cluster: &Cluster, survey: &Survey) -> Verdict {
    let desired = cluster.spec.replicas;
    let Some(view) = survey.view.as_ref().filter(|view| view.epoch > 0) else {
        return Verdict::no("NoView", "the members have no view");
    };
    if desired == 0 {
        return Verdict::no("ScaledToZero", "there are no members, as asked for");
    }
    let outside: Vec<String> = (0..desired)
        .map(|ordinal| holdfast_api::names::member_pod(&cluster.name, ordinal))
        .filter(|name| !survey.members.iter().any(|member| &member.name == name && member.is_full()))
        .collect();
    if outside.is_empty() {
        Verdict::yes("Formed", format!("all {desired} members are in the view"))
    } else {
        Verdict::no(
            "MembersMissing",
            format!("{} of {desired} members are in the view; not in it: {}", view.full.min(desired), some_of(&outside)),
        )
    }
}

fn gateway_synced(cluster: &Cluster, survey: &Survey) -> Verdict {
    let (gateway, desired) = (&survey.gateway, cluster.spec.gateway.replicas);
    let of = format!("{} of {desired} gateways take requests", gateway.available);
    if gateway.available < desired {
        Verdict::no("GatewayNotAvailable", of)
    } else if gateway.updated < desired {
        Verdict::no("GatewayUpdating", format!("{} of {desired} gateways are up to date", gateway.updated))
    } else {
        Verdict::yes("GatewayAvailable", of)
    }
}

fn links_encrypted(links: &Links, survey: &Survey) -> Verdict {
    match links {
        Links::Encrypted { certificate, authority, rotating, waiting } => {
            // Who is not in the view has no links that matter, and one that has just started may not have come to saying it.
            let of_members = |is: fn(&Member) -> bool| -> Vec<String> {
                survey.members.iter().filter(|member| member.standing.is_some() && is(member)).map(|member| member.name.clone()).collect()
            };
            let plain = of_members(|member| member.links.as_ref().is_some_and(|links| !links.encrypted));
            if !plain.is_empty() {
                return Verdict::no("Unencrypted", format!("these members say that their links are not encrypted: {}", some_of(&plain)));
            }
            let silent = of_members(|member| member.links.is_none() && member.ready);
            if !silent.is_empty() {
                let message =
                    format!("these members do not say whether their links are encrypted, as older runtimes do not: {}", some_of(&silent));
                return Verdict::no("NotReported", message);
            }
            let ends = format!("the members' certificate ends {certificate}, its authority {authority}; both are renewed before");
            match (rotating, waiting.is_empty()) {
                (false, _) => Verdict::yes("MutualTls", ends),
                (true, true) => Verdict::yes("AuthorityChanging", ends),
                (true, false) => Verdict::yes(
                    "AuthorityChanging",
                    format!("{ends}; the next step waits until these pods have the last one: {}", some_of(waiting)),
                ),
            }
        }
        Links::Disabled => {
            Verdict::no("Disabled", "spec.security.tls.mode is Disabled: whoever reaches port 4000 reads and writes sessions")
        }
        Links::MadeWithout => Verdict::no(
            "MadeWithout",
            "this cluster was made without encryption, and its members could not reach others that have it: it begins once there are no members",
        ),
    }
}

/// The first few of a list, and how many more: a message is for people.
pub(super) fn some_of(list: &[String]) -> String {
    const SHOWN: usize = 5;
    match list.len().checked_sub(SHOWN) {
        None | Some(0) => list.join(", "),
        Some(more) => format!("{} and {more} more", list[..SHOWN].join(", ")),
    }
}
