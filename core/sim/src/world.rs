//! A cluster in a box: hosts with engines, their clocks, the network, the arbiter and the clients; one millisecond at a time.

use std::collections::{BTreeMap, HashSet};

use bytes::{Bytes, BytesMut};
use holdfast_core::engine::{Acknowledge, Compression, Config, ConnId, Engine, Event, OnUnderReplicated, Output, SwapOutcome, TICK};
use holdfast_core::wire::{self, Frame, Message};
use holdfast_core::{Command, CommandError, Condition, Key, Member, MemberState, NodeId, Reply, Version, View};

use crate::arbiter::{Arbiter, Fate};
use crate::checks::Failures;
use crate::history::Operation;
use crate::network::{Arrival, Network};
use crate::rng::Rng;

/// How often members read the arbiter of their own accord, in milliseconds.
const REREAD: u64 = 2_000;

/// What happened in a run, for judging whether it tested anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Operations asked for.
    pub operations: u64,
    /// Operations answered.
    pub answered: u64,
    /// Writes whose outcome is unknown.
    pub unknown: u64,
    /// Reads at members that were evicted and did not know.
    pub stale_reads: u64,
    /// Processes and nodes that crashed.
    pub crashes: u64,
    /// Members that fell out of the view alive.
    pub false_evictions: u64,
    /// Views that the arbiter has shown.
    pub views: u64,
    /// Sessions taken over or appointed after a barrier.
    pub takeovers: u64,
    /// Members that left.
    pub leaves: u64,
    /// Connections that broke.
    pub resets: u64,
    /// Runs in which more failed at once than the copies can bear.
    pub excused: u64,
    /// Histories of one session that took too long to judge.
    pub undecided: u64,
}

/// One pod, over all its lives.
pub(crate) struct Host {
    pub(crate) engine: Option<Engine>,
    /// How many processes and pods it has had.
    lives: u64,
    pub(crate) pod: u64,
    /// Clocks run up to 1 % wrong and start anywhere.
    rate: u64,
    offset: u64,
    pub(crate) paused_until: u64,
    next_tick: u64,
    /// The whole node is gone: nothing says that nobody listens.
    pub(crate) is_node_down: bool,
    pub(crate) is_finishing: bool,
    /// It should run, when nothing is wrong.
    pub(crate) is_wanted: bool,
}

enum Due {
    Dialed { from: usize, life: u64, to: usize },
    Read { host: usize, life: u64 },
    Swap { host: usize, life: u64, expected: Version, view: View, fate: Fate },
    ReadAnswer { host: usize, life: u64, view: Option<View> },
    SwapAnswer { host: usize, life: u64, outcome: SwapOutcome },
    Watch { host: usize, life: u64, view: View },
    Proof { host: usize, life: u64, member: Member },
    Crash { host: usize, life: u64 },
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) hosts: Vec<Host>,
    pub(crate) network: Network,
    pub(crate) arbiter: Arbiter,
    pub(crate) copies: u8,
    pub(crate) failures: Failures,
    pub(crate) keys: Vec<Key>,
    pub(crate) operations: BTreeMap<u64, (usize, Operation)>,
    excused_reads: HashSet<u64>,
    now: u64,
    due: BTreeMap<(u64, u64), Due>,
    sequence: u64,
    violation: Option<String>,
    pub(crate) stats: Stats,
    trace: bool,
    pub(crate) is_healing: bool,
    /// Crash members that have just become full, while others are slow to hear of anything: ranges change hands twice in a moment.
    hunts: bool,
    /// Clients ask for much until then.
    pub(crate) burst_until: u64,
}

impl World {
    /// A cluster of any kind.
    pub(crate) fn new(seed: u64, trace: bool) -> World {
        let mut rng = Rng::new(seed);
        let count = rng.pick(&[2, 3, 3, 3, 4, 4, 5, 6, 7]);
        let copies = rng.pick(&[1, 1, 1, 1, 2, 2, 3]);
        let hunts = rng.chance(30);
        World { hunts, ..World::of(seed, count, copies, trace) }
    }

