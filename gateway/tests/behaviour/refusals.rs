//! Requests that are ambiguous, malformed, too large or too slow: no member gets to see them, and nothing is smuggled past the gateway.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{raw, read_all};
use crate::world::{World, limits};

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_and_no_member_sees_them() {
    let world = World::start(1).await;
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(70_000));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(200));
    let cases: [(&str, &[u8]); 19] = [
        ("405", b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("400", b"GET / HTTP/1.1\r\n\r\n"),
        ("400", b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
        ("400", b"GET http://u:p@a/ HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("400", b"GET * HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("501", b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("501", b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("400", b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        ("400", b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("400", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd"),
        ("400", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\nabc"),
        ("400", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3, 3\r\n\r\nabc"),
        ("400", b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("400", b"GET / HTTP/1.1\r\nhost: a\r\nx: b\r\n folded\r\n\r\n"),
        ("400", b"GET / HTTP/1.1\r\nhost : a\r\n\r\n"),
        ("400", b"GET / HTTP/9.9\r\nhost: a\r\n\r\n"),
        ("417", b"POST / HTTP/1.1\r\nhost: a\r\nexpect: miracles\r\ncontent-length: 1\r\n\r\na"),
        ("431", long.as_bytes()),
        ("431", many.as_bytes()),
    ];
    for (status, bytes) in cases {
        let answer = raw(world.door.addr, bytes).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
        // For what it cannot even parse, the server may also close the connection without a word.
        let closed = status == "400" && answer.is_empty();
        assert!(
            closed || answer.starts_with(&format!("HTTP/1.1 {status}")) || answer.starts_with(&format!("HTTP/1.0 {status}")),
            "{shown}: {answer}"
        );
    }
    assert!(world.members[0].asked().is_empty(), "{:?}", world.members[0].asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_length_and_a_coding_only_the_coding_counts_and_nothing_is_smuggled() {
    let world = World::start(1).await;
    for order in ["content-length: 4\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 4"] {
        let bytes = format!("POST / HTTP/1.1\r\nhost: a\r\n{order}\r\n\r\n1\r\nZ\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n");
        let answer = raw(world.door.addr, bytes.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "the connection ends: {answer}");
        let asked = world.members[0].asked();
        assert!(asked.iter().all(|asked| asked.uri == "/"), "{asked:?}");
        let last = world.members[0].last();
        assert_eq!(last.body, "Z");
        assert!(!last.headers.contains_key("content-length"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_chunks_end_the_request_and_the_connection() {
    let world = World::start(1).await;
    for body in
        ["5\r\nabc\r\n0\r\n\r\n", "zz\r\nabc\r\n0\r\n\r\n", "-1\r\nabc\r\n0\r\n\r\n", "3\r\nabcX\r\n0\r\n\r\n", "ffffffffffffffffff\r\na"]
    {
        let bytes =
            format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n");
        let answer = raw(world.door.addr, bytes.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{body}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count().max(1), 1, "{answer}");
    }
    assert!(world.members[0].asked().is_empty(), "{:?}", world.members[0].asked());
    world.until(|table| table.row("shop-0").outstanding == 0).await;
    assert_eq!(world.user().get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_head_that_trickles_in_is_cut_off() {
    let limits =
        holdfast_gateway::limits::Limits { request_head: Duration::from_millis(200), client_idle: Duration::from_millis(700), ..limits() };
    let world = World::with(1, limits).await;
    let mut slow = TcpStream::connect(world.door.addr).await.expect("connected");
    let start = tokio::time::Instant::now();
    let mut sent = 0;
    while slow.write_all(b"G").await.is_ok() && sent < 200 {
        sent += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(start.elapsed() < Duration::from_millis(600), "{:?}", start.elapsed());

    // One that says nothing at all may rest longer, and is closed too.
    let mut silent = TcpStream::connect(world.door.addr).await.expect("connected");
    tokio::time::sleep(Duration::from_millis(400)).await;
    silent.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
    assert!(read_all(&mut silent).await.starts_with("HTTP/1.1 200"));
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(tokio::io::AsyncReadExt::read(&mut silent, &mut [0; 8]).await.expect("an end"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_number_of_clients_others_wait_and_are_not_refused() {
    let limits = holdfast_gateway::limits::Limits { connections: 2, ..limits() };
    let world = World::with(1, limits).await;
    let (mut one, mut two) = (world.user(), world.user());
    assert_eq!((one.get("/").await.status, two.get("/").await.status), (200, 200));
    let mut third = world.user();
    let waiting = tokio::spawn(async move { third.get("/").await.status });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    drop(one);
    assert_eq!(waiting.await.expect("no panic"), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_sending_its_body_is_told_so() {
    let limits = holdfast_gateway::limits::Limits { client_stall: Duration::from_millis(200), ..limits() };
    let world = World::with(1, limits).await;
    let answer = raw(world.door.addr, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\npart").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(world.members[0].asked().is_empty());
}
