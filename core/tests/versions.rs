//! A newer and an older runtime in one cluster: two engines and the wires between them, through a join, writes, a handoff and a failover.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use holdfast_core::engine::{Compression, Config, ConnId, Engine, Output, SwapOutcome, TICK};
use holdfast_core::wire::{Capabilities, Decoder, Frame, encode};
use holdfast_core::{Command, Condition, Expiry, Key, Member, NodeId, Reply, View};

/// What an end of a wire said, in order, and who hears it.
type Wire = VecDeque<(usize, u64, Bytes)>;

struct Pair {
    engines: Vec<Option<Engine>>,
    versions: Vec<(u16, u16)>,
    view: View,
    /// The ends of each connection.
    conns: BTreeMap<u64, [usize; 2]>,
    wire: Wire,
    replies: BTreeMap<u64, Reply>,
    /// Frames that were packed, by sender.
    packed: Vec<usize>,
    /// Nothing gets through on these, and nobody is told.
    silent: Vec<u64>,
    now: u64,
    last: u64,
}

impl Pair {
    fn new(versions: &[(u16, u16)], compression: &[Compression], connections: &[u8]) -> Pair {
        let engine = |(place, versions): (usize, &(u16, u16))| {
            let config = Config {
                ack_timeout: 2_000,
                heartbeat_interval: 50,
                failure_timeout: 400,
                state_transfer_timeout: 3_000,
                queue_bytes: 1 << 20,
                max_commands: 100,
                connections: connections[place],
                compression: compression[place],
                ..Config::new("shop", format!("shop-{place}"), format!("uid-{place}"))
            };
            let member = Member { id: NodeId::new(place as u8).expect("a place"), incarnation: 1000 };
            Some(Engine::new(config, member, 0).with_versions(*versions))
        };
        Pair {
            engines: versions.iter().enumerate().map(engine).collect(),
            versions: versions.to_vec(),
            view: View::unfounded(1),
            conns: BTreeMap::new(),
            wire: Wire::new(),
            replies: BTreeMap::new(),
            packed: vec![0; versions.len()],
            silent: Vec::new(),
            now: 0,
            last: 0,
        }
    }

    fn engine(&mut self, at: usize) -> &mut Engine {
        self.engines[at].as_mut().expect("it runs")
    }

    /// Carries out what the engines want until nothing is left to do.
    fn settle(&mut self) {
        loop {
            let mut idle = true;
            for at in 0..self.engines.len() {
                while let Some(output) = self.engines[at].as_mut().and_then(Engine::poll_output) {
                    idle = false;
                    self.carry_out(at, output);
                }
            }
            if let Some((to, conn, bytes)) = self.wire.pop_front() {
                idle = false;
                self.deliver(to, conn, &bytes);
            }
            if idle {
                return;
            }
        }
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        let now = self.now;
        match output {
            Output::Send { conn, bytes } => {
                let Some(ends) = self.conns.get(&conn.0) else { return };
                let to = if ends[0] == at { ends[1] } else { ends[0] };
                self.packed[at] += usize::from(bytes[0] & 4 != 0);
                self.wire.push_back((to, conn.0, bytes));
            }
            Output::Close { conn } => self.disconnect(conn.0, Some(at)),
            Output::Dial { peer, .. } => {
                let to = usize::from(peer.get());
                if self.engines[to].is_none() {
                    return self.engine(at).handle_dial_failed(now, peer, true);
                }
                self.last += 1;
                let conn = self.last;
                self.conns.insert(conn, [at, to]);
                self.engine(at).handle_connected(now, ConnId(conn), true);
                self.engine(to).handle_connected(now, ConnId(conn), false);
            }
            Output::ReadView => {
                let view = self.view.clone();
                self.engine(at).handle_register(now, view);
            }
            Output::SwapView { expected, view } => {
                let outcome = if self.view.version == expected {
                    self.view = view.clone();
                    SwapOutcome::Done(view.clone())
                } else {
                    SwapOutcome::Conflict(self.view.clone())
                };
                self.engine(at).handle_swap(now, outcome);
            }
            Output::Reply { request, reply } => drop(self.replies.insert(request, reply)),
            Output::Reset { .. } => self.disconnect_all(at),
            _ => {}
        }
    }

