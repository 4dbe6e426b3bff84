//! What a request changes, what it costs, and under which id.

use std::time::Duration;

use axum::Router;
use axum::http::HeaderName;
use axum::routing::{get, post};
use holdfast::{Attribute, Live, Member, Principal, ReplicationLayer, renew_id};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tower_sessions::cookie::time::Duration as Span;
use tower_sessions::{Expiry, Session, SessionManagerLayer, SessionStore};

use crate::world::{Browser, World};

/// Something with depth.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Plan {
    rooms: Vec<Room>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Room {
    tables: Vec<u32>,
}

impl Attribute for Plan {
    const NAME: &'static str = "plan";
}

/// How long an old id resolves here.
const GRACE: Duration = Duration::from_millis(1500);

fn plans(member: &Member) -> Router {
    let store = member.store().with_id_grace(GRACE).expect("short enough");
    let sessions = SessionManagerLayer::new(store.clone())
        .with_secure(false)
        .with_always_save(true)
        .with_expiry(Expiry::OnInactivity(Span::minutes(10)));
    let replication = ReplicationLayer::new(&store, sessions)
        .filter("/static/.*")
        .expect("an expression")
        .primary_header(HeaderName::from_static("primary"));
    Router::new()
        .route("/room", post(async |plan: Live<Plan>| plan.lock().rooms.push(Room::default())))
        .route("/table", post(add_table))
        .route("/static/table", post(add_table))
        .route("/static/logo", get(async |plan: Live<Plan>| plan.lock().rooms.len().to_string()))
        .route("/tables", get(async |plan: Live<Plan>| plan.lock().rooms.iter().map(|room| room.tables.len()).sum::<usize>().to_string()))
        .route("/renew", post(async |session: Session| renew_id(&session).await.expect("loaded")))
        .route("/renew-and-log-in", post(renew_and_log_in))
        .route("/end", post(end))
        .route("/slow", post(slow))
        .layer(replication)
}

/// A change three levels down, and nothing else.
async fn add_table(plan: Live<Plan>) {
    plan.lock().rooms[0].tables.push(4);
}

/// The old id may resolve for the one, and must not for the other.
async fn renew_and_log_in(session: Session) {
    renew_id(&session).await.expect("loaded");
    Principal::new("ann").log_in(&session).await.expect("loaded");
}

/// Asks for another id, and then ends the session after all.
async fn end(session: Session) {
    renew_id(&session).await.expect("loaded");
    session.flush().await.expect("deleted");
}

/// Loads the session, and changes it only after a while.
async fn slow(plan: Live<Plan>) {
    sleep(Duration::from_millis(300)).await;
    plan.lock().rooms[0].tables.push(2);
}

async fn tables(browser: &Browser, world: &World, ordinal: u8) -> String {
    browser.get(world, ordinal, "/tables").await.text().await.expect("text")
}

async fn begin(world: &World, ordinal: u8) -> Browser {
    let browser = Browser::new();
    assert_eq!(browser.post(world, ordinal, "/room").await, StatusCode::OK);
    browser
}

