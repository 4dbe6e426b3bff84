//! Members that answer strangely: what is valid passes, what is not becomes an error of the gateway, and never a second response.

use std::net::{IpAddr, SocketAddr};

use holdfast_gateway::table::endpoint::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::client::raw;
use crate::world::World;

/// A gateway with one member that answers every request with these bytes, and then closes the connection.
async fn answering(bytes: Vec<u8>) -> World {
    let world = World::start(0).await;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { continue };
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                stream.write_all(&bytes).await?;
                stream.shutdown().await
            });
        }
    });
    let endpoint = Endpoint { pod: "shop-0".to_owned(), uid: "u".to_owned(), addr, ready: true, serving: true, terminating: false };
    world.door.list(&[endpoint]).await;
    world.until(|table| table.members.len() == 1).await;
    world
}

async fn asked(bytes: &[u8], method: &str) -> String {
    let world = answering(bytes.to_vec()).await;
    let request =
        format!("{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\nGET /next HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    raw(world.door.addr, request.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn valid_oddities_pass() {
    for (bytes, shown) in [
        (
            &b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"[..],
            "ok",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", "until the end"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 99\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok", "ok"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled", "ok"),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", "HTTP/1.1 204"),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: x\r\n\r\n", "etag: x"),
    ] {
        let answer = asked(bytes, "GET").await;
        let sent = String::from_utf8_lossy(bytes);
        assert!(answer.contains(shown), "{sent}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "one response for each request: {sent}: {answer}");
        assert!(!answer.contains("smuggled") && !answer.contains("content-length: 99"), "{sent}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_response_becomes_an_error_of_the_gateway() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(300_000));
    for bytes in [
        &b""[..],
        b"HTTP/1.1 200",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        long.as_bytes(),
    ] {
        for method in ["GET", "POST"] {
            let answer = asked(bytes, method).await;
            assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("x-holdfast-error: in-flight"), "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_response_that_breaks_off_never_ends_well() {
    let world = answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwo".to_vec()).await;
    let answer = raw(world.door.addr, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.contains("hello") && !answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_not_there_is_no_member() {
    let world = World::start(1).await;
    let nobody = Endpoint {
        pod: "shop-1".to_owned(),
        uid: "u".to_owned(),
        addr: SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 1),
        ready: true,
        serving: true,
        terminating: false,
    };
    world.door.list(&[crate::world::endpoint(&world.members[0]), nobody]).await;
    world.until(|table| table.members.len() == 2).await;
    for _ in 0..20 {
        let answer = world.user_of("shop-1").post("/", "x").await;
        assert_eq!((answer.status, answer.member()), (200, "shop-0"));
    }
}