    /// What a newer runtime says in its greeting, an older one has never seen.
    fn deliver(&mut self, to: usize, conn: u64, bytes: &Bytes) {
        let Some(ends) = self.conns.get(&conn).filter(|_| !self.silent.contains(&conn)) else { return };
        let from = if ends[0] == to { ends[1] } else { ends[0] };
        let frame = Decoder::default().decode(&mut BytesMut::from(&bytes[..])).expect("a frame").expect("a whole one");
        let frame = match frame {
            Frame::Ident(mut ident) if self.versions[from].1 > self.versions[to].1 => {
                ident.capabilities = Capabilities(ident.capabilities.0 | 1 << 60);
                ident.more.insert(4000, Bytes::from_static(b"of a later version"));
                let bytes = encode(&Frame::Ident(ident));
                Decoder::default().decode(&mut BytesMut::from(&bytes[..])).expect("a frame").expect("a whole one")
            }
            other => other,
        };
        let now = self.now;
        if let Some(engine) = self.engines[to].as_mut() {
            engine.handle_frame(now, ConnId(conn), frame);
        }
    }

    fn disconnect(&mut self, conn: u64, by: Option<usize>) {
        let now = self.now;
        for at in self.conns.remove(&conn).into_iter().flatten().filter(|at| Some(*at) != by) {
            if let Some(engine) = self.engines[at].as_mut() {
                engine.handle_disconnected(now, ConnId(conn));
            }
        }
    }

    fn run(&mut self, millis: u64) {
        for _ in 0..millis / TICK {
            self.now += TICK;
            let (now, view) = (self.now, self.view.clone());
            for engine in self.engines.iter_mut().flatten() {
                engine.handle_tick(now);
                engine.handle_watched(now, view.clone());
            }
            self.settle();
        }
    }

    fn ask(&mut self, at: usize, key: &str, command: Command) -> Reply {
        self.last += 1;
        let (request, now) = (self.last, self.now);
        self.engine(at).execute(now, request, Key::from(key.to_owned()), command);
        self.settle();
        self.run(200);
        self.replies.remove(&request).unwrap_or_else(|| panic!("no answer at {at} for {key}"))
    }

    fn kill(&mut self, at: usize) {
        self.engines[at] = None;
        self.disconnect_all(at);
    }

    fn disconnect_all(&mut self, at: usize) {
        let conns: Vec<u64> = self.conns.iter().filter(|(_, ends)| ends.contains(&at)).map(|(conn, _)| *conn).collect();
        conns.into_iter().for_each(|conn| self.disconnect(conn, Some(at)));
    }

    fn is_settled(&self, members: usize) -> bool {
        self.view.full().len() == members && self.view.members.len() == members && self.view.version.sub > 0
    }
}

fn set(value: &str) -> Command {
    Command::Set { value: Bytes::from(value.to_owned()), expiry: Expiry::Never, condition: Condition::Always, return_old: false }
}

fn text(value: &str) -> Reply {
    Reply::Bytes(Bytes::from(value.to_owned()))
}

const LZ4: Compression = Compression::Lz4;
const PLAIN: Compression = Compression::None;

#[test]
fn a_newer_and_an_older_runtime_work_in_one_cluster() {
    for versions in [[(1, 2), (1, 1), (1, 2)], [(1, 1), (1, 2), (1, 1)], [(1, 1), (1, 1), (1, 2)]] {
        let mut pair = Pair::new(&versions, &[PLAIN; 3], &[1; 3]);
        pair.run(2_000);
        assert!(pair.is_settled(3), "all have joined: {:?}", pair.view);
        for at in 0..3 {
            for link in pair.engine(at).status().links {
                let other = versions[usize::from(link.peer.id.get())];
                assert_eq!(link.version, versions[at].1.min(other.1), "the newest that both know");
            }
        }
        for n in 0..12 {
            assert_eq!(pair.ask(n % 3, &format!("s{n}"), set("first")), Reply::Ok);
        }
        // Two commands in a row from elsewhere: the session follows its user.
        for n in 0..12 {
            for _ in 0..3 {
                assert_eq!(pair.ask((n + 1) % 3, &format!("s{n}"), set("second")), Reply::Ok);
            }
        }
        pair.kill(1);
        pair.run(3_000);
        assert!(pair.is_settled(2), "the dead one is out: {:?}", pair.view);
        for n in 0..12 {
            for at in [0, 2] {
                assert_eq!(pair.ask(at, &format!("s{n}"), Command::Get), text("second"), "s{n} at {at} among {versions:?}");
            }
        }
    }
}