    /// A cluster of `count` hosts.
    pub(crate) fn of(seed: u64, count: usize, copies: u8, trace: bool) -> World {
        let mut rng = Rng::new(!seed);
        let hosts = (0..count).map(|_| {
            let (rate, offset) = (rng.between(990, 1010), rng.below(1_000_000));
            Host {
                engine: None,
                lives: 0,
                pod: 0,
                rate,
                offset,
                paused_until: 0,
                next_tick: 0,
                is_node_down: false,
                is_finishing: false,
                is_wanted: false,
            }
        });
        let hosts: Vec<Host> = hosts.collect();
        let keys = (0..rng.between(1, 3)).map(|i| Key::from(format!("sess:{i}"))).collect();
        World {
            hunts: false,
            burst_until: 0,
            network: Network::new(hosts.len()),
            rng,
            hosts,
            arbiter: Arbiter::new(copies),
            copies,
            failures: Failures::default(),
            keys,
            operations: BTreeMap::new(),
            excused_reads: HashSet::new(),
            now: 0,
            due: BTreeMap::new(),
            sequence: 0,
            violation: None,
            stats: Stats::default(),
            trace,
            is_healing: false,
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn stats(&self) -> Stats {
        self.stats
    }

    pub(crate) fn log(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:6} {}", self.now, text());
        }
    }

