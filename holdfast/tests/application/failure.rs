//! Members that fail and members that leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdfast::LeaveError;
use tokio::time::{Instant, sleep};

use crate::world::{Browser, World};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_survive_the_member_that_owned_them() {
    let mut world = World::start().await;
    let browsers: Vec<Browser> = (0..30).map(|_| Browser::new()).collect();
    for (n, browser) in browsers.iter().enumerate() {
        browser.add(&world, 1, &format!("item-{n}")).await;
    }
    assert_eq!(world.owner(&browsers[0]).await, 1);
    world.kill(1);
    let start = Instant::now();
    for (n, browser) in browsers.iter().enumerate() {
        assert_eq!(browser.cart(&world, if n % 2 == 0 { 0 } else { 2 }).await, [format!("item-{n}")]);
    }
    println!("all carts were there after {:?}", start.elapsed());
    world.settled(2).await;
    for browser in &browsers {
        browser.add(&world, 2, "more").await;
        assert_eq!(browser.cart(&world, 0).await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_leaves_hands_everything_over_first() {
    let mut world = World::start().await;
    let browsers: Vec<Browser> = (0..20).map(|_| Browser::new()).collect();
    for browser in &browsers {
        browser.add(&world, 0, "tea").await;
    }
    let leaving = world.members.get_mut(&0).expect("runs");
    leaving.member.drain().await.expect("drained");
    assert_eq!(leaving.member.status().owned, 0);
    assert_eq!(browsers[0].cart(&world, 0).await, ["tea"], "what still arrives is forwarded");
    world.leave(0).await.expect("left in order");
    for browser in &browsers {
        assert_eq!(browser.cart(&world, 2).await, ["tea"]);
    }
    world.settled(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_member_leaves_with_its_sessions() {
    let mut world = World::start().await;
    for ordinal in 0..3 {
        world.leave(ordinal).await.expect("left in order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_cannot_end_says_what_is_left() {
    let mut world = World::start().await;
    Browser::new().add(&world, 0, "tea").await;
    world.arbiter().set_away(true);
    let error = world.leave(0).await.expect_err("nobody can leave without the register");
    assert!(matches!(error, LeaveError::NotDrained { .. }), "{error}");
}

/// Handlers that never give their threads back must not make the others think that this member is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_keeps_its_threads_does_not_stop_its_member() {
    let world = World::start().await;
    let epoch = world.members[&1].member.status().epoch();
    let is_over = Arc::new(AtomicBool::new(false));
    for _ in 0..2 {
        let is_over = is_over.clone();
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }
    // Twice the time after which a silent member is suspected, on a thread that is not one of the application's.
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1500));
        is_over.store(true, Ordering::Relaxed);
    });
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.members[&1].member.status().epoch(), epoch, "nobody was thrown out");
}
