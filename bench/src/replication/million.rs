//! A million sessions on three members: what they take, how long a fourth member needs to come in, how long it takes until everything is protected
//! again after a loss, and what live writes feel of both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use holdfast_support::progress::Progress;
use holdfast_support::world::{Ways, World};
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, sleep_until};

use crate::client::{Connection, Form, Ledger, User, VALUE};
use crate::machine;
use crate::report::{Report, Spread, Target};

const MEMBERS: u8 = 3;

/// Connections that fill each member, and writes in one go of each.
const FILLERS: usize = 4;
const BATCH: usize = 32;

/// Connections of the live writers, and how many writes a second they begin together, whatever becomes of those before.
const WRITERS: usize = 16;
const PACE: u32 = 1_000;

/// Sessions of each live writer.
const LIVE: usize = 500;

/// How long live writes are watched while nothing else happens.
const CALM: Duration = Duration::from_secs(10);

const PHASES: [&str; 3] = ["nothing else happens", "a fourth member joins", "a member is lost, until all is protected"];

const PART: &str = "1 KiB sessions on 3 members, 1 copy";

pub(crate) async fn run(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let sessions = if quick { 30_000 } else { 1_000_000 };
    let mut step = Progress::default().step(format!("{sessions} sessions"));
    let mut world = World::start(MEMBERS, 1, Ways::Direct).await?;
    sleep(Duration::from_secs(1)).await;
    let empty = memory(&world)?;
    let begun = Instant::now();
    let ledgers = fill(&world, sessions).await?;
    report.value(PART, "sessions", "", sessions as f64);
    report.value(PART, "filled in, pipelined", "s", begun.elapsed().as_secs_f64());
    sleep(Duration::from_secs(2)).await;
    let full = memory(&world)?;
    show_memory(report, &ledgers, empty, full);

    step.at("live writes");
    let live = Live::start(&world).await?;
    sleep(if quick { Duration::from_secs(2) } else { CALM }).await;

    step.at("a fourth member joins");
    live.enter(1);
    let begun = Instant::now();
    world.add(MEMBERS)?;
    world.wait(|| world.has_full(usize::from(MEMBERS) + 1)).await?;
    report.value(PART, "from the start of a fourth process until it is a full member", "s", begun.elapsed().as_secs_f64());
    world.settled(usize::from(MEMBERS) + 1).await?;
    report.value(PART, "until all is protected in that view too", "s", begun.elapsed().as_secs_f64());
    live.enter(0);
    sleep(Duration::from_secs(2)).await;

    step.at("a member is lost");
    live.enter(2);
    let begun = Instant::now();
    world.kill(MEMBERS - 1).await?;
    world.wait(|| world.has_full(usize::from(MEMBERS))).await?;
    report.value(PART, "from SIGKILL of a member until the view is without it", "s", begun.elapsed().as_secs_f64());
    world.settled(usize::from(MEMBERS)).await?;
    report.value(PART, "until all is protected again", "s", begun.elapsed().as_secs_f64());
    let (phases, users) = live.end().await?;
    for (name, (latency, errors)) in PHASES.into_iter().zip(&phases) {
        for (what, quantile) in [("p50", 0.5), ("p99", 0.99), ("longest", 1.0)] {
            let millis = latency.value_at_quantile(quantile) as f64 / 1e6;
            report.value(PART, format!("live writes while {name}: {what}"), "ms", millis);
        }
        report.value(PART, format!("live writes while {name}: ended with an error"), "", *errors as f64);
    }
    report.detail(PART, json!({"liveWrites": phases.iter().map(|(latency, _)| latency.len()).collect::<Vec<_>>(), "pacePerSecond": PACE}));

    step.at("reading all of them");
    let checked = check(&world, ledgers, users).await?;
    report.value(PART, "acknowledged values read back after that", "", checked as f64);
    step.done();
    Ok(())
}

fn memory(world: &World) -> anyhow::Result<u64> {
    world.members.values().map(|member| machine::memory_of(member.pid)).sum()
}

fn show_memory(report: &mut Report, ledgers: &[Ledger], empty: u64, full: u64) {
    let sessions: usize = ledgers.iter().map(Ledger::len).sum();
    let own = VALUE + ledgers.first().map_or(0, |ledger| ledger.key(0).len());
    let each = (full.saturating_sub(empty)) as f64 / sessions as f64;
    // A session is there twice: at its owner, and at its keeper.
    let beyond = each / 2.0 - own as f64;
    report.value(PART, "resident memory of all members, empty", "MiB", empty as f64 / f64::from(1 << 20));
    report.value(PART, "resident memory of all members, full", "MiB", full as f64 / f64::from(1 << 20));
    report.row(PART, "resident memory of one copy beyond its own key and value", "B", Spread::new([beyond]), Target::AtMost(200.0));
}

