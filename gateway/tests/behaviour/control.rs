//! What the control streams change: proof of identity, news of trouble, and nothing worse than before where they do not work.

use std::time::Duration;

use crate::member::Death;
use crate::world::{World, endpoint};

#[tokio::test(flavor = "multi_thread")]
async fn another_pod_at_a_members_address_is_not_used() {
    let world = World::start(2).await;
    // The member's pod is gone, another got its address, and the EndpointSlices do not know yet.
    world.members[0].kill(Death::Reset);
    *world.members[0].uid.lock().expect("lock") = "uid-of-another".to_owned();
    let mut endpoints: Vec<_> = world.members.iter().map(|member| endpoint(member)).collect();
    endpoints[0].uid = "uid-of-shop-0".to_owned();
    world.door.list(&endpoints).await;
    world.members[0].start_app().await;
    world.members[0].start_runtime().await;
    world.until(|table| table.row("shop-0").control == "Stranger").await;
    let asked = world.members[0].asked().len();
    for _ in 0..20 {
        assert_eq!(world.user_of("shop-0").get("/").await.member(), "shop-1");
        assert_eq!(world.user().get("/").await.member(), "shop-1");
    }
    assert_eq!(world.members[0].asked().len(), asked);

    // Once they know, the new pod is a member like any other.
    world.list_all().await;
    world.until(|table| table.tier("shop-0") == "Open").await;
    assert_eq!(world.user_of("shop-0").get("/").await.member(), "shop-0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_without_its_member_moves_nobody() {
    let world = World::start(2).await;
    let mut user = world.user_of("shop-0");
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.members[0].cut_streams();
        for _ in 0..20 {
            assert_eq!(user.get("/").await.member(), "shop-0");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_control_stream_works_readiness_decides() {
    let world = World::start(0).await;
    let mut members = Vec::new();
    for ordinal in 0..2 {
        let ip = std::net::IpAddr::from([127, 77, u8::try_from(std::process::id() % 250).expect("small"), ordinal + 1]);
        let member = crate::member::Member::start(&format!("shop-{ordinal}"), ip, world.intent.admin_port).await;
        member.deny(401);
        members.push(member);
    }
    let mut endpoints: Vec<_> = members.iter().map(|member| endpoint(member)).collect();
    world.door.list(&endpoints).await;
    world.until(|table| table.members.len() == 2).await;
    assert_eq!(world.user_of("shop-1").get("/").await.member(), "shop-1");
    (endpoints[1].ready, endpoints[1].serving) = (false, true);
    world.door.list(&endpoints).await;
    world.until(|table| table.tier("shop-1") == "Bound").await;
    assert_eq!(world.user_of("shop-1").get("/").await.member(), "shop-1");
    assert_eq!(world.user().get("/").await.member(), "shop-0");
    members[1].kill(Death::Reset);
    assert_eq!(world.user_of("shop-1").get("/").await.member(), "shop-0");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_control_streams_fail_at_once_the_applications_are_still_served() {
    let world = World::start(3).await;
    for member in &world.members {
        member.kill_runtime();
    }
    world.until(|table| table.members.iter().all(|row| row.tier == "Spare")).await;
    for route in ["shop-0", "shop-1", "shop-2"] {
        let answer = world.user_of(route).get("/").await;
        assert_eq!((answer.status, answer.member()), (200, route), "nobody moves where nothing is better");
    }
    for member in &world.members {
        member.break_app(true);
    }
    let answer = world.user().get("/").await;
    assert_eq!((answer.status, answer.error()), (500, "in-flight"), "where all err, the error is shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_member_stays_when_the_endpoint_slices_lose_it() {
    let world = World::start(3).await;
    world.door.list(&[endpoint(&world.members[0])]).await;
    world.until(|table| table.tier("shop-1") == "Bound").await;
    assert_eq!(world.user_of("shop-1").get("/").await.member(), "shop-1");
    world.door.list(&[]).await;
    world.until(|table| table.members.iter().all(|row| row.tier == "Bound")).await;
    assert_eq!(world.user().get("/").await.status, 200);

    world.members[1].kill(Death::End);
    world.until(|table| table.members.len() == 2).await;
    world.list_all().await;
    world.until(|table| table.members.len() == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_shown_only_to_whoever_has_the_token() {
    let world = World::start(1).await;
    for token in [None, Some("Bearer 0123456789abcdef0123456789abcdee")] {
        let mut request = http::Request::get("/table");
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let request = request.body(Default::default()).expect("a request");
        let answer = crate::client::User::new(world.door.admin).try_send(request).await.expect("an answer");
        assert_eq!(answer.status, 401);
    }
    assert_eq!(world.door.table().await.generation, 3);
    assert_eq!(world.door.health.ready(), Ok(()));
}
