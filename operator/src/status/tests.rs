//! The status of whole clusters.

use holdfast_api::MemberState;
use serde_json::json;

use super::*;
use crate::build::{self, Images, Inputs};
use crate::pace;
use crate::testing::{self, World, noon};

const LINKS: Links =
    Links::Encrypted { certificate: Timestamp::UNIX_EPOCH, authority: Timestamp::UNIX_EPOCH, rotating: false, waiting: Vec::new() };

fn status_after(spec: serde_json::Value, world: &World, before: &SessionClusterStatus) -> SessionClusterStatus {
    status_with(spec, world, before, &LINKS)
}

fn status_with(spec: serde_json::Value, world: &World, before: &SessionClusterStatus, links: &Links) -> SessionClusterStatus {
    let cluster = testing::cluster(spec);
    let survey = world.survey();
    let plan = pace::decide(&cluster, &survey);
    let intent = build::intent::next(&cluster, None);
    let images = Images { runtime: "runtime:1".to_owned(), gateway: "gateway:1".to_owned() };
    let inputs =
        Inputs { cluster: &cluster, images: &images, intent: &intent, replicas: plan.replicas, ordinals: 3, tls: true, may_evict: true };
    let applied = build::build(&inputs).into_applied();
    let done = Done { applied: &applied, intent: &intent, plan: &plan, links };
    of_applied(&cluster, &survey, &done, before, world.observed.now)
}

fn status(spec: serde_json::Value, world: &World) -> SessionClusterStatus {
    status_after(spec, world, &SessionClusterStatus::default())
}

/// A condition as `True Reason`.
fn says(status: &SessionClusterStatus, type_: &str) -> String {
    let condition = find(&status.conditions, type_).expect("such a condition");
    format!("{} {}", condition.status, condition.reason)
}

fn message<'a>(status: &'a SessionClusterStatus, type_: &str) -> &'a str {
    &find(&status.conditions, type_).expect("such a condition").message
}

#[test]
fn a_settled_cluster_is_ready_and_protected_and_quiet() {
    let status = status(json!({}), &World::settled(3));
    assert_eq!(says(&status, READY), "True MembersReady");
    assert_eq!(says(&status, SESSIONS_PROTECTED), "True AllCopies");
    assert_eq!(says(&status, MEMBERSHIP_FORMED), "True Formed");
    assert_eq!(says(&status, GATEWAY_SYNCED), "True GatewayAvailable");
    assert_eq!(says(&status, LINKS_ENCRYPTED), "True MutualTls");
    for quiet in [RECONCILING, STALLED, DEGRADED] {
        assert!(!is_true(&status.conditions, quiet), "{quiet}");
    }
    assert_eq!((status.replicas, status.ready_replicas, status.updated_replicas), (3, 3, 3));
    assert_eq!(status.selector.as_deref(), Some("holdfast.dev/cluster=shop,app.kubernetes.io/component=member"));
    assert_eq!(status.view, Some(ViewStatus { epoch: 7, sub: 1, copies: 1, lossy_epoch: None }));
    assert_eq!(status.gateway, Some(GatewayStatus { service_name: "shop".to_owned(), table_generation: 1 }));
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(3)));
}

#[test]
fn links_count_as_encrypted_only_if_each_member_says_so() {
    let old = status(json!({}), &World::settled(3).silent_about_links(1));
    assert_eq!(says(&old, LINKS_ENCRYPTED), "False NotReported");
    let expected = "these members do not say whether their links are encrypted, as older runtimes do not: shop-1";
    assert_eq!(message(&old, LINKS_ENCRYPTED), expected);
    let starting = status(json!({}), &World::settled(3).silent_about_links(1).unready(1));
    assert_eq!(says(&starting, LINKS_ENCRYPTED), "True MutualTls");
    let plain = status(json!({}), &World::settled(3).links(0, false).links(2, false).silent_about_links(1));
    assert_eq!(says(&plain, LINKS_ENCRYPTED), "False Unencrypted");
    assert_eq!(message(&plain, LINKS_ENCRYPTED), "these members say that their links are not encrypted: shop-0, shop-2");
    let of_another_pod = status(json!({}), &World::settled(3).pod(1, |pod| pod.metadata.uid = Some("another".to_owned())));
    assert_eq!(says(&of_another_pod, LINKS_ENCRYPTED), "True MutualTls", "it is not in the view");
}

