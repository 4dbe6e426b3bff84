//! A cluster in a box: hosts with engines, their clocks, the network, the arbiter and the clients; one millisecond at a time.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use holdfast_core::engine::{Acknowledge, ConnId, Engine, Event, OnUnderReplicated, Output, SwapOutcome};
use holdfast_core::wire::{Decoder, Frame};
use holdfast_core::{Key, Member, MemberState, NodeId, Place, Version, View};

use crate::action::Action;
use crate::arbiter::{Arbiter, Fate};
use crate::clients::Scan;
use crate::excuses::Failures;
use crate::history::Operation;
use crate::network::Network;
use crate::rng::Rng;
use crate::setup::Setup;
use crate::stats::Stats;
use crate::together::Together;

/// One pod, over all its lives.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) engine: Option<Engine>,
    /// How many processes and pods it has had.
    pub(crate) lives: u64,
    pub(crate) pod: u64,
    /// Clocks run up to 1 % wrong and start anywhere.
    rate: u64,
    offset: u64,
    pub(crate) paused_until: u64,
    pub(crate) next_tick: u64,
    /// The whole node is gone: nothing says that nobody listens.
    pub(crate) is_node_down: bool,
    /// It cannot reach the arbiter.
    pub(crate) is_blind: bool,
    pub(crate) is_finishing: bool,
    pub(crate) is_drained: bool,
    /// Who its process is.
    life: Option<Member>,
    /// The last view that it adopted.
    adopted: Version,
    /// It should run, when nothing is wrong.
    pub(crate) is_wanted: bool,
}

/// What will happen.
pub(crate) enum Due {
    Dialed { from: usize, life: u64, to: usize },
    Read { host: usize, life: u64 },
    Swap { host: usize, life: u64, expected: Version, view: View, fate: Fate },
    ReadAnswer { host: usize, life: u64, view: Option<View> },
    SwapAnswer { host: usize, life: u64, outcome: SwapOutcome },
    Watch { host: usize, life: u64, view: View },
    Proof { host: usize, life: u64, member: Member },
    ScanOn { host: usize, life: u64, request: u64, cursor: u64, count: u32 },
    Together { life: u64, together: Together },
}

pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) hosts: Vec<Host>,
    pub(crate) network: Network,
    pub(crate) arbiter: Arbiter,
    pub(crate) failures: Failures,
    pub(crate) keys: Vec<Key>,
    pub(crate) crowd: Vec<Key>,
    /// Those of the crowd whose creation was acknowledged.
    pub(crate) created: BTreeSet<Key>,
    pub(crate) operations: BTreeMap<u64, Operation>,
    /// Requests that have to be answered, and by when.
    pub(crate) expected: BTreeSet<(u64, u64)>,
    pub(crate) scans: BTreeMap<u64, Scan>,
    /// What was done, and when.
    pub(crate) script: Vec<(u64, Action)>,
    pub(crate) due: BTreeMap<(u64, u64), Due>,
    pub(crate) now: u64,
    pub(crate) sequence: u64,
    violation: Option<String>,
    pub(crate) stats: Stats,
    trace: bool,
    pub(crate) is_healing: bool,
    /// When all was at rest after everything was healed.
    pub(crate) rested: Option<u64>,
    /// Some engine may have changed in this millisecond.
    pub(crate) is_touched: bool,
    /// Somebody was evicted without a budget, so that nothing is promised any more.
    pub(crate) is_lossy: bool,
    /// When a member last crashed, left, or lost its life in the view.
    pub(crate) last_failure: u64,
    /// Who became full in the last view.
    pub(crate) promoted: Option<usize>,
    /// How many copies everybody asks for now, if that has changed.
    pub(crate) copies: Option<u8>,
}