    pub(crate) fn violate(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(crate) fn check(&mut self) -> Result<(), String> {
        self.violation.take().map_or(Ok(()), Err)
    }

    /// Whether exactly this life of a member runs.
    pub(crate) fn is_alive(&self, member: Member) -> bool {
        let host = &self.hosts[usize::from(member.id.get())];
        host.engine.as_ref().is_some_and(|engine| engine.member() == member)
    }

    fn local(&self, host: usize) -> u64 {
        let host = &self.hosts[host];
        host.offset + self.now * host.rate / 1000
    }

    /// Starts the process of a host: in the same pod, or in a new one.
    pub(crate) fn start(&mut self, host: usize, new_pod: bool) {
        let local = self.local(host);
        let slot = &mut self.hosts[host];
        slot.lives += 1;
        slot.pod += u64::from(new_pod);
        slot.is_node_down = false;
        slot.is_finishing = false;
        slot.is_wanted = true;
        slot.paused_until = 0;
        let id = NodeId::new(host as u8).expect("there are few hosts");
        let config = Config {
            cluster: "sim".into(),
            name: format!("sim-{host}"),
            pod_uid: format!("{host}-{}", slot.pod),
            copies: self.copies,
            ack_timeout: 1_000,
            heartbeat_interval: 50,
            failure_timeout: 400,
            state_transfer_timeout: 3_000,
            max_bytes: 1 << 20,
            queue_bytes: 1 << 20,
            max_commands: 1_000,
            acknowledge: Acknowledge::default(),
            on_under_replicated: OnUnderReplicated::default(),
            connections: 1,
            compression: Compression::default(),
            transfer_rate: 0,
        };
        let member = Member { id, incarnation: slot.lives << 16 };
        slot.engine = Some(Engine::new(config, member, local));
        slot.next_tick = self.now;
        self.log(|| format!("START {member:?}"));
    }

    /// Ends the process of a host at once; with the node, nobody is told.
    pub(crate) fn crash(&mut self, host: usize, with_node: bool) {
        let Some(engine) = self.hosts[host].engine.take() else { return };
        self.stats.crashes += 1;
        self.log(|| format!("CRASH {:?}{}", engine.member(), if with_node { " with its node" } else { "" }));
        self.failures.crashed(engine.member(), self.arbiter.view(), self.now);
        self.hosts[host].is_node_down = with_node;
        self.end_connections(host, !with_node);
    }

    fn end_connections(&mut self, host: usize, tells: bool) {
        let ids: Vec<u64> = self.network.connections.iter().filter(|(_, c)| c.ends.contains(&host)).map(|(id, _)| *id).collect();
        for id in ids {
            let at = if tells { self.now + self.rng.between(0, 5) } else { u64::MAX };
            self.network.close(id, host, at);
        }
    }

    /// Gives an event to the engine of a host and does what it wants done.
    pub(crate) fn with(&mut self, host: usize, input: impl FnOnce(&mut Engine, u64)) {
        let local = self.local(host);
        let Some(engine) = self.hosts[host].engine.as_mut() else { return };
        input(engine, local);
        while let Some(output) = self.hosts[host].engine.as_mut().and_then(Engine::poll_output) {
            self.carry_out(host, output);
        }
    }

    fn later(&mut self, delay: u64, due: Due) {
        self.sequence += 1;
        self.due.insert((self.now + delay, self.sequence), due);
    }

    fn carry_out(&mut self, host: usize, output: Output) {
        let life = self.hosts[host].lives;
        match output {
            Output::Send { conn, bytes } => self.send(host, conn, bytes),
            Output::Close { conn } => self.network.close(conn.0, host, self.now + 1),
            Output::Dial { peer, .. } => {
                let delay = self.rng.between(1, 4);
                self.later(delay, Due::Dialed { from: host, life, to: usize::from(peer.get()) });
            }
            Output::ReadView => {
                let delay = self.rng.between(1, 15);
                self.later(delay, Due::Read { host, life });
            }
            Output::SwapView { expected, view } => {
                let heard = if self.is_healing { 100 } else { 85 };
                let fate = if self.rng.chance(heard) { Fate::Heard } else { self.rng.pick(&[Fate::Unheard, Fate::Late, Fate::Lost]) };
                let delay = self.rng.between(1, 15);
                self.log(|| format!("{host} proposes {view:?} on {expected:?}"));
                self.later(delay, Due::Swap { host, life, expected, view, fate });
            }
            Output::SeekProof { member, .. } => {
                let delay = self.rng.between(5, 100);
                self.later(delay, Due::Proof { host, life, member });
            }
            Output::Reply { request, reply } => self.answered(host, request, reply),
            Output::ScanReply { .. } => {}
            Output::ViewChanged(view) => self.log(|| format!("{host} adopts {:?}", view.version)),
            Output::Reset { member } => {
                self.log(|| format!("{host} starts again as {member:?}"));
                self.end_connections(host, true);
            }
            Output::Left => {
                self.log(|| format!("{host} LEFT"));
                self.stats.leaves += 1;
                let Some(engine) = self.hosts[host].engine.take() else { return };
                self.failures.crashed(engine.member(), self.arbiter.view(), self.now);
                self.hosts[host].is_wanted = false;
                self.end_connections(host, true);
            }
            Output::Event(Event::Alarm(text)) if !text.starts_with("refused a connection") => {
                self.violate(format!("alarm at host {host}: {text}"))
            }
            Output::Event(Event::Evicting { member, proven: true }) if self.is_alive(member) => {
                self.violate(format!("{host} takes {member:?}, which lives, for proven dead"));
            }
            Output::Event(event) => {
                if let Event::BarrierPassed { taken, appointed, .. } = event {
                    self.stats.takeovers += (taken + appointed) as u64;
                }
                self.log(|| format!("{host} {event:?}"));
            }
        }
    }

    fn send(&mut self, host: usize, conn: ConnId, bytes: Bytes) {
        let Some(connection) = self.network.connections.get(&conn.0) else { return };
        let peer = if connection.ends[0] == host { connection.ends[1] } else { connection.ends[0] };
        let frame = wire::decode(&mut BytesMut::from(&bytes[..]));
        if let Ok(Some(Frame::Data { message, .. })) = frame {
            self.log(|| format!("  {host} -> {peer} {message:?}"));
            if let Message::Answer { request, .. } = message {
                self.excuse_stale_read(host, request);
            }
        }
        let slow = self.network.slow[host][peer];
        let delay = self.rng.between(1, 3) + if slow > 0 { self.rng.below(slow) } else { 0 };
        self.network.send(conn.0, host, bytes, self.now + delay);
    }

    /// A read that an evicted member serves before it knows may be stale: the rules say so, and bound it otherwise.
    fn excuse_stale_read(&mut self, server: usize, request: u64) {
        let is_in = self.hosts[server].engine.as_ref().is_some_and(|engine| self.arbiter.view().has(engine.member()));
        if !is_in {
            self.excused_reads.insert(request);
        }
    }

    /// A client of `host` asks for something.
    pub(crate) fn ask(&mut self, host: usize, key: Key, command: Command) -> u64 {
        self.sequence += 1;
        let request = self.sequence;
        self.stats.operations += 1;
        self.log(|| format!("{host} op{request} {command:?} of {key:?}"));
        let operation =
            Operation { key: key.clone(), command: Some(command.clone()), invoked: self.now, answered: None, reply: None, until: None };
        self.operations.insert(request, (host, operation));
        self.with(host, |engine, now| engine.execute(now, request, key, command));
        request
    }

    fn answered(&mut self, host: usize, request: u64, reply: Reply) {
        self.excuse_stale_read(host, request);
        self.log(|| format!("{host} op{request} answered {reply:?}"));
        let Some((_, operation)) = self.operations.get_mut(&request) else { return };
        let is_read = operation.command.as_ref().is_some_and(Command::is_read_only);
        match reply {
            Reply::Error(CommandError::NotAcknowledged { .. } | CommandError::OutcomeUnknown) if !is_read => self.stats.unknown += 1,
            Reply::Error(_) => {
                self.operations.remove(&request);
            }
            reply
                if self.excused_reads.contains(&request)
                    && operation.command.as_ref().is_some_and(|command| changed_nothing(command, &reply)) =>
            {
                self.stats.stale_reads += 1;
                self.operations.remove(&request);
            }
            reply => {
                operation.answered = Some(self.now);
                operation.reply = Some(reply);
                self.stats.answered += 1;
            }
        }
    }

    /// One millisecond.
    pub(crate) fn step(&mut self) {
        self.now += 1;
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let due = entry.remove();
            self.happen(due);
        }
        let ids: Vec<u64> = self.network.connections.keys().copied().collect();
        for id in ids {
            for side in 0..2 {
                self.deliver(id, side);
            }
        }
        // As the runtime does, in case the arbiter's watch has missed something.
        if self.now.is_multiple_of(REREAD) && self.arbiter.is_up {
            for host in 0..self.hosts.len() {
                let (life, view) = (self.hosts[host].lives, self.arbiter.view().clone());
                let delay = self.rng.between(1, REREAD);
                self.later(delay, Due::Watch { host, life, view });
            }
        }
        for host in 0..self.hosts.len() {
            let slot = &mut self.hosts[host];
            if slot.paused_until <= self.now && slot.next_tick <= self.now {
                slot.next_tick = self.now + TICK;
                self.with(host, |engine, now| engine.handle_tick(now));
            }
        }
    }

