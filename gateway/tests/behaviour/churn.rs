//! Members that die, refuse, drain and come back, while users go on: none of their safe requests fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::{Answer, User};
use crate::member::Death;
use crate::world::{World, endpoint};

/// Users who ask one thing after the other, until they are told to stop.
struct Crowd {
    stop: Arc<AtomicBool>,
    users: JoinSet<Vec<Result<Answer, String>>>,
}

impl Crowd {
    fn gather(world: &World, users: usize, path: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut crowd = JoinSet::new();
        for _ in 0..users {
            let (stop, mut user) = (stop.clone(), world.user());
            crowd.spawn(async move {
                let mut answers = Vec::new();
                while !stop.load(SeqCst) {
                    answers.push(user.try_ask(http::Method::GET, path, "").await);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                answers
            });
        }
        Self { stop, users: crowd }
    }

    async fn disperse(self) -> Vec<Vec<Answer>> {
        self.stop.store(true, SeqCst);
        let all = self.users.join_all().await;
        let failed: Vec<_> =
            all.iter().flatten().filter(|answer| answer.as_ref().map_or(true, |answer| answer.status != 200)).take(5).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        all.into_iter().map(|answers| answers.into_iter().map(|answer| answer.expect("no failure")).collect()).collect()
    }
}

/// The members that served a user, in order, each once for each stay.
fn stays(answers: &[Answer]) -> Vec<String> {
    let mut stays: Vec<String> = answers.iter().map(|answer| answer.member().to_owned()).collect();
    stays.dedup();
    stays
}

async fn a_member_dies_under_load(death: Death, path: &'static str) {
    let world = World::start(3).await;
    let crowd = Crowd::gather(&world, 40, path);
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.members[1].kill(death);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut moved = 0;
    for answers in crowd.disperse().await {
        let stays = stays(&answers);
        match stays.iter().position(|member| member == "shop-1") {
            None => assert_eq!(stays.len(), 1, "nobody else moves: {stays:?}"),
            Some(0) => {
                assert_eq!(stays.len(), 2, "who moves, moves once: {stays:?}");
                moved += 1;
            }
            Some(_) => panic!("nobody moves to a dead member: {stays:?}"),
        }
        // The route is renewed in the first response of the new member, and only there.
        let renewed = answers.iter().filter(|answer| !answer.set_cookies().is_empty()).count();
        assert_eq!(renewed, stays.len());
    }
    assert!(moved > 5, "{moved}");
    let table = world.until(|table| table.members.iter().all(|row| row.outstanding == 0)).await;
    assert!(table.row("shop-1").ejected || table.tier("shop-1") == "Spare");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_killed_with_resets_fails_no_safe_request() {
    a_member_dies_under_load(Death::Reset, "/slow?3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_killed_with_ends_of_streams_fails_no_safe_request() {
    a_member_dies_under_load(Death::End, "/").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_of_some_length_are_whole_or_asked_for_again() {
    a_member_dies_under_load(Death::Reset, "/big?60000").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_restarts_alone_loses_its_users_and_gets_new_ones_again() {
    let world = World::start(2).await;
    let mut user = world.user_of("shop-0");
    assert_eq!(user.get("/").await.member(), "shop-0");
    world.members[0].kill_app(Death::Reset);
    let answer = user.get("/").await;
    assert_eq!((answer.status, answer.member()), (200, "shop-1"));
    assert_eq!(user.route(), Some("shop-1"));
    assert!(world.door.table().await.row("shop-0").ejected);

    world.members[0].start_app().await;
    world.until(|table| table.tier("shop-0") == "Open").await;
    assert_eq!(user.get("/").await.member(), "shop-1", "who moved stays where they are");
    assert_eq!(world.user_of("shop-0").get("/").await.member(), "shop-0");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_an_application_whose_runtime_died_are_not_shown_where_another_can_answer() {
    let world = World::start(3).await;
    let crowd = Crowd::gather(&world, 30, "/slow?2");
    tokio::time::sleep(Duration::from_millis(200)).await;
    // The runtime is killed, and the application answers errors from that moment on.
    world.members[2].break_app(true);
    world.members[2].kill_runtime();
    tokio::time::sleep(Duration::from_millis(400)).await;
    crowd.disperse().await;
    assert_eq!(world.door.table().await.tier("shop-2"), "Spare");

    world.members[2].break_app(false);
    world.members[2].start_runtime().await;
    world.until(|table| table.tier("shop-2") == "Open").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_member_keeps_its_users_until_it_is_drained() {
    let world = World::start(3).await;
    let mut users: Vec<User> = (0..10).map(|_| world.user_of("shop-2")).collect();
    world.members[2].say("Draining");
    // Its pod terminates, and no longer passes its probes.
    let mut endpoints: Vec<_> = world.members.iter().map(|member| endpoint(member)).collect();
    (endpoints[2].ready, endpoints[2].serving, endpoints[2].terminating) = (false, false, true);
    world.door.list(&endpoints).await;
    world.until(|table| table.tier("shop-2") == "Bound").await;
    for user in &mut users {
        let answer = user.get("/").await;
        assert_eq!((answer.member(), answer.set_cookies()), ("shop-2", vec![]));
        assert_ne!(world.user().get("/").await.member(), "shop-2");
    }

    world.members[2].say("Drained");
    world.until(|table| table.tier("shop-2") == "Spare").await;
    for user in &mut users {
        let answer = user.get("/").await;
        assert_ne!(answer.member(), "shop-2");
        assert_eq!(user.route(), Some(answer.member()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_while_all_members_refuse_for_an_instant() {
    let world = World::start(2).await;
    for member in &world.members {
        member.kill(Death::Reset);
    }
    let mut waiting = JoinSet::new();
    for number in 0..20 {
        let mut user = world.user_of("shop-0");
        waiting.spawn(async move {
            let method = if number % 2 == 0 { http::Method::GET } else { http::Method::POST };
            user.try_ask(method, "/add?1", "").await
        });
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(waiting.try_join_next().is_none(), "nobody is answered yet");
    world.members[1].start_app().await;
    world.members[1].start_runtime().await;
    for answer in waiting.join_all().await {
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.member()), (200, "shop-1"));
    }
    assert_eq!(world.members[1].executed().len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waited_in_vain_is_told_why() {
    let world = World::start(1).await;
    world.members[0].kill(Death::Reset);
    let start = Instant::now();
    let answer = world.user().post("/add?1", "").await;
    assert_eq!((answer.status, answer.error(), answer.header("retry-after")), (503, "unsent", "1"));
    assert!(start.elapsed() > Duration::from_millis(1900));

    let empty = World::start(0).await;
    let answer = empty.user().get("/").await;
    assert_eq!((answer.status, answer.error()), (503, "no-member"));
    assert!(String::from_utf8_lossy(&answer.body).contains("no member"));
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_out_moves_nobody_and_scaling_in_moves_each_once() {
    let world = World::start(5).await;
    let listed = |count: usize| world.members[..count].iter().map(|member| endpoint(member)).collect::<Vec<_>>();
    for gone in 3..5 {
        world.members[gone].kill(Death::End);
    }
    world.door.list(&listed(3)).await;
    world.until(|table| table.members.len() == 3).await;
    let crowd = Crowd::gather(&world, 30, "/");
    tokio::time::sleep(Duration::from_millis(200)).await;
    for new in 3..5 {
        world.members[new].start_app().await;
        world.members[new].start_runtime().await;
    }
    world.door.list(&listed(5)).await;
    world.until(|table| table.members.iter().all(|row| row.tier == "Open") && table.members.len() == 5).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Down to two, one member after the other, each drained before it ends.
    for count in (2..5).rev() {
        world.members[count].say("Draining");
        world.until(|table| table.tier(&format!("shop-{count}")) == "Bound").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.members[count].say("Drained");
        world.until(|table| table.tier(&format!("shop-{count}")) == "Spare").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.members[count].kill(Death::End);
        world.door.list(&listed(count)).await;
        world.until(|table| table.members.len() == count).await;
    }
    let mut counts = BTreeMap::new();
    for answers in crowd.disperse().await {
        let stays = stays(&answers);
        let firsts: std::collections::BTreeSet<_> = stays.iter().collect();
        assert_eq!(firsts.len(), stays.len(), "nobody comes back or moves without need: {stays:?}");
        *counts.entry(stays.last().cloned()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 2, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_end_just_when_a_request_comes_fail_no_safe_request() {
    let world = World::start(2).await;
    for member in &world.members {
        member.make_hasty();
    }
    let crowd = Crowd::gather(&world, 30, "/slow?1");
    tokio::time::sleep(Duration::from_millis(800)).await;
    for answers in crowd.disperse().await {
        assert_eq!(stays(&answers).len(), 1, "the member is well: nobody moves");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flapping_application_never_fails_a_safe_request() {
    let world = World::start(3).await;
    let crowd = Crowd::gather(&world, 30, "/");
    for round in 0..12 {
        let member = &world.members[round % 3];
        member.kill_app(if round % 2 == 0 { Death::Reset } else { Death::End });
        tokio::time::sleep(Duration::from_millis(40)).await;
        member.start_app().await;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    crowd.disperse().await;
}