#[test]
fn runtimes_without_a_common_version_stay_apart() {
    let mut pair = Pair::new(&[(1, 1), (2, 3)], &[PLAIN; 2], &[1; 2]);
    pair.run(2_000);
    assert!(pair.engine(0).status().links.iter().all(|link| !link.is_ready));
    assert!(!pair.is_settled(2));
}

#[test]
fn each_end_decides_for_itself_whether_it_compresses() {
    let mut pair = Pair::new(&[(1, 1); 2], &[LZ4, PLAIN], &[1; 2]);
    pair.run(2_000);
    assert!(pair.is_settled(2));
    let long = "0123456789".repeat(1000);
    for n in 0..10 {
        assert_eq!(pair.ask(n % 2, &format!("s{n}"), set(&long)), Reply::Ok);
        assert_eq!(pair.ask((n + 1) % 2, &format!("s{n}"), Command::Get), text(&long));
        assert_eq!(pair.ask(n % 2, &format!("t{n}"), set("short")), Reply::Ok);
    }
    assert!(pair.packed[0] >= 5, "{:?}", pair.packed);
    assert_eq!(pair.packed[1], 0);
}

#[test]
fn a_link_has_as_many_connections_as_both_ends_want_and_gets_them_back() {
    for (wanted, agreed) in [([1, 1], 1), ([8, 3], 3), ([2, 8], 2), ([4, 4], 4)] {
        let mut pair = Pair::new(&[(1, 1); 2], &[PLAIN; 2], &wanted);
        pair.run(2_000);
        let connections =
            |pair: &mut Pair, at: usize| pair.engine(at).status().links[0].connections.iter().filter(|lane| lane.is_ready).count();
        assert_eq!([connections(&mut pair, 0), connections(&mut pair, 1), pair.conns.len()], [agreed; 3], "{wanted:?}");
        for n in 0..20 {
            let conn = *pair.conns.keys().next().expect("there are some");
            pair.disconnect(conn, None);
            assert_eq!(pair.ask(n % 2, &format!("s{n}"), set("x")), Reply::Ok);
        }
        pair.run(3_000);
        assert_eq!([connections(&mut pair, 0), connections(&mut pair, 1), pair.conns.len()], [agreed; 3], "{wanted:?}");
        let before = pair.last;
        pair.run(10_000);
        assert_eq!(pair.last, before, "nobody dials any more");
        assert!(pair.is_settled(2) && pair.view.version.epoch <= 4, "nobody was evicted for it: {:?}", pair.view.version);
    }
}

#[test]
fn a_connection_that_falls_silent_is_given_up_and_what_was_on_it_arrives() {
    let mut pair = Pair::new(&[(1, 1); 2], &[PLAIN; 2], &[3, 3]);
    pair.run(2_000);
    let silent = *pair.conns.keys().next().expect("there are some");
    pair.silent.push(silent);
    for n in 0..10 {
        let (request, now) = (10_000 + n, pair.now);
        pair.engine(0).execute(now, request, Key::from(format!("s{n}")), set("x"));
    }
    pair.run(1_000);
    let lanes = pair.engine(0).status().links[0].connections.clone();
    assert!(lanes.len() == 3 && lanes.iter().all(|lane| lane.conn != ConnId(silent)), "{lanes:?}");
    for n in 0..10 {
        assert_eq!(pair.replies.remove(&(10_000 + n)), Some(Reply::Ok), "{n}");
    }
    assert!(pair.is_settled(2), "{:?}", pair.view);
}
