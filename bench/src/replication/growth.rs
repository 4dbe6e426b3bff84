//! What a write, a lookup and being there cost as the cluster grows: whole clusters of engines in this process, over a network without delay or loss.
//! Deterministic but for the CPU time, which is that of the engines with encoding and decoding, without sockets.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use holdfast_core::engine::{self, ConnId, Engine, Output, SwapOutcome, TICK};
use holdfast_core::wire::{self, Decoder, Frame};
use holdfast_core::{Command, Condition, Expiry, Member, Millis, NodeId, Reply, View};
use holdfast_support::progress::Progress;
use nix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::client::VALUE;
use crate::report::{Report, Spread, Target};

/// Sizes of clusters.
const MEMBERS: [u8; 5] = [3, 5, 10, 20, 50];

/// How often everything is measured; only the CPU time differs.
const ROUNDS: usize = 5;

/// Commands between two ticks: as at 10,000 a second.
const AT_A_TICK: usize = 200;

pub(crate) fn run(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let mut step = Progress::default().step("Costs as the cluster grows");
    let sessions = if quick { 500 } else { 5_000 };
    for members in MEMBERS {
        step.at(&format!("{members} members"));
        let part = format!("{members} members in one process");
        let mut lab = Lab::start(members)?;
        lab.commands(sessions, 0, set(0))?;
        let writes: Vec<Cost> = (1..=ROUNDS).map(|round| lab.commands(sessions, 0, set(round))).collect::<Result<_, _>>()?;
        lab.expect = Expect::Value(ROUNDS);
        let hits = lab.commands(sessions, 1, Command::Get)?;
        lab.expect = Expect::Nil;
        let misses = lab.missing(sessions)?;
        let rest = lab.rest(Duration::from_secs(20))?;
        for (name, cost) in [("write", &writes[0]), ("lookup elsewhere", &hits), ("lookup of nothing", &misses)] {
            report.value(&part, format!("{name}: messages"), "", cost.messages);
            report.value(&part, format!("{name}: bytes"), "B", cost.bytes);
        }
        let cpu = Spread::new(writes.iter().map(|cost| cost.cpu.as_nanos() as f64 / 1e3));
        report.row(&part, "write: CPU of all engines", "us", cpu, Target::None);
        report.value(&part, "at rest: bytes each member sends", "B/s", rest.bytes / f64::from(members));
        report.value(&part, "at rest: messages each member sends", "1/s", rest.messages / f64::from(members));
        report.value(&part, "at rest: CPU of each engine", "us/s", rest.cpu.as_nanos() as f64 / 1e3 / f64::from(members));
        let json = |cost: &Cost| json!({"messages": cost.messages, "bytes": cost.bytes, "cpuNanos": cost.cpu.as_nanos() as u64, "kinds": cost.kinds});
        report
            .detail(&part, json!({"write": json(&writes[0]), "lookup": json(&hits), "miss": json(&misses), "restPerSecond": json(&rest)}));
    }
    step.done();
    Ok(())
}

/// The kind of a frame that only says that its sender lives, and what it has received.
const HEARTBEAT: &str = "Heartbeat";

/// What one command cost, or one second.
#[derive(Clone, Debug, Default)]
struct Cost {
    messages: f64,
    bytes: f64,
    cpu: Duration,
    kinds: BTreeMap<String, f64>,
}

/// What commands have to answer.
#[derive(Clone, Copy, Debug)]
enum Expect {
    Ok,
    Value(usize),
    Nil,
}

/// A cluster in which everything arrives at once.
struct Lab {
    engines: Vec<Engine>,
    register: View,
    now: Millis,
    connections: BTreeMap<ConnId, [usize; 2]>,
    under_way: VecDeque<(usize, ConnId, Bytes)>,
    last_connection: u64,
    last_request: u64,
    answers: usize,
    expect: Expect,
    /// Frames and bytes by kind since the last measurement.
    sent: BTreeMap<&'static str, (u64, u64)>,
}

