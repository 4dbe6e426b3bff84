//! The store as tower-sessions uses it.

use std::time::Duration;

use holdfast::{SettingError, Store, StoreError};
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::sleep;
use tower_sessions::SessionStore;
use tower_sessions::cookie::time::{Duration as Span, OffsetDateTime};
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::Error;

use crate::world::{Browser, World};

fn record(value: &str) -> Record {
    let data = [("name".to_owned(), json!(value))].into_iter().collect();
    Record { id: Id::default(), data, expiry_date: OffsetDateTime::now_utc() + Span::minutes(10) }
}

fn text(record: &Option<Record>) -> Option<&str> {
    record.as_ref()?.data["name"].as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_the_same_at_every_member() {
    let world = World::start().await;
    let browser = Browser::new();
    for (ordinal, item) in ["tea", "milk", "sugar"].into_iter().enumerate() {
        browser.add(&world, ordinal as u8, item).await;
    }
    for ordinal in 0..3 {
        assert_eq!(browser.cart(&world, ordinal).await, ["tea", "milk", "sugar"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_session_comes_back_whole_and_with_its_time() {
    let world = World::start().await;
    let mut ours = record("mine");
    world.store(0).create(&mut ours).await.expect("stored");
    let loaded = world.store(2).load(&ours.id).await.expect("asked").expect("there");
    assert_eq!((loaded.id, &loaded.data), (ours.id, &ours.data));
    assert!((loaded.expiry_date - ours.expiry_date).abs() < Span::seconds(2), "{} and {}", loaded.expiry_date, ours.expiry_date);
    world.store(1).delete(&ours.id).await.expect("deleted");
    assert_eq!(world.store(0).load(&ours.id).await.expect("asked"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_taken_is_drawn_again() {
    let world = World::start().await;
    let (mut first, mut second) = (record("first"), record("second"));
    second.id = first.id;
    world.store(0).create(&mut first).await.expect("stored");
    world.store(1).create(&mut second).await.expect("stored");
    assert_ne!(first.id, second.id);
    assert_eq!(text(&world.store(2).load(&first.id).await.expect("asked")), Some("first"));
    assert_eq!(text(&world.store(2).load(&second.id).await.expect("asked")), Some("second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_does_not_make_a_deleted_session_anew_and_says_so() {
    let world = World::start().await;
    let mut ours = record("mine");
    world.store(0).create(&mut ours).await.expect("stored");
    world.store(1).delete(&ours.id).await.expect("deleted");
    let error = world.store(0).save(&ours).await.expect_err("gone");
    assert!(matches!(&error, Error::Backend(text) if *text == StoreError::Gone.to_string()), "{error}");
    assert_eq!(world.store(0).load(&ours.id).await.expect("asked"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_with_other_prefixes_do_not_see_each_other() {
    let world = World::start().await;
    let (shop, forum) = (world.store(0).with_prefix("shop:"), world.store(0).with_prefix("forum:"));
    let mut ours = record("mine");
    shop.create(&mut ours).await.expect("stored");
    assert_eq!(forum.load(&ours.id).await.expect("asked"), None);
    assert!(shop.load(&ours.id).await.expect("asked").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_and_nothing_of_it_is_stored() {
    let world = World::start().await;
    let mut huge = record(&"x".repeat(2 << 20));
    let error = world.store(0).create(&mut huge).await.expect_err("too large").to_string();
    assert!(error.starts_with("failed to save a session:") && error.contains("maxBytes"), "{error}");
    assert!(!error.contains(&huge.id.to_string()), "an id is a secret");
    assert_eq!(world.store(0).load(&huge.id).await.expect("asked"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_time() {
    let world = World::start().await;
    let mut ours = record("mine");
    ours.expiry_date = OffsetDateTime::now_utc() + Span::milliseconds(300);
    world.store(0).create(&mut ours).await.expect("stored");
    assert!(world.store(1).load(&ours.id).await.expect("asked").is_some());
    sleep(Duration::from_millis(400)).await;
    assert_eq!(world.store(1).load(&ours.id).await.expect("asked"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_the_session_at_all_members() {
    let world = World::start().await;
    let browser = Browser::new();
    browser.add(&world, 0, "tea").await;
    assert_eq!(browser.post(&world, 0, "/login/ann").await, StatusCode::OK);
    let thief = browser.copy();
    assert_eq!(browser.get(&world, 1, "/me").await.text().await.expect("text"), r#"{"name":"ann","roles":["customer"]}"#);
    assert_eq!(browser.post(&world, 2, "/logout").await, StatusCode::OK);
    assert_eq!(browser.id(), None, "the cookie is gone");
    for ordinal in 0..3 {
        assert_eq!(thief.get(&world, ordinal, "/me").await.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grace_that_is_too_long_is_refused() {
    let world = World::start().await;
    let refused: Result<Store, SettingError> = world.store(0).with_id_grace(Duration::from_secs(301));
    assert_eq!(refused.expect_err("too long").to_string(), "the grace of an id of 301s is not right: it must be at most 300s");
}