async fn fill(world: &World, sessions: usize) -> anyhow::Result<Vec<Ledger>> {
    let fillers = FILLERS * usize::from(MEMBERS);
    let mut filling = JoinSet::new();
    for n in 0..fillers {
        let mut connection = Connection::open(world.redis((n % usize::from(MEMBERS)) as u8)).await?;
        let mut ledger = Ledger::new(format!("{n:02}"), sessions.div_ceil(fillers));
        filling.spawn(async move {
            let mut left = ledger.len();
            while left > 0 {
                let now = left.min(BATCH);
                left -= now;
                let writes = (0..now).map(|_| {
                    let n = ledger.advance();
                    (ledger.key(n), ledger.value(n).to_vec())
                });
                connection.write_all(writes).await?;
            }
            anyhow::Ok(ledger)
        });
    }
    let mut ledgers = Vec::new();
    while let Some(filled) = filling.join_next().await {
        ledgers.push(filled?.context("a member could not be filled")?);
    }
    Ok(ledgers)
}

/// Writers at the first two members, which are not lost.
struct Live {
    phase: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<anyhow::Result<(User, Phases)>>>,
}

/// How long writes took, by phase, and how many of them ended with an error.
type Phases = [(Histogram<u64>, u64); 3];

impl Live {
    async fn start(world: &World) -> anyhow::Result<Self> {
        let mut live = Live { phase: Arc::default(), stop: Arc::default(), writers: Vec::new() };
        for n in 0..WRITERS {
            let connection = Connection::open(world.redis((n % 2) as u8)).await?;
            let mut user = User { connection, ledger: Ledger::new(format!("live{n:02}"), LIVE) };
            // Their sessions are there and belong to this member: a command that is at a member when it is killed would have an unknown outcome.
            for _ in 0..LIVE {
                user.write(Form::Set).await?;
            }
            live.writers.push(tokio::spawn(write_on(user, live.phase.clone(), live.stop.clone())));
        }
        Ok(live)
    }

    fn enter(&self, phase: usize) {
        self.phase.store(phase, Ordering::Relaxed);
    }

    async fn end(self) -> anyhow::Result<(Phases, Vec<User>)> {
        self.stop.store(true, Ordering::Relaxed);
        let (mut phases, mut users) = (histograms()?, Vec::new());
        for writer in self.writers {
            let (user, mine) = writer.await??;
            for (all, mine) in phases.iter_mut().zip(mine) {
                all.0.add(mine.0)?;
                all.1 += mine.1;
            }
            users.push(user);
        }
        Ok((phases, users))
    }
}

fn histograms() -> anyhow::Result<Phases> {
    Ok([(Histogram::new(3)?, 0), (Histogram::new(3)?, 0), (Histogram::new(3)?, 0)])
}

/// Writes at its pace, and counts from when a write was due: one that is held up holds up those behind it, and their users feel it.
async fn write_on(mut user: User, phase: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> anyhow::Result<(User, Phases)> {
    let mut phases = histograms()?;
    let interval = Duration::from_secs(1) * WRITERS as u32 / PACE;
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        due += interval;
        sleep_until(due.into()).await;
        let felt_in = phase.load(Ordering::Relaxed);
        // An error tells the user that the outcome is unknown; that is counted, and the ledger remembers it.
        match user.write(Form::Set).await {
            Ok(_) => phases[felt_in].0.record(due.elapsed().as_nanos() as u64)?,
            Err(_) => phases[felt_in].1 += 1,
        }
    }
    Ok((user, phases))
}

/// Reads everything at the members that are there now.
async fn check(world: &World, mut ledgers: Vec<Ledger>, users: Vec<User>) -> anyhow::Result<usize> {
    ledgers.extend(users.into_iter().map(|user| user.ledger));
    let members: Vec<u8> = world.members.keys().copied().collect();
    let mut checking = JoinSet::new();
    for (n, mut ledger) in ledgers.into_iter().enumerate() {
        let mut connection = Connection::open(world.redis(members[n % members.len()])).await?;
        checking.spawn(async move { ledger.check(&mut connection).await });
    }
    let mut checked = 0;
    while let Some(done) = checking.join_next().await {
        checked += done??;
    }
    Ok(checked)
}