impl World {
    pub(crate) fn new(setup: Setup, trace: bool) -> World {
        let mut rng = Rng::of(setup.seed, [4, 0, 0, 0]);
        let host = |_| Host { rate: rng.between(990, 1010), offset: rng.below(1_000_000), ..Host::default() };
        let hosts: Vec<Host> = (0..setup.hosts).map(host).collect();
        let keys = (setup.first..setup.first + setup.keys).map(|i| Key::from(format!("sess:{i}"))).collect();
        let crowd = (0..setup.crowd).map(|i| Key::from(format!("crowd:{i}"))).collect();
        World {
            network: Network::new(hosts.len()),
            hosts,
            arbiter: Arbiter::new(setup.copies),
            failures: Failures::new(setup.acknowledge),
            keys,
            crowd,
            created: BTreeSet::new(),
            operations: BTreeMap::new(),
            expected: BTreeSet::new(),
            scans: BTreeMap::new(),
            script: Vec::new(),
            due: BTreeMap::new(),
            now: 0,
            sequence: 0,
            violation: None,
            stats: Stats::default(),
            trace,
            is_healing: false,
            rested: None,
            is_touched: false,
            is_lossy: false,
            last_failure: 0,
            promoted: None,
            copies: None,
            setup,
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Chance for one matter at this moment, whatever else happens in it.
    pub(crate) fn draw(&self, kind: u64, a: usize, b: usize) -> Rng {
        Rng::of(self.setup.seed, [kind, self.now, a as u64, b as u64])
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

    pub(crate) fn engines(&self) -> impl Iterator<Item = &Engine> {
        self.hosts.iter().filter_map(|host| host.engine.as_ref())
    }

    /// Whether exactly this life of a member runs.
    pub(crate) fn is_alive(&self, member: Member) -> bool {
        let host = &self.hosts[usize::from(member.id.get())];
        host.engine.as_ref().is_some_and(|engine| engine.member() == member)
    }

    /// Whether a host runs and is not paused.
    pub(crate) fn is_awake(&self, host: usize) -> bool {
        self.hosts[host].engine.is_some() && self.hosts[host].paused_until <= self.now
    }

    fn local(&self, host: usize) -> u64 {
        let host = &self.hosts[host];
        host.offset + self.now * host.rate / 1000
    }

    /// Starts the process of a host: in the same pod, or in a new one.
    pub(crate) fn start(&mut self, host: usize, new_pod: bool) {
        let local = self.local(host);
        let slot = &mut self.hosts[host];
        if slot.engine.is_some() {
            return;
        }
        slot.lives += 1;
        slot.pod += u64::from(new_pod);
        slot.is_node_down = false;
        slot.is_finishing = false;
        slot.is_drained = false;
        slot.adopted = Version::default();
        slot.is_wanted = true;
        slot.paused_until = 0;
        let id = NodeId::new(host as u8).expect("there are few hosts");
        let config = self.setup.config(format!("sim-{host}"), format!("{host}-{}", slot.pod));
        let member = Member { id, incarnation: slot.lives << 16 };
        #[cfg_attr(not(feature = "broken-rules"), expect(unused_mut, reason = "an engine whose rules are all kept is ready as it is"))]
        let mut engine = Engine::new(config, member, local).with_step(self.setup.step).with_stripe(self.setup.stripe);
        #[cfg(feature = "broken-rules")]
        if let Some(rule) = self.setup.broken {
            engine.break_rule(rule);
        }
        slot.engine = Some(engine);
        slot.life = Some(member);
        slot.next_tick = self.now;
        self.log(|| format!("START {member:?}"));
        let place = self.setup.place(host);
        if place != Place::default() {
            self.with(host, |engine, now| engine.handle_place(now, place));
        }
        if let Some(copies) = self.copies {
            self.with(host, |engine, now| engine.handle_copies(now, copies));
        }
    }

    /// Ends the process of a host at once; with the node, nobody is told.
    pub(crate) fn crash(&mut self, host: usize, with_node: bool) {
        let Some(engine) = self.hosts[host].engine.take() else { return };
        self.stats.crashes += 1;
        self.last_failure = self.now;
        self.log(|| format!("CRASH {:?}{}", engine.member(), if with_node { " with its node" } else { "" }));
        self.failures.crashed(engine.member(), self.arbiter.view(), self.now);
        self.hosts[host].is_node_down = with_node;
        self.end_connections(host, !with_node);
    }

    fn end_connections(&mut self, host: usize, tells: bool) {
        let ids: Vec<u64> = self.network.connections.iter().filter(|(_, c)| c.ends.contains(&host)).map(|(id, _)| *id).collect();
        for id in ids {
            let at = if tells { self.now + self.draw(5, host, id as usize).between(0, 5) } else { u64::MAX };
            self.network.close(id, host, at);
        }
    }

    /// Gives an event to the engine of a host and does what it wants done.
    pub(crate) fn with(&mut self, host: usize, input: impl FnOnce(&mut Engine, u64)) {
        let local = self.local(host);
        let Some(engine) = self.hosts[host].engine.as_mut() else { return };
        self.is_touched = true;
        input(engine, local);
        // Some have time for what is not urgent after each event, others only at each tick.
        if self.setup.seed.is_multiple_of(2) {
            engine.work(local);
        }
        while let Some(output) = self.hosts[host].engine.as_mut().and_then(Engine::poll_output) {
            self.carry_out(host, output);
        }
    }

    pub(crate) fn later(&mut self, delay: u64, due: Due) {
        self.sequence += 1;
        self.due.insert((self.now + delay, self.sequence), due);
    }

    fn carry_out(&mut self, host: usize, output: Output) {
        let life = self.hosts[host].lives;
        match output {
            Output::Send { conn, bytes } => self.send(host, conn, bytes),
            Output::Close { conn } => self.network.close(conn.0, host, self.now + 1),
            Output::Dial { peer, .. } => {
                let to = usize::from(peer.get());
                self.later(self.draw(6, host, to).between(1, 4), Due::Dialed { from: host, life, to });
            }
            Output::ReadView => self.later(self.draw(7, host, 0).between(1, 15), Due::Read { host, life }),
            Output::SwapView { expected, view } => {
                let mut chance = self.draw(8, host, 0);
                let heard = if self.is_healing { 100 } else { 100 - self.setup.unheard };
                let fate = if chance.chance(heard) { Fate::Heard } else { chance.pick(&[Fate::Unheard, Fate::Late, Fate::Lost]) };
                self.log(|| format!("{host} proposes {view:?} on {expected:?}"));
                self.later(chance.between(1, 15), Due::Swap { host, life, expected, view, fate });
            }
            Output::SeekProof { member, .. } => {
                let delay = self.draw(9, host, usize::from(member.id.get())).between(5, 100);
                self.later(delay, Due::Proof { host, life, member });
            }
            Output::Reply { request, reply } => self.answered(host, request, reply),
            Output::ScanReply { request, page } => self.scanned(host, request, page),
            Output::ViewChanged(view) => {
                self.log(|| format!("{host} adopts {:?}", view.version));
                let before = std::mem::replace(&mut self.hosts[host].adopted, view.version);
                if view.version < before {
                    self.violate(format!("host {host} goes back from {before:?} to {:?}", view.version));
                }
            }
            Output::Reset { member } => {
                self.log(|| format!("{host} starts again as {member:?}"));
                let before = self.hosts[host].life.replace(member);
                before.into_iter().for_each(|before| self.failures.forgot(before, self.now));
                self.last_failure = self.now;
                self.end_connections(host, true);
            }
            Output::Left => {
                self.log(|| format!("{host} LEFT"));
                self.scans.retain(|_, scan| scan.host != host);
                self.stats.leaves += 1;
                self.last_failure = self.now;
                let Some(engine) = self.hosts[host].engine.take() else { return };
                self.failures.crashed(engine.member(), self.arbiter.view(), self.now);
                self.hosts[host].is_wanted = false;
                self.end_connections(host, true);
            }
            Output::Event(event) => self.told(host, event),
            // Nobody here publishes or wants notices; core/tests/engines/broadcast.rs does.
            Output::Published { .. } | Output::Noticed { .. } => {}
        }
    }

    fn told(&mut self, host: usize, event: Event) {
        self.log(|| format!("{host} {event:?}"));
        match event {
            Event::Alarm(text) if !text.starts_with("refused a connection") => self.violate(format!("alarm at host {host}: {text}")),
            Event::Evicting { member, proven: true } if self.is_alive(member) => {
                self.violate(format!("{host} takes {member:?}, which lives, for proven dead"));
            }
            Event::Expired { key } if self.setup.acknowledge == Acknowledge::Applied => self.expired(key),
            Event::Suspected { .. } if self.setup.on_under_replicated == OnUnderReplicated::Accept => {
                self.failures.suspected(self.now);
            }
            Event::BarrierPassed { taken, appointed, .. } => self.stats.takeovers += (taken + appointed) as u64,
            _ => {}
        }
    }

    fn send(&mut self, host: usize, conn: ConnId, bytes: Bytes) {
        let Some(connection) = self.network.connections.get(&conn.0) else { return };
        let peer = if connection.ends[0] == host { connection.ends[1] } else { connection.ends[0] };
        if self.trace
            && let Ok(Some(Frame::Data { message, .. })) = Decoder::default().decode(&mut BytesMut::from(&bytes[..]))
        {
            self.log(|| format!("  {host} -> {peer} {message:?}"));
        }
        let slow = self.network.slow[host][peer];
        let mut chance = self.draw(10, host, peer);
        let delay = chance.between(1, 3) + if slow > 0 { chance.below(slow) } else { 0 };
        self.network.send(conn.0, host, bytes, self.now + delay);
    }

    /// The arbiter may have another view than before, by a proposal of this host if it is known.
    pub(crate) fn committed(&mut self, before: &View, by: Option<usize>) {
        let view = self.arbiter.view().clone();
        if view.version == before.version {
            return;
        }
        self.stats.views += 1;
        if view.is_lossy && self.setup.on_under_replicated != OnUnderReplicated::Accept {
            self.violate(format!("a lossy view although nobody accepts that: {view:?}"));
        }
        self.is_lossy |= view.is_lossy;
        self.log(|| format!("COMMIT {view:?}"));
        for (id, _) in before.members.iter().filter(|(id, _)| before.member(**id) != view.member(**id)) {
            let Some(member) = before.member(*id).filter(|member| self.is_alive(*member)) else { continue };
            let host = usize::from(id.get());
            let is_leaving = self.hosts[host].is_finishing && before.state(*id) == Some(MemberState::Leave);
            if is_leaving && by.is_none_or(|by| by == host) {
                continue;
            }
            if before.state(*id) != Some(MemberState::Join) && before.budget == 0 && !view.is_lossy {
                self.violate(format!("{member:?}, which lives, was evicted without a budget"));
            }
            self.stats.false_evictions += 1;
            self.last_failure = self.now;
            self.failures.evicted(before, *id, self.now);
        }
        if usize::from(view.budget) + 1 > view.full().len().max(1) {
            self.violate(format!("the budget is larger than the number of other Full members: {view:?}"));
        }
        let became_full = view.full().iter().find(|id| before.state(*id) == Some(MemberState::Join));
        self.promoted = became_full.map(|id| usize::from(id.get()));
        let alive: Vec<Member> = self.engines().map(Engine::member).collect();
        self.failures.committed(before, &view, &alive, self.now);
        for host in 0..self.hosts.len() {
            let mut chance = self.draw(11, host, 0);
            if self.is_healing || chance.chance(80) {
                let life = self.hosts[host].lives;
                self.later(chance.between(1, 150), Due::Watch { host, life, view: view.clone() });
            }
        }
    }
}
