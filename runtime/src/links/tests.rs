//! Real sockets on loopback: what strangers, slow peers and torn connections do.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use holdfast_core::wire::{self, Capabilities, Decoder, Ident, Message, WIRE_VERSIONS};
use holdfast_core::{Member, MemberSet};
use holdfast_support::certificates::{Authority, SHOP, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::*;
use crate::peers::PeerError;
use crate::tls::testing::member;

#[derive(Debug, Default)]
struct Map(BTreeMap<String, SocketAddr>);

impl PeerResolver for Map {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<SocketAddr, PeerError>> {
        let unknown = || PeerError::Lookup { name: name.to_owned(), reason: "not in the map".to_owned() };
        std::future::ready(self.0.get(name).copied().ok_or_else(unknown)).boxed()
    }

    fn forget(&self, _: &str) {}
}

struct End {
    links: Links,
    events: mpsc::UnboundedReceiver<LinkEvent>,
    addr: SocketAddr,
}

const SETTINGS: LinkSettings = LinkSettings { idle: Duration::from_secs(5), queue_bytes: 1 << 20, connections: 1, tls: None };

async fn start(peers: &[(&str, SocketAddr)]) -> End {
    start_with(peers, SETTINGS).await
}

async fn start_with(peers: &[(&str, SocketAddr)], settings: LinkSettings) -> End {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let (sender, events) = mpsc::unbounded_channel();
    let map = Map(peers.iter().map(|(name, addr)| ((*name).to_owned(), *addr)).collect());
    End { links: Links::start(settings, Arc::new(map), listener, Arc::new(move |event| sender.send(event).is_ok())), events, addr }
}

fn peer() -> NodeId {
    NodeId::new(1).expect("a place")
}

fn greeting() -> Frame {
    Frame::Ident(Ident {
        versions: WIRE_VERSIONS,
        cluster: "shop".to_owned(),
        member: Member { id: peer(), incarnation: 7 },
        pod_uid: "u".to_owned(),
        connections: 1,
        capabilities: Capabilities::ALL,
        more: BTreeMap::new(),
    })
}

/// As the engine does first of all.
fn greet(handle: &ConnHandle) {
    assert!(handle.send(wire::encode(&greeting())));
}

fn heartbeat(ack: u64) -> Frame {
    Frame::Heartbeat { ack, sent: 1, echo: None, lease: 0, asks: false, heard: MemberSet::EMPTY }
}

fn beat(ack: u64) -> Bytes {
    wire::encode(&heartbeat(ack))
}

fn long(length: usize) -> Bytes {
    let value = Bytes::from((0..length).map(|n| (n * n) as u8).collect::<Vec<u8>>());
    wire::encode(&Frame::Data { seq: 1, ack: 0, message: Message::Need { key: value, term: 1 } })
}

impl End {
    async fn event(&mut self) -> LinkEvent {
        timeout(Duration::from_secs(10), self.events.recv()).await.expect("soon").expect("the links run")
    }

    async fn opened(&mut self) -> (ConnId, bool, ConnHandle) {
        match self.event().await {
            LinkEvent::Opened { conn, dialed, handle } => (conn, dialed, handle),
            other => panic!("{other:?}"),
        }
    }

    async fn received(&mut self, count: usize) -> Vec<Frame> {
        let mut all = Vec::new();
        while all.len() < count {
            match self.event().await {
                LinkEvent::Received { frames, .. } => all.extend(frames),
                other => panic!("{other:?}"),
            }
        }
        all
    }

    async fn closed(&mut self) {
        loop {
            match self.event().await {
                LinkEvent::Closed { .. } => return,
                LinkEvent::Received { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn frames_arrive_whole_and_in_order_both_ways() {
    let mut b = start(&[]).await;
    let mut a = start(&[("shop-1", b.addr)]).await;
    a.links.dial(peer(), "shop-1".to_owned());
    let (_, dialed, to_b) = a.opened().await;
    let (_, accepted, to_a) = b.opened().await;
    assert!(dialed && !accepted);
    greet(&to_a);
    greet(&to_b);
    for ack in 0..1000 {
        assert!(to_b.send(beat(ack)));
    }
    to_b.flush();
    assert!(to_a.send(beat(7)));
    to_a.flush();
    let mut expected = vec![greeting()];
    expected.extend((0..1000).map(heartbeat));
    assert_eq!(b.received(1001).await, expected);
    assert_eq!(a.received(2).await, [greeting(), heartbeat(7)]);
}

#[tokio::test]
async fn a_closed_port_is_refused_and_an_unknown_name_is_not() {
    let nobody = { TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound") };
    let mut a = start(&[("shop-1", nobody)]).await;
    a.links.dial(peer(), "shop-1".to_owned());
    assert!(matches!(a.event().await, LinkEvent::DialFailed { refused: true, .. }));
    a.links.dial(peer(), "shop-2".to_owned());
    assert!(matches!(a.event().await, LinkEvent::DialFailed { refused: false, .. }));
}

#[tokio::test]
async fn a_peer_that_ends_before_its_greeting_was_not_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut a = start(&[("shop-1", listener.local_addr().expect("bound"))]).await;
    a.links.dial(peer(), "shop-1".to_owned());
    drop(listener.accept().await.expect("connects"));
    let (_, _, _handle) = a.opened().await;
    a.closed().await;
    assert!(matches!(a.event().await, LinkEvent::DialFailed { refused: false, .. }));
}

#[tokio::test]
async fn closing_sends_the_rest_and_dropping_does_not_wait() {
    let mut b = start(&[]).await;
    let mut a = start(&[("shop-1", b.addr)]).await;
    a.links.dial(peer(), "shop-1".to_owned());
    let (_, _, to_b) = a.opened().await;
    let (_, _, to_a) = b.opened().await;
    greet(&to_a);
    to_a.flush();
    a.received(1).await;
    greet(&to_b);
    to_b.send(beat(1));
    to_b.close();
    assert_eq!(b.received(2).await, [greeting(), heartbeat(1)]);
    b.closed().await;
    a.closed().await;
    drop(to_a);

    a.links.dial(peer(), "shop-1".to_owned());
    let (_, _, to_b) = a.opened().await;
    let (_, _, _to_a) = b.opened().await;
    drop(to_b);
    a.closed().await;
    b.closed().await;
}

#[tokio::test]
async fn a_stranger_is_cut_off_at_once_and_harms_nobody() {
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 16], &[0, 0, 0, 1, 0, 0, 0, 0, 9]] {
        let mut a = start(&[]).await;
        let mut stranger = TcpStream::connect(a.addr).await.expect("connects");
        let (_, _, _handle) = a.opened().await;
        stranger.write_all(garbage).await.expect("sends");
        a.closed().await;
        let mut rest = Vec::new();
        // The socket may be reset, because what the stranger sent was not read to its end.
        let _ = stranger.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    }
}

#[tokio::test]
async fn a_connection_without_a_greeting_is_ended() {
    let mut a = start(&[]).await;
    let _silent = TcpStream::connect(a.addr).await.expect("connects");
    let (_, _, _handle) = a.opened().await;
    a.closed().await;
}

#[tokio::test]
async fn a_storm_of_connections_is_cut_off_at_the_limit() {
    let a = start(&[]).await;
    let mut storm = Vec::new();
    for _ in 0..ACCEPTED + 20 {
        storm.push(TcpStream::connect(a.addr).await.expect("the backlog takes it"));
    }
    let mut refused = 0;
    for stream in &mut storm[ACCEPTED..] {
        let mut byte = [0];
        let ended = timeout(Duration::from_secs(1), stream.read(&mut byte)).await;
        refused += usize::from(matches!(ended, Ok(Ok(0) | Err(_))));
    }
    assert_eq!(refused, 20);
}

#[tokio::test]
async fn a_peer_that_does_not_read_fills_the_queue_and_nothing_else() {
    let mut a = start(&[]).await;
    let _deaf = TcpStream::connect(a.addr).await.expect("connects");
    let (_, _, handle) = a.opened().await;
    let frame = long(256 << 10);
    let mut taken = 0_u64;
    // The kernel's buffers take some megabytes first.
    while handle.send(frame.clone()) {
        handle.flush();
        taken += 1;
        assert!(taken < 1000, "the queue has no end");
        tokio::task::yield_now().await;
    }
    assert!(handle.queued() <= SETTINGS.queue_bytes);
}

/// The network takes three seconds for the long frame.
#[tokio::test]
async fn signs_of_life_do_not_wait_for_a_value_of_32_mib() {
    let settings = LinkSettings { queue_bytes: 64 << 20, idle: Duration::from_secs(60), ..SETTINGS };
    let mut a = start_with(&[], settings).await;
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(256 << 10).expect("a size");
    let mut slow = socket.connect(a.addr).await.expect("connects");
    slow.write_all(&wire::encode(&greeting())).await.expect("sends");
    let (_, _, handle) = a.opened().await;
    greet(&handle);
    handle.flush();
    // A sign of life is sent whenever something has been read. What has been read by then, and when it arrives: unlike times, that does not depend on what
    // else the machine does.
    let (so_far, mut read) = watch::channel(0);
    let reader = tokio::spawn(async move {
        let (mut decoder, mut buffer) = (Decoder::default(), bytes::BytesMut::new());
        let mut beats = Vec::new();
        loop {
            // Some 10 MiB a second.
            sleep(Duration::from_millis(25)).await;
            // It is slow, not silent.
            slow.write_all(&beat(0)).await.expect("sends");
            let mut allowance = 256 << 10;
            while allowance > 0 {
                let mut piece = vec![0; allowance];
                let length = slow.read(&mut piece).await.expect("connected");
                buffer.extend_from_slice(&piece[..length]);
                so_far.send_modify(|read| *read += length);
                allowance -= length;
                assert!(length > 0, "cut off before the value was there");
            }
            while let Some(frame) = decoder.decode(&mut buffer).expect("frames") {
                match frame {
                    Frame::Heartbeat { ack, .. } => beats.push((ack, *so_far.borrow())),
                    Frame::Data { .. } => return beats,
                    _ => {}
                }
            }
        }
    });
    sleep(Duration::from_millis(50)).await;
    assert!(handle.send(long(32 << 20)));
    handle.flush();
    let mut sent = Vec::new();
    while read.changed().await.is_ok() {
        sent.push(*read.borrow_and_update());
        if !handle.send(beat(sent.len() as u64)) {
            // The reader has gone, and says why.
            break;
        }
        handle.flush();
    }
    let arrived = reader.await.expect("no panic");
    assert!(arrived.len() > 10, "{} signs of life arrived before the value", arrived.len());
    let longest = arrived.iter().map(|(n, at)| *at - sent[*n as usize - 1]).max().expect("some");
    println!("{} signs of life, the slowest after {longest} bytes", arrived.len());
    assert!(longest < 4 << 20, "{longest} bytes went ahead of a sign of life");
}

fn over(tls: Tls) -> LinkSettings {
    LinkSettings { tls: Some(tls), ..SETTINGS }
}

/// A link between two ends, with its handles at `a` and at `b`.
async fn link(a: &mut End, b: &mut End) -> (ConnHandle, ConnHandle) {
    a.links.dial(peer(), "shop-1".to_owned());
    let ((_, _, to_b), (_, _, to_a)) = (a.opened().await, b.opened().await);
    for handle in [&to_a, &to_b] {
        greet(handle);
        handle.flush();
    }
    assert_eq!((a.received(1).await, b.received(1).await), (vec![greeting()], vec![greeting()]));
    (to_b, to_a)
}

#[tokio::test]
async fn over_tls_small_and_large_frames_arrive_both_ways() {
    let ca = Authority::new();
    let ((_one, for_a), (_two, for_b)) = (member(&ca.issue(SHOP), &[&ca]).await, member(&ca.issue(SHOP), &[&ca]).await);
    let mut b = start_with(&[], over(for_b)).await;
    let mut a = start_with(&[("shop-1", b.addr)], over(for_a)).await;
    let (to_b, to_a) = link(&mut a, &mut b).await;
    for handle in [&to_b, &to_a] {
        for ack in 0..5000 {
            assert!(handle.send(beat(ack)));
        }
        handle.flush();
    }
    let expected: Vec<Frame> = (0..5000).map(heartbeat).collect();
    assert_eq!(b.received(5000).await, expected);
    assert_eq!(a.received(5000).await, expected);
    to_b.send(beat(7));
    to_b.close();
    assert_eq!(b.received(1).await, [heartbeat(7)], "the rest is sent before the end");
    b.closed().await;
}

#[tokio::test]
async fn the_certificate_changes_under_traffic_and_no_link_notices() {
    let (old, new) = (Authority::new(), Authority::new());
    let first = old.issue(SHOP);
    let ((files_a, for_a), (files_b, for_b)) = (member(&first, &[&old]).await, member(&first, &[&old]).await);
    let mut b = start_with(&[], over(for_b.clone())).await;
    let mut a = start_with(&[("shop-1", b.addr)], over(for_a.clone())).await;
    let (standing, _at_b) = link(&mut a, &mut b).await;
    let mut ack = 0;
    let mut newer = Vec::new();
    // The steps of a change of the authority, each of which reaches one end before the other.
    let second = new.issue(SHOP);
    for (pair, trusted) in [(&first, &[&old, &new][..]), (&second, &[&old, &new]), (&second, &[&new])] {
        for (files, tls) in [(&files_a, &for_a), (&files_b, &for_b)] {
            write(files.path(), pair, trusted);
            tls.refresh().await;
            assert!(standing.send(beat(ack)));
            standing.flush();
            assert_eq!(b.received(1).await, [heartbeat(ack)], "the first link still stands");
            ack += 1;
            newer.push(link(&mut a, &mut b).await);
        }
    }
}

#[tokio::test]
async fn with_tls_nothing_is_opened_for_strangers_and_dialing_one_fails() {
    let ca = Authority::new();
    let (_files, tls) = member(&ca.issue(SHOP), &[&ca]).await;
    let mut plain = start(&[]).await;
    let mut a = start_with(&[("shop-1", plain.addr)], over(tls)).await;

    let mut stranger = TcpStream::connect(a.addr).await.expect("connects");
    stranger.write_all(&wire::encode(&greeting())).await.expect("sends");
    let mut rest = Vec::new();
    let _ = stranger.read_to_end(&mut rest).await;
    // An alert at most: no frame.
    assert!(rest.len() <= 7, "{rest:?}");
    assert!(a.events.try_recv().is_err());

    a.links.dial(peer(), "shop-1".to_owned());
    let (_, _, handle) = plain.opened().await;
    greet(&handle);
    handle.flush();
    assert!(matches!(a.event().await, LinkEvent::DialFailed { refused: false, .. }));
    plain.closed().await;
}