#[test]
fn a_change_of_the_authority_names_the_pods_that_it_waits_for() {
    let links = Links::Encrypted {
        certificate: Timestamp::UNIX_EPOCH,
        authority: Timestamp::UNIX_EPOCH,
        rotating: true,
        waiting: vec!["shop-2".to_owned()],
    };
    let status = status_with(json!({}), &World::settled(3), &SessionClusterStatus::default(), &links);
    assert_eq!(says(&status, LINKS_ENCRYPTED), "True AuthorityChanging");
    assert!(message(&status, LINKS_ENCRYPTED).ends_with("waits until these pods have the last one: shop-2"));
}

#[test]
fn the_same_world_a_minute_later_makes_the_same_status() {
    let world = World::settled(3).unready(1);
    let first = status(json!({}), &world);
    let second = status_after(json!({}), &world.later(jiff::SignedDuration::from_secs(60)), &first);
    assert_eq!(first, second);
}

#[test]
fn a_status_survives_the_api_server() {
    let first = status(json!({}), &World::settled(3).later(jiff::SignedDuration::from_micros(123_456)));
    let stored: SessionClusterStatus = serde_json::from_value(serde_json::to_value(&first).expect("writes")).expect("reads");
    assert_eq!(status_after(json!({}), &World::settled(3), &stored), first);
}

#[test]
fn a_new_cluster_says_what_it_waits_for() {
    let status = status(json!({}), &World::empty());
    assert_eq!(says(&status, READY), "False MembersNotReady");
    assert_eq!(message(&status, READY), "0 of 3 members are ready; not ready: shop-0, shop-1, shop-2");
    assert_eq!(says(&status, RECONCILING), "True MembersNotReady");
    assert_eq!(says(&status, SESSIONS_PROTECTED), "False NoView");
    assert_eq!(says(&status, MEMBERSHIP_FORMED), "False NoView");
    assert_eq!(says(&status, GATEWAY_SYNCED), "False GatewayNotAvailable");
    assert!(!is_true(&status.conditions, STALLED));
}

#[test]
fn a_wrong_image_is_degraded_with_the_pod_and_the_image_and_clears_by_itself() {
    let waiting = json!({"state": {"waiting": {"reason": "ErrImagePull"}}});
    let world = World::settled(3)
        .unready(0)
        .pod(0, |pod| pod.status.as_mut().expect("status").container_statuses = Some(vec![testing::container_status("app", waiting)]));
    let broken = status(json!({}), &world);
    assert_eq!(says(&broken, DEGRADED), "True ImagePullBackOff");
    assert_eq!(message(&broken, DEGRADED), "pod shop-0, container app: image shop:1 cannot be pulled");
    assert_eq!(says(&broken, READY), "False MembersNotReady");
    let mended = status_after(json!({}), &World::settled(3), &broken);
    assert_eq!(says(&mended, DEGRADED), "False NoProblem");
    assert_eq!(says(&mended, READY), "True MembersReady");
}

#[test]
fn while_members_leave_the_cluster_is_not_ready_and_says_what_the_next_one_waits_for() {
    let status = status(json!({"replicas": 2}), &World::settled(5).sub(0));
    assert_eq!(says(&status, READY), "False MembersLeaving");
    assert_eq!(says(&status, RECONCILING), "True ScalingDown");
    let expected = "removing members one by one, from 5 down to 2; the next one waits for every session to have all its copies again";
    assert_eq!(message(&status, RECONCILING), expected);
}