impl Lab {
    fn start(members: u8) -> anyhow::Result<Self> {
        let mut lab = Lab {
            engines: Vec::new(),
            register: View::unfounded(1),
            now: 0,
            connections: BTreeMap::new(),
            under_way: VecDeque::new(),
            last_connection: 0,
            last_request: 0,
            answers: 0,
            expect: Expect::Ok,
            sent: BTreeMap::new(),
        };
        for id in 0..members {
            let member = Member { id: NodeId::new(id).context("too many members")?, incarnation: u64::from(id) + 1 };
            lab.engines.push(Engine::new(engine::Config::new("shop", format!("shop-{id}"), format!("uid-{id}")), member, lab.now));
            let begun = lab.now;
            while lab.register.full().len() < lab.engines.len() || lab.register.version.sub == 0 {
                anyhow::ensure!(lab.now < begun + 60_000, "member {id} did not join: {:?}", lab.register);
                lab.tick()?;
            }
        }
        Ok(lab)
    }

    fn tick(&mut self) -> anyhow::Result<()> {
        self.now += TICK;
        for n in 0..self.engines.len() {
            self.engines[n].handle_tick(self.now);
            self.carry_out(n)?;
        }
        self.deliver()
    }

    fn deliver(&mut self) -> anyhow::Result<()> {
        while let Some((to, conn, bytes)) = self.under_way.pop_front() {
            let length = bytes.len() as u64;
            let frame = Decoder::default().decode(&mut BytesMut::from(bytes))?.context("a whole frame")?;
            let sent = self.sent.entry(kind(&frame)).or_default();
            (sent.0, sent.1) = (sent.0 + 1, sent.1 + length);
            self.engines[to].handle_frame(self.now, conn, frame);
            self.carry_out(to)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, n: usize) -> anyhow::Result<()> {
        while let Some(output) = self.engines[n].poll_output() {
            match output {
                Output::Send { conn, bytes } => self.send(n, conn, bytes),
                Output::Dial { peer, .. } => self.connect(n, usize::from(peer.get())),
                Output::ReadView => self.engines[n].handle_register(self.now, self.register.clone()),
                Output::SwapView { expected, view } => self.swap(n, expected, view),
                Output::Close { conn } => {
                    let ends = self.connections.remove(&conn);
                    for end in ends.into_iter().flatten().filter(|end| *end != n) {
                        self.engines[end].handle_disconnected(self.now, conn);
                    }
                }
                Output::Reply { reply, .. } => {
                    self.answers += 1;
                    let is_right = match self.expect {
                        Expect::Ok => reply == Reply::Ok,
                        Expect::Value(round) => reply == Reply::Bytes(value(round)),
                        Expect::Nil => reply == Reply::Nil,
                    };
                    anyhow::ensure!(is_right, "expected {:?}, the answer is {reply:?}", self.expect);
                }
                Output::Reset { member } => anyhow::bail!("{member:?} was evicted from a perfect network"),
                Output::Event(engine::Event::Alarm(text)) => anyhow::bail!("alarm: {text}"),
                _ => {}
            }
        }
        Ok(())
    }

    fn send(&mut self, from: usize, conn: ConnId, bytes: Bytes) {
        let Some(ends) = self.connections.get(&conn) else { return };
        let to = if ends[0] == from { ends[1] } else { ends[0] };
        self.under_way.push_back((to, conn, bytes));
    }

    fn connect(&mut self, from: usize, to: usize) {
        if to >= self.engines.len() {
            return;
        }
        self.last_connection += 1;
        let conn = ConnId(self.last_connection);
        self.connections.insert(conn, [from, to]);
        self.engines[to].handle_connected(self.now, conn, false);
        self.engines[from].handle_connected(self.now, conn, true);
    }

    fn swap(&mut self, n: usize, expected: holdfast_core::Version, view: View) {
        let outcome = if self.register.version == expected {
            self.register = view.clone();
            SwapOutcome::Done(view)
        } else {
            SwapOutcome::Conflict(self.register.clone())
        };
        self.engines[n].handle_swap(self.now, outcome);
    }

    /// Runs `command` on so many sessions, each at the member that is `away` from the one that wrote it first.
    fn commands(&mut self, sessions: usize, away: usize, command: Command) -> anyhow::Result<Cost> {
        let all = self.engines.len();
        self.measure(sessions, |lab, n| lab.execute((n + away) % all, Bytes::from(format!("sess:{n:012}")), command.clone()))
    }

    /// Asks for sessions that do not exist.
    fn missing(&mut self, sessions: usize) -> anyhow::Result<Cost> {
        let all = self.engines.len();
        self.measure(sessions, |lab, n| lab.execute(n % all, Bytes::from(format!("none:{n:012}")), Command::Get))
    }

    fn execute(&mut self, at: usize, key: Bytes, command: Command) -> anyhow::Result<()> {
        self.last_request += 1;
        self.engines[at].execute(self.now, self.last_request, key, command);
        self.carry_out(at)?;
        self.deliver()
    }

    fn measure(&mut self, count: usize, mut act: impl FnMut(&mut Self, usize) -> anyhow::Result<()>) -> anyhow::Result<Cost> {
        self.sent.clear();
        self.answers = 0;
        let mut cpu = Duration::ZERO;
        for n in 0..count {
            let before = cpu_time()?;
            act(self, n)?;
            cpu += cpu_time()?.saturating_sub(before);
            if n % AT_A_TICK == 0 {
                self.tick()?;
            }
        }
        anyhow::ensure!(self.answers == count, "{} of {count} commands were answered", self.answers);
        Ok(self.cost(count as f64, cpu, false))
    }

    /// So long nothing happens. What that costs in a second.
    fn rest(&mut self, length: Duration) -> anyhow::Result<Cost> {
        self.sent.clear();
        let end = self.now + length.as_millis() as Millis;
        let before = cpu_time()?;
        while self.now < end {
            self.tick()?;
        }
        let cpu = cpu_time()?.saturating_sub(before);
        Ok(self.cost(length.as_secs_f64(), cpu, true))
    }

    /// Signs of life count only where nothing else happens: how many fall on a command depends on how many commands there are.
    fn cost(&self, count: f64, cpu: Duration, is_rest: bool) -> Cost {
        let all = self.sent.iter().filter(|(kind, _)| is_rest || **kind != HEARTBEAT);
        let (messages, bytes) = all.fold((0, 0), |sum, (_, sent)| (sum.0 + sent.0, sum.1 + sent.1));
        let kinds = self.sent.iter().map(|(kind, sent)| ((*kind).to_owned(), sent.0 as f64 / count)).collect();
        Cost { messages: messages as f64 / count, bytes: bytes as f64 / count, cpu: cpu.div_f64(count), kinds }
    }
}

fn kind(frame: &Frame) -> &'static str {
    match frame {
        Frame::Heartbeat { .. } => HEARTBEAT,
        Frame::Data { message: wire::Message::Put { .. }, .. } => "Put",
        Frame::Data { message: wire::Message::Ack { .. }, .. } => "Ack",
        Frame::Data { message: wire::Message::Forward { .. }, .. } => "Forward",
        Frame::Data { message: wire::Message::Answer { .. }, .. } => "Answer",
        Frame::Data { message: wire::Message::Redirect { .. }, .. } => "Redirect",
        _ => "other",
    }
}

fn value(round: usize) -> Bytes {
    Bytes::from(vec![b'a' + (round % 26) as u8; VALUE])
}

fn set(round: usize) -> Command {
    Command::Set { value: value(round), expiry: Expiry::After(1_800_000), condition: Condition::Always, return_old: false }
}

/// CPU time of this thread so far.
fn cpu_time() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("cannot read the clock of this thread")?.into())
}