    fn deliver(&mut self, id: u64, side: usize) {
        // A bound, so that one busy pipe does not hold up the others.
        for _ in 0..8 {
            let Some(connection) = self.network.connections.get(&id) else { return };
            let to = connection.ends[1 - side];
            if self.hosts[to].paused_until > self.now {
                return;
            }
            match self.network.arrival(id, side, self.now) {
                Some(Arrival::Frame(frame)) => self.with(to, |engine, now| engine.handle_frame(now, ConnId(id), frame)),
                Some(Arrival::Closed) => self.with(to, |engine, now| engine.handle_disconnected(now, ConnId(id))),
                None => return,
            }
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Dialed { from, life, to } if self.hosts[from].lives == life => self.dialed(from, to),
            Due::Read { host, life } => {
                let view = self.arbiter.is_up.then(|| self.arbiter.view().clone());
                let delay = if view.is_some() { self.rng.between(1, 15) } else { 300 };
                self.later(delay, Due::ReadAnswer { host, life, view });
            }
            Due::Swap { host, life, expected, view, fate } => {
                let before = self.arbiter.view().clone();
                let fate = if self.arbiter.is_up { fate } else { Fate::Lost };
                let outcome = self.arbiter.swap(expected, view, fate);
                self.committed(&before, Some(host));
                let delay = if outcome == SwapOutcome::Unknown { 300 } else { self.rng.between(1, 15) };
                self.later(delay, Due::SwapAnswer { host, life, outcome });
            }
            Due::ReadAnswer { host, life, view } if self.hosts[host].lives == life => match view {
                Some(view) => self.with(host, |engine, now| engine.handle_register(now, view)),
                None => self.with(host, |engine, now| engine.handle_arbiter_unreachable(now)),
            },
            Due::SwapAnswer { host, life, outcome } if self.hosts[host].lives == life => {
                self.with(host, |engine, now| engine.handle_swap(now, outcome));
            }
            Due::Watch { host, life, view } if self.hosts[host].lives == life => {
                self.with(host, |engine, now| engine.handle_watched(now, view));
            }
            Due::Proof { host, life, member } if self.hosts[host].lives == life && self.arbiter.is_up && !self.is_alive(member) => {
                self.with(host, |engine, now| engine.handle_proof_of_death(now, member));
            }
            Due::Crash { host, life } if self.hosts[host].lives == life && !self.is_healing => self.crash(host, false),
            _ => {}
        }
    }

