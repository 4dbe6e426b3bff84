//! Bodies that are too large to keep, responses that never end, and protocols that take the connection over.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::client::raw;
use crate::member::Death;
use crate::world::{World, limits};

const PART: usize = 64 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_streams_both_ways_with_its_trailers() {
    let world = World::start(1).await;
    let stream = TcpStream::connect(world.door.addr).await.expect("connected");
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.expect("open");
    tokio::spawn(connection);
    let mut sums = HeaderMap::new();
    sums.insert("x-sum", "42".parse().expect("a value"));
    let parts = (0..512)
        .map(|number: usize| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![u8::try_from(number % 251).expect("small"); PART]))));
    let body = StreamBody::new(futures::stream::iter(parts.chain([Ok(Frame::trailers(sums.clone()))])));
    let request = Request::post("/echo").header("host", "a").header("te", "trailers").header("trailer", "x-sum");
    let response = sender.send_request(request.body(body).expect("a request")).await.expect("a response");
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let (mut total, mut trailers) = (0usize, None);
    while let Some(frame) = body.frame().await {
        let frame = frame.expect("no break");
        if let Some(data) = frame.data_ref() {
            for byte in data {
                assert_eq!(usize::from(*byte), total / PART % 251);
                total += 1;
            }
        } else {
            trailers = frame.into_trailers().ok();
        }
    }
    assert_eq!((total, trailers), (512 * PART, Some(sums)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_holds_the_sender_up_and_not_the_gateways_memory() {
    let world = World::start(1).await;
    let mut stream = TcpStream::connect(world.door.addr).await.expect("connected");
    stream.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n").await.expect("sent");
    let part = vec![b'x'; PART];
    let mut sent = 0;
    // Nothing is read: after the buffers on the way are full, nothing more is taken.
    while let Ok(Ok(())) = tokio::time::timeout(Duration::from_millis(500), stream.write_all(&part)).await {
        sent += PART;
        assert!(sent < 64 * 1024 * 1024, "somebody keeps it all");
    }
    let mut read = vec![0; PART];
    let mut back = 0;
    while back < sent / 2 {
        back += stream.read(&mut read).await.expect("a part");
    }
    let more = tokio::time::timeout(Duration::from_secs(5), stream.write_all(&part)).await;
    assert!(more.is_ok(), "once some is read, more is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_when_they_are_sent() {
    let world = World::start(1).await;
    let mut stream = TcpStream::connect(world.door.addr).await.expect("connected");
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
    let start = Instant::now();
    let mut text = String::new();
    let mut buf = [0; 1024];
    while !text.contains("data: 3") {
        let count = stream.read(&mut buf).await.expect("a part");
        text.push_str(&String::from_utf8_lossy(&buf[..count]));
    }
    assert!(start.elapsed() < Duration::from_millis(800), "{:?}", start.elapsed());
    // When the client leaves, the member is told.
    drop(stream);
    world.until(|table| table.row("shop-0").outstanding == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_breaks_off_looks_broken_to_the_client() {
    let world = World::start(1).await;
    // Of unknown length: the last chunk must be missing.
    let answer = raw(world.door.addr, b"GET /half HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.contains("half") && !answer.ends_with("0\r\n\r\n"), "{answer}");
    // Of a length too large to wait for: the rest must be missing, and no second answer may follow.
    let answer = raw(world.door.addr, b"GET /half?100000 HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.ends_with("half") && answer.matches("HTTP/1.1").count() == 1, "{answer}");
    world.until(|table| table.row("shop-0").outstanding == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_response_that_breaks_off_is_asked_for_elsewhere() {
    let world = World::start(1).await;
    // Here there is nobody else, so in the end the client is told; it never gets half of it.
    let answer = world.user().get("/half?100").await;
    assert_eq!((answer.status, answer.error()), (502, "in-flight"));
    assert!((2..=5).contains(&world.members[0].asked().len()), "{}", world.members[0].asked().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_response_of_a_member_that_is_cut_off_ends() {
    let world = World::start(2).await;
    let mut stream = TcpStream::connect(world.door.addr).await.expect("connected");
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: a\r\ncookie: holdfast-route=shop-0\r\n\r\n").await.expect("sent");
    let mut buf = [0; 1024];
    assert_ne!(stream.read(&mut buf).await.expect("a part"), 0);
    world.members[0].cut_off().await;
    let ended = tokio::time::timeout(Duration::from_secs(5), async { while stream.read(&mut buf).await.is_ok_and(|count| count > 0) {} });
    ended.await.expect("the client learns that nothing more comes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_carries_bytes_both_ways_and_ends_with_either_side() {
    let world = World::start(2).await;
    let mut stream = TcpStream::connect(world.door.addr).await.expect("connected");
    let ask = b"GET /tunnel HTTP/1.1\r\nhost: a\r\ncookie: holdfast-route=shop-1\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\r\nfirst";
    stream.write_all(ask).await.expect("sent");
    let mut head = String::new();
    let mut buf = [0; 1024];
    while !head.ends_with("first") {
        let count = stream.read(&mut buf).await.expect("a part");
        assert_ne!(count, 0, "{head}");
        head.push_str(&String::from_utf8_lossy(&buf[..count]));
    }
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let lower = head.to_lowercase();
    assert!(
        lower.contains("upgrade: websocket") && lower.contains("connection: upgrade") && lower.contains("x-holdfast-member: shop-1"),
        "{head}"
    );
    for _ in 0..50 {
        let part = vec![7; 10_000];
        stream.write_all(&part).await.expect("sent");
        let mut back = vec![0; part.len()];
        stream.read_exact(&mut back).await.expect("echoed");
        assert_eq!(part, back);
    }
    assert_eq!(world.door.table().await.row("shop-1").outstanding, 1, "a tunnel is a load");
    world.members[1].kill(Death::End);
    drop(stream);
    world.until(|table| table.row("shop-1").outstanding == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_lasts_and_is_cut_at_the_gateways_end_only() {
    let short = Duration::from_millis(100);
    let limits =
        holdfast_gateway::limits::Limits { request_head: short, client_idle: short, finish: Duration::from_millis(400), ..limits() };
    let mut world = World::with(1, limits).await;
    let mut stream = TcpStream::connect(world.door.addr).await.expect("connected");
    stream.write_all(b"GET /tunnel HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await.expect("sent");
    let mut buf = [0; 1024];
    assert_ne!(stream.read(&mut buf).await.expect("agreed"), 0);
    let mut echo = async || {
        stream.write_all(b"again").await.expect("sent");
        stream.read(&mut buf).await.expect("not cut")
    };
    for _ in 0..20 {
        assert_eq!(echo().await, 5);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    world.door.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(echo().await, 5, "it is given time to finish");
    let server = world.door.server.take().expect("started");
    tokio::time::timeout(Duration::from_secs(1), server).await.expect("it ends").expect("no panic");
    assert_eq!(stream.read(&mut buf).await.unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_not_tunnelled() {
    let world = World::start(1).await;
    let answer = raw(
        world.door.addr,
        b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let headers = world.members[0].last().headers;
    for gone in ["upgrade", "connection", "http2-settings"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_leave_gets_it() {
    let world = World::start(1).await;
    let mut stream = TcpStream::connect(world.door.addr).await.expect("connected");
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\nconnection: close\r\n\r\n")
        .await
        .expect("sent");
    let mut buf = [0; 1024];
    let count = stream.read(&mut buf).await.expect("leave");
    assert!(buf[..count].starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&buf[..count]));
    stream.write_all(b"body").await.expect("sent");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("an answer");
    assert!(rest.starts_with("HTTP/1.1 200"), "{rest}");
    let last = world.members[0].last();
    assert_eq!(last.body, "body");
    assert!(!last.headers.contains_key("expect"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_does_not_come_in_time_is_given_up() {
    let limits = holdfast_gateway::limits::Limits { response_head: Duration::from_millis(300), ..limits() };
    let world = World::with(1, limits).await;
    let answer = world.user().get("/hang").await;
    assert_eq!((answer.status, answer.error()), (504, "timeout"));
    assert_eq!(world.members[0].asked().len(), 1, "it would not come in time elsewhere either");

    // While the body is still on its way the response cannot be late.
    let stream = TcpStream::connect(world.door.addr).await.expect("connected");
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.expect("open");
    tokio::spawn(connection);
    let parts = futures::stream::iter(0..8).then(|_| async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"slow")))
    });
    let request = Request::post("/").header("host", "a").body(BodyExt::boxed_unsync(StreamBody::new(parts))).expect("a request");
    assert_eq!(sender.send_request(request).await.expect("a response").status(), 200);
}
