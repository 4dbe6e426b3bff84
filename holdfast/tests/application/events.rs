//! What is told of sessions and of the cluster.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use holdfast::{Event, Events};
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::{sleep, timeout};
use tower_sessions::SessionStore;
use tower_sessions::cookie::time::{Duration as Span, OffsetDateTime};
use tower_sessions::session::{Id, Record};

use crate::world::{Browser, World};

async fn next(events: &mut Events) -> Event {
    timeout(Duration::from_secs(10), events.next()).await.expect("in time").expect("the member lives")
}

/// What has been told so far.
fn told(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| events.next().now_or_never().flatten()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_session_is_told_where_it_happens() {
    let world = World::start().await;
    let (mut here, mut elsewhere) = (world.store(0).events(), world.store(1).events());
    let browser = Browser::new();
    let id = || browser.id().expect("a session").parse::<Id>().expect("an id");
    browser.add(&world, 0, "tea").await;
    let first = id();
    assert_eq!(next(&mut here).await, Event::Created { id: first });
    assert_eq!(browser.post(&world, 0, "/renew").await, StatusCode::OK);
    let second = id();
    assert_eq!(next(&mut here).await, Event::IdChanged { from: first, to: second });
    assert_eq!(browser.post(&world, 0, "/login/ann").await, StatusCode::OK);
    let third = id();
    assert_eq!(next(&mut here).await, Event::IdChanged { from: second, to: third });
    assert_eq!(browser.post(&world, 0, "/logout").await, StatusCode::OK);
    assert_eq!(next(&mut here).await, Event::Destroyed { id: third });
    assert_eq!(told(&mut elsewhere), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_sessions_time_is_told_once_in_the_cluster() {
    let world = World::start().await;
    let mut all: Vec<Events> = (0..3).map(|ordinal| world.store(ordinal).events()).collect();
    let mut ids = Vec::new();
    for n in 0..20 {
        let data = [("n".to_owned(), json!(n))].into_iter().collect();
        let mut record = Record { id: Id::default(), data, expiry_date: OffsetDateTime::now_utc() + Span::milliseconds(300) };
        world.store((n % 3) as u8).create(&mut record).await.expect("stored");
        ids.push(record.id);
    }
    sleep(Duration::from_secs(2)).await;
    let is_end = |event: &Event| matches!(event, Event::Expired { .. });
    let mut ended: Vec<Id> = all
        .iter_mut()
        .flat_map(told)
        .filter(is_end)
        .map(|event| match event {
            Event::Expired { id } => id,
            _ => unreachable!("filtered"),
        })
        .collect();
    ended.sort_unstable_by_key(|id| id.0);
    ids.sort_unstable_by_key(|id| id.0);
    assert_eq!(ended, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failure_of_a_member_is_told_to_the_others_and_that_all_is_protected_again() {
    let mut world = World::start().await;
    let browser = Browser::new();
    browser.add(&world, 2, "tea").await;
    let mut events = world.store(0).events();
    world.kill(2);
    let mut seen = Vec::new();
    loop {
        let event = next(&mut events).await;
        let is_over = matches!(event, Event::Protected { .. });
        seen.push(event);
        if is_over {
            break;
        }
    }
    let Event::ViewChanged { epoch, members } = &seen[0] else { panic!("{seen:?}") };
    assert_eq!(*members, ["shop-0", "shop-1"]);
    assert_eq!(
        seen[1..],
        [Event::MemberLeft { name: "shop-2".to_owned() }, Event::Unprotected { epoch: *epoch }, Event::Protected { epoch: *epoch },]
    );
    assert_eq!(browser.cart(&world, 0).await, ["tea"]);
}