#[test]
fn an_update_keeps_the_cluster_ready_as_long_as_its_members_are() {
    let status = status(json!({}), &World::settled(3).revision("new").pod_revision(2, "new"));
    assert_eq!(says(&status, READY), "True MembersReady");
    assert_eq!(says(&status, RECONCILING), "True Updating");
    assert_eq!((status.updated_replicas, message(&status, RECONCILING)), (1, "replacing members one by one, 2 to go"));
}

#[test]
fn a_lost_member_leaves_a_protected_cluster_that_is_not_ready() {
    let status = status(json!({}), &World::settled(3).outside(1).unready(1).dead_node("node-1"));
    assert_eq!(says(&status, SESSIONS_PROTECTED), "True AllCopies");
    assert_eq!(says(&status, MEMBERSHIP_FORMED), "False MembersMissing");
    assert_eq!(message(&status, MEMBERSHIP_FORMED), "2 of 3 members are in the view; not in it: shop-1");
    assert_eq!(says(&status, DEGRADED), "True NodeNotReady");
}

#[test]
fn fewer_members_than_copies_need_are_named() {
    let status = status(json!({"replicas": 1}), &World::settled(1));
    assert_eq!(says(&status, READY), "True MembersReady");
    assert_eq!(says(&status, SESSIONS_PROTECTED), "False FewerMembersThanCopies");
    assert_eq!(
        message(&status, SESSIONS_PROTECTED),
        "a session and its 1 copies need 2 members; in the view: 1; spec.replicas is 1: scale up, or ask for at most 0 copies"
    );
}

#[test]
fn a_cluster_scaled_to_zero_is_as_asked_for() {
    let status = status(json!({"replicas": 0}), &World::settled(0));
    assert_eq!(says(&status, READY), "True ScaledToZero");
    assert_eq!(says(&status, SESSIONS_PROTECTED), "False ScaledToZero");
    assert_eq!(says(&status, RECONCILING), "False UpToDate");
}

#[test]
fn one_gateway_of_two_is_ready_but_not_synced() {
    let status = status(json!({}), &World::settled(3).gateways(1));
    assert_eq!(says(&status, READY), "True MembersReady");
    assert_eq!(says(&status, GATEWAY_SYNCED), "False GatewayNotAvailable");
    assert_eq!(says(&status, RECONCILING), "True GatewayNotAvailable");
    let none = self::status(json!({}), &World::settled(3).gateways(0));
    assert_eq!(says(&none, READY), "False GatewayNotAvailable");
}

#[test]
fn an_entering_member_is_not_formed() {
    let status = status(json!({}), &World::settled(3).standing(2, MemberState::Join));
    assert_eq!(says(&status, MEMBERSHIP_FORMED), "False MembersMissing");
    assert_eq!(says(&status, READY), "False MembersNotReady");
}

#[test]
fn an_invalid_resource_stalls_and_keeps_what_was_known() {
    let before = status(json!({}), &World::settled(3));
    let stall = Stall { reason: "InvalidSpec", message: "spec.replicas: \"65\" is not right: must be 0 to 64".to_owned() };
    let stalled = of_invalid(stall, Some(4), &before, noon());
    assert_eq!(says(&stalled, STALLED), "True InvalidSpec");
    assert!(message(&stalled, STALLED).starts_with("spec.replicas"));
    assert_eq!(says(&stalled, READY), "False Stalled");
    assert_eq!(says(&stalled, SESSIONS_PROTECTED), "True AllCopies");
    assert_eq!((stalled.observed_generation, stalled.replicas), (Some(4), 3));
}

#[test]
fn a_view_that_is_gone_stays_in_the_status() {
    let before = status(json!({}), &World::settled(3));
    let cluster = testing::cluster(json!({}));
    let failure = Failure::Stall(Stall { reason: "ViewMissing", message: "gone".to_owned() });
    let stalled = of_failed(&cluster, &World::settled(3).without_view().survey(), &failure, &before, noon());
    assert_eq!(stalled.view, Some(ViewStatus { epoch: 7, sub: 1, copies: 1, lossy_epoch: None }));
    assert_eq!(says(&stalled, STALLED), "True ViewMissing");
    assert_eq!(says(&stalled, SESSIONS_PROTECTED), "False NoView");
}

