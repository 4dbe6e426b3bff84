//! Some engines and the wires between them, in one process and without delay.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use holdfast_core::engine::{Compression, Config, ConnId, Engine, Output, SwapOutcome, TICK};
use holdfast_core::wire::{Capabilities, Decoder, Frame, encode};
use holdfast_core::{Command, Condition, Expiry, Key, Member, NodeId, Reply, View};

/// What an end of a wire said, in order, and who hears it.
pub(crate) type Wire = VecDeque<(usize, u64, Bytes)>;

pub(crate) struct Cluster {
    pub(crate) engines: Vec<Option<Engine>>,
    configs: Vec<Config>,
    pub(crate) versions: Vec<(u16, u16)>,
    pub(crate) view: View,
    /// The ends of each connection.
    pub(crate) conns: BTreeMap<u64, [usize; 2]>,
    pub(crate) wire: Wire,
    pub(crate) replies: BTreeMap<u64, Reply>,
    /// What clients of each member were told that is no reply to a command.
    pub(crate) told: Vec<(usize, Output)>,
    /// Frames that were packed, by sender.
    pub(crate) packed: Vec<usize>,
    /// Nothing gets through on these, and nobody is told.
    pub(crate) silent: Vec<u64>,
    pub(crate) now: u64,
    pub(crate) last: u64,
    /// What is said to this one waits.
    pub(crate) held: Option<usize>,
    waiting: Wire,
}

impl Cluster {
    pub(crate) fn new(versions: &[(u16, u16)], compression: &[Compression], connections: &[u8]) -> Cluster {
        Cluster::with_sessions(versions, compression, connections, &[])
    }

    /// A settled cluster of so many members, in which only keys that match one of these patterns move with their users.
    pub(crate) fn settled(members: usize, session_keys: &[&'static str]) -> Cluster {
        let (versions, compression, connections) = (vec![(1, 1); members], vec![Compression::None; members], vec![1; members]);
        let mut cluster = Cluster::with_sessions(&versions, &compression, &connections, session_keys);
        cluster.run(2_000);
        assert!(cluster.is_settled(members), "all have joined: {:?}", cluster.view);
        cluster
    }

    fn with_sessions(versions: &[(u16, u16)], compression: &[Compression], connections: &[u8], session_keys: &[&'static str]) -> Cluster {
        let config = |place: usize| Config {
            ack_timeout: 2_000,
            heartbeat_interval: 50,
            failure_timeout: 400,
            state_transfer_timeout: 3_000,
            queue_bytes: 1 << 20,
            max_commands: 100,
            connections: connections[place],
            compression: compression[place],
            session_keys: session_keys.iter().map(|pattern| Bytes::from_static(pattern.as_bytes())).collect(),
            ..Config::new("shop", format!("shop-{place}"), format!("uid-{place}"))
        };
        let configs: Vec<Config> = (0..versions.len()).map(config).collect();
        let engine = |(place, versions): (usize, &(u16, u16))| {
            let member = Member { id: NodeId::new(place as u8).expect("a place"), incarnation: 1000 };
            Some(Engine::new(configs[place].clone(), member, 0).with_versions(*versions))
        };
        Cluster {
            engines: versions.iter().enumerate().map(engine).collect(),
            configs,
            versions: versions.to_vec(),
            view: View::unfounded(1),
            conns: BTreeMap::new(),
            wire: Wire::new(),
            replies: BTreeMap::new(),
            told: Vec::new(),
            packed: vec![0; versions.len()],
            silent: Vec::new(),
            now: 0,
            last: 0,
            held: None,
            waiting: Wire::new(),
        }
    }

    pub(crate) fn engine(&mut self, at: usize) -> &mut Engine {
        self.engines[at].as_mut().expect("it runs")
    }

    /// Carries out what the engines want until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        while self.step() {}
    }

    /// Carries out what the engines want, and delivers one frame; whether there was anything to do.
    pub(crate) fn step(&mut self) -> bool {
        let mut idle = true;
        for at in 0..self.engines.len() {
            while let Some(output) = self.engines[at].as_mut().and_then(Engine::poll_output) {
                idle = false;
                self.carry_out(at, output);
            }
        }
        let Some((to, conn, bytes)) = self.wire.pop_front() else { return !idle };
        if self.held == Some(to) {
            self.waiting.push_back((to, conn, bytes));
        } else {
            self.deliver(to, conn, &bytes);
        }
        true
    }

    pub(crate) fn carry_out(&mut self, at: usize, output: Output) {
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
            Output::Published { .. } | Output::Noticed { .. } | Output::ScanReply { .. } => self.told.push((at, output)),
            _ => {}
        }
    }

    /// What a newer runtime says in its greeting, an older one has never seen.
    pub(crate) fn deliver(&mut self, to: usize, conn: u64, bytes: &Bytes) {
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

    pub(crate) fn disconnect(&mut self, conn: u64, by: Option<usize>) {
        let now = self.now;
        for at in self.conns.remove(&conn).into_iter().flatten().filter(|at| Some(*at) != by) {
            if let Some(engine) = self.engines[at].as_mut() {
                engine.handle_disconnected(now, ConnId(conn));
            }
        }
    }

    /// What was kept back arrives.
    pub(crate) fn release(&mut self) {
        self.held = None;
        self.wire.append(&mut self.waiting);
        self.settle();
    }

    pub(crate) fn run(&mut self, millis: u64) {
        for _ in 0..millis / TICK {
            self.tick();
            self.settle();
        }
    }

    pub(crate) fn tick(&mut self) {
        self.now += TICK;
        let (now, view) = (self.now, self.view.clone());
        for engine in self.engines.iter_mut().flatten() {
            engine.handle_tick(now);
            engine.handle_watched(now, view.clone());
        }
    }

    pub(crate) fn ask(&mut self, at: usize, key: &str, command: Command) -> Reply {
        self.last += 1;
        let (request, now) = (self.last, self.now);
        self.engine(at).execute(now, request, Key::from(key.to_owned()), command);
        self.settle();
        self.run(200);
        self.replies.remove(&request).unwrap_or_else(|| panic!("no answer at {at} for {key}"))
    }

    pub(crate) fn kill(&mut self, at: usize) {
        self.engines[at] = None;
        self.disconnect_all(at);
    }

    /// A new process in a new pod.
    pub(crate) fn restart(&mut self, at: usize) {
        self.kill(at);
        self.last += 1;
        let pod = format!("uid-{at}-{}", self.last);
        let Some(config) = self.configs.get(at).cloned() else { return };
        let member = Member { id: NodeId::new(at as u8).expect("a place"), incarnation: 1_000_000 + self.last };
        let versions = self.versions[at];
        self.engines[at] = Some(Engine::new(Config { pod_uid: pod, ..config }, member, self.now).with_versions(versions));
    }

    pub(crate) fn disconnect_all(&mut self, at: usize) {
        let conns: Vec<u64> = self.conns.iter().filter(|(_, ends)| ends.contains(&at)).map(|(conn, _)| *conn).collect();
        conns.into_iter().for_each(|conn| self.disconnect(conn, Some(at)));
    }

    pub(crate) fn is_settled(&self, members: usize) -> bool {
        self.view.full().len() == members && self.view.members.len() == members && self.view.version.sub > 0
    }
}

pub(crate) fn set(value: &str) -> Command {
    Command::Set { value: Bytes::from(value.to_owned()), expiry: Expiry::Never, condition: Condition::Always, return_old: false }
}

pub(crate) fn text(value: &str) -> Reply {
    Reply::Bytes(Bytes::from(value.to_owned()))
}
