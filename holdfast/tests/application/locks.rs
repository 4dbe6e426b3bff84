//! The lock of a session.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::post;
use futures::future::join_all;
use holdfast::parts::Config;
use holdfast::{Fence, Lock, Member, ReplicationLayer};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use tokio::time::{Instant, sleep, timeout};
use tower_sessions::{Session, SessionManagerLayer};

use crate::world::{Browser, World};

const LEASE: Duration = Duration::from_secs(3);

/// So that half a lease is enough for a save.
fn hurried(config: &mut Config) {
    config.ack_timeout = 1500;
}

fn counting(wait: Duration) -> impl Fn(&Member) -> Router {
    move |member| {
        let store = member.store();
        let sessions = SessionManagerLayer::new(store.clone()).with_secure(false);
        let replication = ReplicationLayer::new(&store, sessions).lock(Lock::new(LEASE, wait).expect("right")).expect("long enough");
        Router::new()
            .route("/begin", post(async |session: Session| session.insert("count", 0).await.expect("loaded")))
            .route("/count/{millis}", post(count))
            .layer(replication)
    }
}

/// Reads, waits, and writes: two of these at once would count as one.
async fn count(session: Session, Fence(token): Fence, Path(millis): Path<u64>) -> String {
    let count: u32 = session.get("count").await.expect("loaded").expect("begun");
    sleep(Duration::from_millis(millis)).await;
    session.insert("count", count + 1).await.expect("loaded");
    format!("{count} {token}")
}

async fn begin(world: &World) -> Browser {
    let browser = Browser::new();
    assert_eq!(browser.post(world, 0, "/begin").await, StatusCode::OK);
    browser
}

/// What a request found, and its token.
async fn counted(browser: &Browser, world: &World, ordinal: u8, millis: u64) -> (u32, u64) {
    let response = browser.send(world, ordinal, &format!("/count/{millis}")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let text = response.text().await.expect("text");
    let (count, token) = text.split_once(' ').expect("two numbers");
    (count.parse().expect("a number"), token.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_on_one_session_take_turns_wherever_they_arrive() {
    let world = World::tuned(hurried, counting(LEASE)).await;
    let browser = begin(&world).await;
    let mut seen: Vec<(u32, u64)> = join_all((0..18).map(|n| counted(&browser, &world, n % 3, 5))).await;
    seen.sort_unstable();
    let counts: Vec<u32> = seen.iter().map(|(count, _)| *count).collect();
    assert_eq!(counts, (0..18).collect::<Vec<_>>(), "each saw what the one before had written");
    assert!(seen.is_sorted_by(|(_, before), (_, after)| before < after), "and has a higher number: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_on_other_sessions_do_not_wait() {
    let world = World::tuned(hurried, counting(LEASE)).await;
    let browsers = [begin(&world).await, begin(&world).await, begin(&world).await, begin(&world).await];
    let start = Instant::now();
    join_all(browsers.iter().map(|browser| counted(browser, &world, 0, 300))).await;
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_saves_that_was_too_slow_is_refused() {
    let world = World::tuned(hurried, counting(LEASE)).await;
    let browser = begin(&world).await;
    let (slow, next) = tokio::join!(browser.send(&world, 0, "/count/4500"), async {
        sleep(Duration::from_millis(500)).await;
        counted(&browser, &world, 1, 0).await
    });
    assert_eq!(slow.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(next.0, 0, "nothing had been written yet");
    let (count, token) = counted(&browser, &world, 2, 0).await;
    assert_eq!(count, 1, "the slow one has not written");
    assert!(token > next.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_broken_off_gives_its_lock_up() {
    let world = World::tuned(hurried, counting(LEASE)).await;
    let browser = begin(&world).await;
    assert!(timeout(Duration::from_millis(100), browser.send(&world, 0, "/count/2500")).await.is_err(), "the browser has gone away");
    let start = Instant::now();
    assert_eq!(counted(&browser, &world, 1, 0).await.0, 0);
    assert!(start.elapsed() < LEASE / 2, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_too_long_is_told_to_come_again() {
    let world = World::tuned(hurried, counting(Duration::from_millis(100))).await;
    let browser = begin(&world).await;
    let (slow, refused) = tokio::join!(counted(&browser, &world, 0, 1500), async {
        sleep(Duration::from_millis(150)).await;
        browser.send(&world, 1, "/count/0").await
    });
    assert_eq!(slow.0, 0);
    assert_eq!((refused.status(), refused.headers()[RETRY_AFTER].as_bytes()), (StatusCode::SERVICE_UNAVAILABLE, b"1".as_slice()));
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_grow_beyond_the_failure_of_the_member_that_gave_them() {
    let mut world = World::tuned(hurried, counting(LEASE)).await;
    let browser = begin(&world).await;
    let mut tokens = BTreeSet::new();
    for ordinal in [0, 1, 2] {
        tokens.insert(counted(&browser, &world, ordinal, 0).await.1);
    }
    world.kill(0);
    world.settled(2).await;
    let last = tokens.last().copied().expect("three");
    assert_eq!(tokens.len(), 3);
    assert!(counted(&browser, &world, 1, 0).await.1 > last);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_shorter_than_a_save_may_take_is_refused() {
    let member = holdfast::Loopback::new("shop").member(0).start().expect("starts");
    let lock = Lock::new(Duration::from_secs(9), Duration::from_secs(1)).expect("right by itself");
    let store = member.store();
    let error = ReplicationLayer::new(&store, ()).lock(lock).expect_err("5 s are allowed for an acknowledgement").to_string();
    assert_eq!(error, "a lease of 9s is not right: it must be at least twice the acknowledgement timeout, so 10s");
}
