//! Users stay where they are, and the gateway touches no cookie but its own.

use std::collections::BTreeMap;

use crate::client::User;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_is_bound_once_and_stays() {
    let world = World::start(3).await;
    let mut user = world.user();
    let first = user.get("/").await;
    let member = first.member().to_owned();
    assert_eq!(first.set_cookies(), [format!("holdfast-route={member}; Path=/; HttpOnly; SameSite=Lax")]);
    for _ in 0..50 {
        let answer = user.get("/").await;
        assert_eq!((answer.status, answer.member(), answer.set_cookies()), (200, member.as_str(), vec![]));
        assert_eq!(answer.body, member);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_users_spread_evenly_over_idle_members() {
    let world = World::start(3).await;
    let mut counts = BTreeMap::new();
    for _ in 0..60 {
        *counts.entry(world.user().get("/").await.member().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 3, "{counts:?}");
    assert!(counts.values().all(|count| (10..=30).contains(count)), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_users_go_to_the_member_with_the_fewest_sessions() {
    let world = World::start(3).await;
    for (member, sessions) in world.members.iter().zip([500, 20, 900]) {
        member.count(sessions);
    }
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    for _ in 0..20 {
        assert_eq!(world.user().get("/").await.member(), "shop-1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_member_sees_the_applications_cookies_and_not_ours() {
    let world = World::start(1).await;
    let mut user = world.user_of("shop-0");
    user.cookies.insert("a".to_owned(), "1".to_owned());
    user.cookies.insert("z".to_owned(), "\"2\"".to_owned());
    user.get("/").await;
    let cookies: Vec<_> = world.members[0].last().headers.get_all("cookie").iter().cloned().collect();
    assert_eq!(cookies, ["a=1; z=\"2\""]);

    let answer = User::new(world.door.addr).get("/cookies").await;
    let expected =
        ["sessionid=abc; Path=/; Secure; HttpOnly; SameSite=None", "theme=dark", "holdfast-route=shop-0; Path=/; HttpOnly; SameSite=Lax"];
    assert_eq!(answer.set_cookies(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cacheable_response_carries_no_route() {
    let world = World::start(2).await;
    let mut user = world.user();
    assert_eq!(user.get("/cacheable").await.set_cookies(), Vec::<&str>::new());
    assert_eq!(user.get("/").await.set_cookies().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_route_is_ignored_and_replaced() {
    let world = World::start(2).await;
    for forged in ["127.0.0.1:22", "mall-0", "shop", "shop-gateway-0", "localhost"] {
        let mut user = world.user_of(forged);
        let answer = user.get("/").await;
        assert_eq!(answer.status, 200);
        assert_eq!(user.route(), Some(answer.member()), "{forged}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_send_the_users_of_a_gone_member_to_the_same_others() {
    let world = World::start(3).await;
    let other = world.another_door().await;
    let mut used = BTreeMap::new();
    for session in 0..30 {
        let mut targets = Vec::new();
        for addr in [world.door.addr, other.addr] {
            // Scaled away: the route is a good one, but no such member is in the table.
            let mut user = User::with(addr, "holdfast-route", "shop-7");
            user.cookies.insert("sessionid".to_owned(), format!("s{session}"));
            // What else the browser carries does not matter.
            user.cookies.insert("tracking".to_owned(), rand::random::<u32>().to_string());
            let answer = user.get("/").await;
            assert_eq!(user.route(), Some(answer.member()), "the route is renewed");
            targets.push(answer.member().to_owned());
        }
        assert_eq!(targets[0], targets[1]);
        *used.entry(targets.remove(0)).or_insert(0) += 1;
    }
    assert_eq!(used.len(), 3, "they spread: {used:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_keeps_only_the_applications_cookie_is_sent_to_one_member() {
    let world = World::start(3).await;
    for session in 0..10 {
        let mut members = std::collections::BTreeSet::new();
        for _ in 0..5 {
            let mut user = User::with(world.door.addr, "sessionid", &format!("s{session}"));
            members.insert(user.get("/").await.member().to_owned());
        }
        assert_eq!(members.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_route_cookies_the_one_of_a_present_member_counts() {
    let world = World::start(3).await;
    let request = |line: &str| {
        let line = line.to_owned();
        async move {
            let request = http::Request::get("/").header("cookie", line).body(Default::default()).expect("a request");
            User::new(world.door.addr).try_send(request).await.expect("an answer")
        }
    };
    let answer = request("holdfast-route=shop-9; a=b; holdfast-route=\"shop-2\"; holdfast-route=shop-1").await;
    assert_eq!((answer.member(), answer.set_cookies()), ("shop-2", vec![]));
}