#[test]
fn a_refused_object_is_degraded_and_tried_again() {
    let cluster = testing::cluster(json!({}));
    let failure = Failure::Problem(Problem { reason: "ApplyFailed".to_owned(), message: "StatefulSet shop: forbidden".to_owned() });
    let failed = of_failed(&cluster, &World::settled(3).survey(), &failure, &SessionClusterStatus::default(), noon());
    assert_eq!(says(&failed, DEGRADED), "True ApplyFailed");
    assert_eq!(says(&failed, READY), "False ApplyFailed");
    assert_eq!(says(&failed, RECONCILING), "True Retrying");
}

/// What CapacityForFailover says of three members with these mebibytes, and these budgets.
fn capacity(copies: u32, held: [u64; 3], budget: Option<u64>) -> SessionClusterStatus {
    let world = (0..3).zip(held).fold(World::settled(3), |world, (ordinal, held)| world.memory(ordinal, held, budget));
    status(json!({"replication": {"copies": copies}}), &world.copies(copies))
}

#[test]
fn two_of_three_carry_everything_when_it_fits_into_their_budgets() {
    // 270 MiB of owners and copies, 135 MiB at each survivor.
    let enough = capacity(1, [90; 3], Some(150));
    assert_eq!(says(&enough, CAPACITY_FOR_FAILOVER), "True Enough");
    assert_eq!(message(&enough, CAPACITY_FOR_FAILOVER), "without one member, the other 2 would hold about 135Mi each, of 135Mi");
    let little = capacity(1, [90, 90, 96], Some(150));
    assert_eq!(says(&little, CAPACITY_FOR_FAILOVER), "False TooLittle");
    let advice =
        "without one member, the other 2 would hold about 138Mi each, of 135Mi: scale up, or raise spec.runtime.resources.limits.memory";
    assert_eq!(message(&little, CAPACITY_FOR_FAILOVER), advice);
}

#[test]
fn where_everybody_has_a_copy_already_a_loss_takes_no_more_memory() {
    assert_eq!(says(&capacity(2, [130; 3], Some(150)), CAPACITY_FOR_FAILOVER), "True Enough");
    assert_eq!(says(&capacity(0, [130; 3], Some(150)), CAPACITY_FOR_FAILOVER), "False TooLittle");
}

#[test]
fn without_limits_or_reports_nobody_knows() {
    let none = capacity(1, [90; 3], None);
    assert_eq!(says(&none, CAPACITY_FOR_FAILOVER), "Unknown NoLimit");
    let of_runtimes = "these members have no limit of memory (spec.runtime.resources.limits.memory): shop-0, shop-1, shop-2";
    assert_eq!(message(&none, CAPACITY_FOR_FAILOVER), of_runtimes);
    let world = (0..3).fold(World::settled(3), |world, ordinal| world.memory(ordinal, 90, None));
    let inside = status(json!({"workload": {"app": {"member": "InProcess"}}}), &world);
    let of_applications = "these members have no limit of memory (spec.workload.app.resources.limits.memory): shop-0, shop-1, shop-2";
    assert_eq!(message(&inside, CAPACITY_FOR_FAILOVER), of_applications);
    let silent = status(json!({}), &World::settled(3).memory(0, 1, Some(100)).memory(2, 1, Some(100)));
    assert_eq!(says(&silent, CAPACITY_FOR_FAILOVER), "Unknown NotReported");
    assert_eq!(message(&silent, CAPACITY_FOR_FAILOVER), "these members do not say what they hold: shop-1");
    assert_eq!(says(&status(json!({}), &World::settled(3).without_view()), CAPACITY_FOR_FAILOVER), "Unknown NoView");
    assert_eq!(says(&status(json!({}), &World::settled(1).memory(0, 1, Some(100))), CAPACITY_FOR_FAILOVER), "False SingleMember");
}
