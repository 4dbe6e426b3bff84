//! Requests that must not run twice: they are sent on where nothing was sent, and else their outcome is said to be unknown.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::member::Death;
use crate::world::World;

/// Users who add one thing after the other, each with an id of its own, while something happens to the members; what was acknowledged was done
/// exactly once, nothing was done twice, and what failed says so.
async fn adding(world: &World, users: usize, pause: u64, happens: impl AsyncFnOnce(&World)) -> usize {
    let stop = Arc::new(AtomicBool::new(false));
    let mut crowd = JoinSet::new();
    for number in 0..users {
        let (stop, mut user) = (stop.clone(), world.user());
        crowd.spawn(async move {
            let mut results = Vec::new();
            while !stop.load(SeqCst) {
                let id = format!("{number}-{}", results.len());
                let answer = user.try_ask(http::Method::POST, &format!("/add?{id}"), "x").await;
                results.push((id, answer));
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            results
        });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    happens(world).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, SeqCst);
    let results: Vec<_> = crowd.join_all().await.into_iter().flatten().collect();

    let executed: Vec<String> = world.members.iter().flat_map(|member| member.executed()).collect();
    let once: BTreeSet<&String> = executed.iter().collect();
    assert_eq!(once.len(), executed.len(), "something was done twice");
    let mut failed = 0;
    for (id, answer) in &results {
        let answer = answer.as_ref().expect("an answer, whatever it says");
        if answer.status == 200 {
            assert!(once.contains(id), "{id} was acknowledged and not done");
        } else {
            failed += 1;
            assert_eq!(answer.error(), "in-flight", "{answer:?}");
            assert!(matches!(answer.status, 502 | 504), "{answer:?}");
        }
    }
    assert!(results.len() > users * 5, "{}", results.len());
    failed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_killed_under_load_fails_at_most_what_it_had() {
    for death in [Death::Reset, Death::End] {
        let world = World::start(3).await;
        let failed = adding(&world, 30, 1, async |world| world.members[0].kill(death)).await;
        // Each user has one request in flight, and about a third of the users is there.
        assert!(failed <= 20, "{failed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_closes_idle_connections_without_a_word_loses_nothing() {
    let world = World::start(2).await;
    for member in &world.members {
        member.make_hasty();
    }
    // The member ends each connection 3 ms after a response: long before the next request.
    let failed = adding(&world, 1, 30, async |_| tokio::time::sleep(Duration::from_millis(500)).await).await;
    assert_eq!(failed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_on_a_killed_member_is_not_repeated() {
    let world = World::start(2).await;
    let mut user = world.user_of("shop-0");
    let waiting = tokio::spawn(async move { user.post("/hang", "x").await });
    while world.members[0].asked().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.members[0].kill(Death::Reset);
    let answer = waiting.await.expect("no panic");
    assert_eq!((answer.status, answer.error()), (502, "in-flight"));
    assert!(world.members[1].asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_member_that_is_cut_off_a_safe_request_is_repeated_and_another_is_given_up() {
    let world = World::start(2).await;
    let (mut safe, mut other) = (world.user_of("shop-0"), world.user_of("shop-0"));
    let safe = tokio::spawn(async move { (safe.get("/slow?300").await, safe) });
    let other = tokio::spawn(async move { other.post("/slow?300", "x").await });
    while world.members[0].asked().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start = Instant::now();
    world.members[0].cut_off().await;
    let (answer, user) = safe.await.expect("no panic");
    assert_eq!((answer.status, answer.member(), user.route()), (200, "shop-1", Some("shop-1")));
    let answer = other.await.expect("no panic");
    assert_eq!((answer.status, answer.error()), (504, "in-flight"));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(world.members[1].asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_cut_off_takes_few_requests_with_it() {
    let world = World::start(3).await;
    let failed = adding(&world, 30, 1, async |world| {
        world.members[1].cut_off().await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
    })
    .await;
    assert!(failed <= 20, "{failed}");
    let table = world.door.table().await;
    assert!(table.row("shop-1").ejected || table.tier("shop-1") == "Spare", "{table:?}");
    let start = Instant::now();
    assert_eq!(world.user_of("shop-1").post("/add?later", "").await.status, 200);
    assert!(start.elapsed() < Duration::from_millis(250), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_with_a_small_body_is_sent_again_whole() {
    let world = World::start(2).await;
    let mut user = world.user_of("shop-0");
    let waiting = tokio::spawn(async move { user.try_ask(http::Method::PUT, "/slow?100", "the whole body").await });
    while world.members[0].asked().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.members[0].kill(Death::Reset);
    let answer = waiting.await.expect("no panic").expect("an answer");
    assert_eq!((answer.status, answer.member()), (200, "shop-1"));
    assert_eq!(world.members[1].last().body, "the whole body");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_for_bodies_that_are_kept_comes_back() {
    let limits = holdfast_gateway::limits::Limits { replay_total: 64 * 1024, ..crate::world::limits() };
    let world = World::with(2, limits).await;
    const BODY: &str = match std::str::from_utf8(&[b'x'; 60_000]) {
        Ok(body) => body,
        Err(_) => "",
    };
    let mut user = world.user_of("shop-0");
    for _ in 0..20 {
        assert_eq!(user.try_ask(http::Method::PUT, "/", BODY).await.expect("an answer").status, 200);
        assert_eq!(user.get("/big?60000").await.body.len(), 60_000);
    }
    let asked = world.members[0].asked().len();
    let waiting = tokio::spawn(async move { user.try_ask(http::Method::PUT, "/slow?100", BODY).await });
    while world.members[0].asked().len() == asked {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.members[0].kill(Death::Reset);
    let answer = waiting.await.expect("no panic").expect("an answer");
    assert_eq!((answer.status, world.members[1].last().body.len()), (200, 60_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_an_application_whose_runtime_died_is_marked() {
    let world = World::start(2).await;
    let mut user = world.user_of("shop-0");
    let waiting = tokio::spawn(async move { user.post("/slow?150", "x").await });
    while world.members[0].asked().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.members[0].break_app(true);
    world.members[0].kill_runtime();
    let answer = waiting.await.expect("no panic");
    assert_eq!((answer.status, answer.error(), answer.member()), (500, "in-flight", "shop-0"));
    // An application that errs of itself is passed on as it is.
    world.members[1].break_app(true);
    let answer = world.user_of("shop-1").get("/").await;
    assert_eq!((answer.status, answer.error(), answer.member()), (500, "", "shop-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_its_request_at_the_member() {
    let world = World::start(1).await;
    let mut user = world.user();
    let waiting = tokio::spawn(async move { user.get("/hang").await });
    let app = world.members[0].app();
    while app.asked.lock().expect("lock").is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.door.table().await.row("shop-0").outstanding, 1);
    waiting.abort();
    world.until(|table| table.row("shop-0").outstanding == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_that_comes_just_when_its_connection_ends_is_answered() {
    let world = World::start(2).await;
    for member in &world.members {
        member.make_hasty();
    }
    // Some are lost in the race that no proxy can win, and say so; none hangs, and none is done twice.
    adding(&world, 20, 5, async |_| tokio::time::sleep(Duration::from_secs(1)).await).await;
}