/// How many messages have been sent when no more come.
async fn messages(world: &World) -> u64 {
    loop {
        let before = world.messages().await;
        sleep(Duration::from_millis(100)).await;
        if world.messages().await == before {
            return before;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_changes_nothing_costs_no_message() {
    let world = World::with(plans).await;
    let browser = begin(&world, 0).await;
    let before = messages(&world).await;
    for _ in 0..50 {
        assert_eq!(tables(&browser, &world, 0).await, "0");
    }
    assert_eq!(messages(&world).await, before, "the session was saved 50 times, as it was");
    assert_eq!(browser.post(&world, 0, "/table").await, StatusCode::OK);
    assert!(messages(&world).await > before, "and now it has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_deep_in_a_value_is_seen_and_survives() {
    let mut world = World::with(plans).await;
    let browser = begin(&world, 0).await;
    for _ in 0..3 {
        assert_eq!(browser.post(&world, 0, "/table").await, StatusCode::OK);
    }
    world.kill(0);
    assert_eq!(tables(&browser, &world, 1).await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_a_filtered_request_is_sent_but_not_waited_for() {
    // Long enough for a request by a member that has just lost the others.
    let mut world = World::tuned(|config| config.failure_timeout = 3000, plans).await;
    let browser = begin(&world, 0).await;
    assert_eq!(browser.post(&world, 0, "/static/table").await, StatusCode::OK);
    messages(&world).await;
    assert_eq!(tables(&browser, &world, 2).await, "1", "it has come through");

    let browser = begin(&world, 0).await;
    world.arbiter().set_away(true);
    world.kill(1);
    world.kill(2);
    let start = Instant::now();
    assert_eq!(browser.post(&world, 0, "/static/table").await, StatusCode::OK);
    assert!(start.elapsed() < Duration::from_secs(2), "it waited for {:?}", start.elapsed());
    assert_eq!(browser.post(&world, 0, "/table").await, StatusCode::INTERNAL_SERVER_ERROR, "this one has to wait, and nobody answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_request_does_not_prolong_a_session() {
    let world = World::with(plans).await;
    let browser = begin(&world, 0).await;
    let (store, id) = (world.store(0), browser.id().expect("a session").parse().expect("an id"));
    let ends = async || store.load(&id).await.expect("asked").expect("there").expiry_date;
    let first = ends().await;
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(browser.get(&world, 0, "/static/logo").await.text().await.expect("text"), "1");
    assert!(ends().await - first < Span::milliseconds(750));
    assert_eq!(tables(&browser, &world, 0).await, "0");
    assert!(ends().await - first > Span::milliseconds(750));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_indicator_says_who_owned_the_session_before_the_request() {
    let world = World::with(plans).await;
    let browser = Browser::new();
    let primary = async |ordinal| browser.get(&world, ordinal, "/tables").await.headers().get("primary").cloned();
    assert_eq!(primary(0).await, None, "there is no session");
    assert_eq!(browser.post(&world, 0, "/room").await, StatusCode::OK);
    assert_eq!(primary(0).await.expect("said"), "true");
    assert_eq!(primary(1).await.expect("said"), "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_id_resolves_for_a_while_and_the_first_reply_brings_the_new_one() {
    let world = World::with(plans).await;
    let browser = begin(&world, 0).await;
    let (second, late) = (browser.copy(), browser.copy());
    let old = browser.id();
    assert_eq!(browser.post(&world, 0, "/renew").await, StatusCode::OK);
    let new = browser.id();
    assert_ne!(old, new);

    assert_eq!(second.post(&world, 1, "/table").await, StatusCode::OK);
    assert_eq!(second.id(), new, "the reply brought it");
    assert_eq!(tables(&browser, &world, 2).await, "1", "it is one session");
    sleep(GRACE + Duration::from_millis(100)).await;
    assert_eq!(tables(&late, &world, 0).await, "0", "the old id is nobody's any more");
    assert_eq!(tables(&second, &world, 1).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_had_begun_under_the_old_id_saves_under_the_new_one() {
    let world = World::with(plans).await;
    let browser = begin(&world, 0).await;
    let before = browser.copy();
    let (slow, _) = tokio::join!(before.post(&world, 0, "/slow"), async {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(browser.post(&world, 0, "/renew").await, StatusCode::OK);
    });
    assert_eq!(slow, StatusCode::OK);
    assert_eq!(tables(&browser, &world, 1).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_can_change_several_times_within_the_grace() {
    let world = World::with(plans).await;
    let browser = begin(&world, 0).await;
    let old = browser.copy();
    for ordinal in 0..3 {
        assert_eq!(browser.post(&world, ordinal, "/renew").await, StatusCode::OK);
    }
    assert_eq!(old.post(&world, 0, "/table").await, StatusCode::OK);
    assert_eq!((old.id(), tables(&browser, &world, 1).await.as_str()), (browser.id(), "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_while_its_id_changes_is_gone_under_both() {
    let world = World::with(plans).await;
    let browser = begin(&world, 0).await;
    let (old, store) = (browser.id().expect("a session").parse().expect("an id"), world.store(1));
    assert_eq!(browser.post(&world, 0, "/end").await, StatusCode::OK);
    assert_eq!((browser.id(), store.load(&old).await.expect("asked")), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_with_the_old_id_ends_the_session() {
    let world = World::start().await;
    let browser = Browser::new();
    browser.add(&world, 0, "tea").await;
    let old = browser.copy();
    assert_eq!(browser.post(&world, 0, "/renew").await, StatusCode::OK);
    assert_eq!(old.post(&world, 1, "/logout").await, StatusCode::OK);
    assert!(browser.cart(&world, 2).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_ends_the_old_id_at_once() {
    let world = World::start().await;
    let browser = Browser::new();
    browser.add(&world, 0, "tea").await;
    let thief = browser.copy();
    assert_eq!(browser.post(&world, 0, "/login/ann").await, StatusCode::OK);
    assert_eq!(browser.cart(&world, 1).await, ["tea"]);
    assert!(thief.cart(&world, 0).await.is_empty());
    assert_eq!(thief.get(&world, 0, "/me").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_ends_the_old_id_even_if_it_was_to_resolve() {
    let world = World::with(plans).await;
    let browser = begin(&world, 0).await;
    let (thief, old) = (browser.copy(), browser.id());
    assert_eq!(browser.post(&world, 0, "/table").await, StatusCode::OK);
    assert_eq!(browser.post(&world, 0, "/renew-and-log-in").await, StatusCode::OK);
    assert_ne!(browser.id(), old);
    assert_eq!((tables(&browser, &world, 1).await, tables(&thief, &world, 1).await), ("1".to_owned(), "0".to_owned()));
}
