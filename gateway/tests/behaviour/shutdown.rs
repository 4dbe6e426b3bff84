//! The end of a gateway: nobody's request is lost on the way.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_finished_and_nothing_new_is_accepted() {
    let mut world = World::start(1).await;
    let (mut running, mut resting) = (world.user(), world.user());
    resting.get("/").await;
    let running = tokio::spawn(async move { running.get("/slow?600").await });
    while world.members[0].asked().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.door.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;

    // For a moment others still come, are served, and are asked to go elsewhere.
    let answer = world.user().get("/").await;
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    let answer = resting.get("/").await;
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));

    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(TcpStream::connect(world.door.addr).await.is_err(), "no longer listening");
    let answer = running.await.expect("no panic");
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    let server = world.door.server.take().expect("started");
    tokio::time::timeout(Duration::from_secs(1), server).await.expect("it ends with the last response").expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_is_cut_in_the_end() {
    let mut world = World::start(1).await;
    let mut user = world.user();
    let hanging = tokio::spawn(async move { user.try_ask(http::Method::GET, "/hang", "").await });
    while world.members[0].asked().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.door.shutdown.cancel();
    let server = world.door.server.take().expect("started");
    tokio::time::timeout(Duration::from_secs(5), server).await.expect("it ends").expect("no panic");
    assert!(hanging.await.expect("no panic").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_a_gateway_that_ends_change_to_another_without_a_failure() {
    let world = World::start(2).await;
    let other = world.another_door().await;
    let (first, second, shutdown) = (world.door.addr, other.addr, world.door.shutdown.clone());
    let mut users = tokio::task::JoinSet::new();
    for _ in 0..20 {
        users.spawn(async move {
            // As through a Service: a new connection goes to a gateway that still listens.
            let (mut user, mut moved) = (crate::client::User::new(first), false);
            for _ in 0..150 {
                let answer = user.try_ask(http::Method::GET, "/", "").await.expect("no failure");
                assert_eq!(answer.status, 200);
                if answer.header("connection") == "close" && !moved {
                    moved = true;
                    let cookies = std::mem::take(&mut user.cookies);
                    user = crate::client::User::new(second);
                    user.cookies = cookies;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            moved
        });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    shutdown.cancel();
    assert!(users.join_all().await.into_iter().all(|moved| moved));
}