    /// A member has become full: it is taken away again, while somebody hears of everything late.
    fn hunt(&mut self, promoted: usize) {
        let hosts = self.hosts.len();
        let slow = self.rng.below(hosts as u64) as usize;
        let (owner, delay) = (self.rng.below(hosts as u64) as usize, self.rng.between(100, 500));
        for host in 0..hosts {
            self.network.slow[host][slow] = delay;
            self.network.slow[host][owner] = 2 * delay;
        }
        let life = self.hosts[promoted].lives;
        let delay = self.rng.between(5, 80);
        self.later(delay, Due::Crash { host: promoted, life });
        self.burst_until = self.now + 600;
    }

    fn dialed(&mut self, from: usize, to: usize) {
        let peer = NodeId::new(to as u8).expect("there are few hosts");
        let target = &self.hosts[to];
        if self.network.is_cut(from, to) || target.is_node_down || target.paused_until > self.now {
            return self.with(from, |engine, now| engine.handle_dial_failed(now, peer, false));
        }
        if target.engine.is_none() {
            return self.with(from, |engine, now| engine.handle_dial_failed(now, peer, true));
        }
        let id = self.network.open(from, to);
        self.with(from, |engine, now| engine.handle_connected(now, ConnId(id), true));
        self.with(to, |engine, now| engine.handle_connected(now, ConnId(id), false));
    }

    /// The arbiter may have another view than before, by a proposal of this host if it is known.
    pub(crate) fn committed(&mut self, before: &View, by: Option<usize>) {
        let view = self.arbiter.view().clone();
        if view.version == before.version {
            return;
        }
        self.stats.views += 1;
        self.log(|| format!("COMMIT {view:?}"));
        for (id, _) in before.members.iter().filter(|(id, _)| before.member(**id) != view.member(**id)) {
            let Some(member) = before.member(*id) else { continue };
            if self.is_alive(member) {
                let host = usize::from(id.get());
                let is_leaving = self.hosts[host].is_finishing && before.state(*id) == Some(MemberState::Leave);
                let left_by_itself = is_leaving && by.is_none_or(|by| by == host);
                if !left_by_itself {
                    if before.state(*id) != Some(MemberState::Join) && before.budget == 0 {
                        self.violate(format!("{member:?}, which lives, was evicted without a budget"));
                    }
                    self.stats.false_evictions += 1;
                    self.failures.evicted(before, *id, self.now);
                }
            }
        }
        let became_full = view.full().iter().find(|id| before.state(*id) == Some(MemberState::Join));
        if let Some(promoted) = became_full.filter(|_| self.hunts && !self.is_healing && self.stats.crashes < 4) {
            self.hunt(usize::from(promoted.get()));
        }
        let alive: Vec<Member> = self.hosts.iter().filter_map(|host| host.engine.as_ref().map(Engine::member)).collect();
        self.failures.committed(before, &view, &alive, self.now);
        for host in 0..self.hosts.len() {
            if self.is_healing || self.rng.chance(80) {
                let delay = self.rng.between(1, 150);
                let life = self.hosts[host].lives;
                self.later(delay, Due::Watch { host, life, view: view.clone() });
            }
        }
    }
}

/// Whether a command turned out to be a read: such answers wait for no acknowledgement, and may be stale like those of reads.
fn changed_nothing(command: &Command, reply: &Reply) -> bool {
    match command {
        Command::Delete | Command::HashDelete { .. } => *reply == Reply::Int(0),
        Command::GetDel => *reply == Reply::Nil,
        Command::Set { condition: Condition::IfAbsent, return_old, .. } => (*reply == Reply::Nil) != *return_old,
        Command::Set { condition: Condition::IfPresent, .. } => *reply == Reply::Nil,
        other => other.is_read_only(),
    }
}

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Stats) {
        self.operations += other.operations;
        self.answered += other.answered;
        self.unknown += other.unknown;
        self.stale_reads += other.stale_reads;
        self.crashes += other.crashes;
        self.false_evictions += other.false_evictions;
        self.views += other.views;
        self.takeovers += other.takeovers;
        self.leaves += other.leaves;
        self.resets += other.resets;
        self.excused += other.excused;
        self.undecided += other.undecided;
    }
}
