//! HTTP as it passes through: heads, bodies and what belongs to one connection only.

use http::{Method, Request};

use crate::client::raw;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_member_learns_who_asked_and_sees_nothing_of_the_connection() {
    let world = World::start(1).await;
    let request = Request::get("http://shop.example/path?query=1")
        .header("x-forwarded-for", "1.2.3.4")
        .header("x-holdfast-member", "shop-9")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("te", "trailers, gzip")
        .header("accept-encoding", "gzip")
        .body(Default::default())
        .expect("a request");
    assert_eq!(world.user().try_send(request).await.expect("an answer").status, 200);
    let asked = world.members[0].last();
    let header = |name: &str| asked.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"));
    assert_eq!(asked.uri, "/path?query=1");
    assert_eq!(header("host"), "shop.example");
    assert_eq!(header("x-forwarded-for"), "1.2.3.4, 127.0.0.1");
    assert_eq!(header("x-forwarded-proto"), "http");
    assert_eq!(header("x-forwarded-host"), "shop.example");
    assert_eq!(header("te"), "trailers");
    assert_eq!(header("accept-encoding"), "gzip");
    for gone in ["x-holdfast-member", "x-hop", "connection", "keep-alive"] {
        assert_eq!(header(gone), "", "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_sees_nothing_of_the_members_connection_or_of_what_is_ours() {
    let world = World::start(1).await;
    let answer = world.user().get("/headers").await;
    assert_eq!(answer.member(), "shop-0");
    assert_eq!(answer.headers.get_all("x-holdfast-member").iter().count(), 1);
    assert_eq!(answer.header("x-kept"), "1");
    for gone in ["x-hop", "keep-alive", "x-holdfast-secret", "connection"] {
        assert_eq!(answer.header(gone), "", "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_and_every_status_passes() {
    let world = World::start(1).await;
    let mut user = world.user();
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = user.try_ask(method.clone(), "/", "").await.expect("an answer");
        assert_eq!((answer.status, &world.members[0].last().method), (200, &method));
    }
    for status in [200, 201, 204, 206, 301, 304, 400, 404, 418, 500, 503, 599] {
        let answer = user.get(&format!("/status?{status}")).await;
        assert_eq!((answer.status, answer.error(), answer.member()), (status, "", "shop-0"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_the_length_and_no_body() {
    let world = World::start(1).await;
    let mut user = world.user();
    let answer = user.try_ask(Method::HEAD, "/big?12345", "").await.expect("an answer");
    assert_eq!((answer.status, answer.header("content-length"), answer.body.len()), (200, "12345", 0));
    // The connection is still in step.
    assert_eq!(user.get("/").await.body, "shop-0");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_all_kinds_reach_the_member() {
    let world = World::start(1).await;
    let mut user = world.user();
    for method in [Method::GET, Method::POST, Method::DELETE] {
        user.try_ask(method.clone(), "/", "with a length").await.expect("an answer");
        assert_eq!((world.members[0].last().method, world.members[0].last().body), (method, "with a length".into()));
    }
    for method in ["GET", "POST"] {
        let answer = raw(
            world.door.addr,
            format!("{method} / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n4\r\nwith\r\n6\r\n chunk\r\n0\r\n\r\n")
                .as_bytes(),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let last = world.members[0].last();
        assert_eq!(last.body, "with chunk", "{method}");
        assert!(!last.headers.contains_key("content-length"));
    }
    raw(world.door.addr, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    assert_eq!(world.members[0].last().headers.get("content-length").map(|value| value.as_bytes()), Some(&b"0"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_the_server_itself_and_old_clients_are_served() {
    let world = World::start(1).await;
    let answer = raw(world.door.addr, b"OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(world.members[0].last().uri, "*");

    let answer = raw(world.door.addr, b"GET /old HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("shop-0"), "{answer}");
    assert_eq!(world.members[0].last().headers.get("host").map(|value| value.as_bytes()), Some(&b"shop"[..]));

    let answer = raw(world.door.addr, b"GET http://b.example/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let last = world.members[0].last();
    assert_eq!((last.uri.as_str(), last.headers.get("host").map(|value| value.as_bytes())), ("/x", Some(&b"b.example"[..])));
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let world = World::start(1).await;
    let answer = raw(
        world.door.addr,
        b"GET /slow?50 HTTP/1.1\r\nhost: a\r\n\r\nGET /big?3 HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    let (first, big, last) = (answer.find("shop-0\r\n"), answer.find("xxx"), answer.rfind("shop-0"));
    assert!(first < big && big < last, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 3, "{answer}");
}
