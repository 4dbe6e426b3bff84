//! Synchronous writes beside Redis with one replica and `WAIT 1`. The contenders take turns in short rounds, A B C C B A, so that whatever else the
//! machine does falls on all of them; each block of six rounds gives one ratio.

use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use holdfast_support::progress::{Progress, Step};
use holdfast_support::world::{Ways, World};
use serde_json::json;
use tokio::task::JoinSet;

use crate::client::{Connection, Form, Ledger, User};
use crate::machine;
use crate::redis_pair::RedisPair;
use crate::report::{Report, Spread, Target};

/// How many connections write at once.
const CONNECTIONS: [usize; 3] = [1, 16, 50];

/// Keys of each connection; at one connection these are all.
const KEYS: usize = 200;

/// A contender and the processes behind it.
#[derive(Debug, Clone)]
struct Contender {
    name: &'static str,
    form: Form,
    address: std::net::SocketAddr,
    pids: [u32; 2],
}

/// What one contender did in one round.
struct Round {
    writes: u64,
    length: Duration,
    latency: Histogram<u64>,
    /// CPU time of the first server, the second, the client, and everything else on the machine.
    cpu: [Duration; 4],
}

/// All rounds of one contender with one number of connections, by block.
type Blocks = Vec<[Round; 2]>;

pub(crate) async fn run(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let step = Progress::default().step("Synchronous writes beside Redis");
    let mut world = World::start(2, 1, Ways::Direct).await?;
    let pair = RedisPair::start().await?;
    let redis = [pair.primary.pid, pair.replica.pid];
    let contenders = [
        Contender { name: "Holdfast", form: Form::Set, address: world.redis(0), pids: [world.members[&0].pid, world.members[&1].pid] },
        Contender { name: "Redis, one trip", form: Form::SetAndWait, address: pair.primary.address, pids: redis },
        Contender { name: "Redis, two trips", form: Form::SetThenWait, address: pair.primary.address, pids: redis },
    ];
    let (blocks, length) = if quick { (1, Duration::from_millis(300)) } else { (7, Duration::from_secs(1)) };
    let turns = contenders.clone();
    let measured = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(measure(&turns, blocks, length, step))
    });
    let Measured { rounds, ledgers } = measured.await??;
    for (connections, by_contender) in CONNECTIONS.into_iter().zip(&rounds) {
        show(report, &contenders, connections, by_contender);
    }
    let checked = check(&mut world, &pair, ledgers).await?;
    report.value("writes", "acknowledged values read back from owner, and from keeper after SIGKILL", "", checked as f64);
    Ok(())
}

/// Everything that came out.
struct Measured {
    /// By number of connections and contender.
    rounds: Vec<Vec<Blocks>>,
    /// What each contender's connections wrote.
    ledgers: Vec<Vec<Ledger>>,
}

async fn measure(contenders: &[Contender], blocks: usize, length: Duration, mut step: Step) -> anyhow::Result<Measured> {
    let most = CONNECTIONS.into_iter().max().unwrap_or_default();
    let mut users: Vec<Vec<User>> = Vec::new();
    for (index, contender) in contenders.iter().enumerate() {
        let mut mine = Vec::new();
        for n in 0..most {
            let connection = Connection::open(contender.address).await?;
            mine.push(User { connection, ledger: Ledger::new(format!("{index}:{n:03}"), KEYS) });
        }
        // Warm, and every key there: what is measured are writes to sessions that exist.
        for user in &mut mine {
            for _ in 0..KEYS {
                user.write(contender.form).await.with_context(|| format!("a write to {}", contender.name))?;
            }
        }
        users.push(mine);
    }
    let mut rounds = Vec::new();
    for connections in CONNECTIONS {
        let mut by_contender: Vec<Blocks> = contenders.iter().map(|_| Blocks::new()).collect();
        for block in 0..blocks {
            step.at(&format!("{connections} connections, block {} of {blocks}", block + 1));
            let order = (0..contenders.len()).chain((0..contenders.len()).rev());
            let mut done: Vec<Vec<Round>> = contenders.iter().map(|_| Vec::new()).collect();
            for index in order {
                done[index].push(round(&contenders[index], &mut users[index], connections, length).await?);
            }
            for (blocks, done) in by_contender.iter_mut().zip(done) {
                blocks.push(<[Round; 2]>::try_from(done).ok().context("two rounds each")?);
            }
        }
        rounds.push(by_contender);
    }
    let ledgers = users.into_iter().map(|users| users.into_iter().map(|user| user.ledger).collect()).collect();
    step.done();
    Ok(Measured { rounds, ledgers })
}

async fn round(contender: &Contender, users: &mut Vec<User>, connections: usize, length: Duration) -> anyhow::Result<Round> {
    let [first, second] = contender.pids;
    let cpu = || anyhow::Ok([machine::cpu_of(first)?, machine::cpu_of(second)?, machine::cpu_here()?, machine::cpu_of_all()?]);
    let (before, begun) = (cpu()?, Instant::now());
    let mut writers = JoinSet::new();
    for mut user in users.drain(..connections) {
        let form = contender.form;
        writers.spawn(async move {
            let mut latency = Histogram::<u64>::new(3)?;
            while begun.elapsed() < length {
                latency.record(user.write(form).await?.as_nanos() as u64)?;
            }
            anyhow::Ok((user, latency))
        });
    }
    let mut latency = Histogram::<u64>::new(3)?;
    while let Some(done) = writers.join_next().await {
        let (user, mine) = done?.with_context(|| format!("a write to {}", contender.name))?;
        latency.add(mine)?;
        users.push(user);
    }
    let length = begun.elapsed();
    let after = cpu()?;
    let [first, second, client, all] = [0, 1, 2, 3].map(|n| after[n].saturating_sub(before[n]));
    Ok(Round { writes: latency.len(), length, latency, cpu: [first, second, client, all.saturating_sub(first + second + client)] })
}

/// A block as one: writes a second, p50 and p99 in microseconds, and the CPU of both servers and the client in microseconds a write.
fn sum_up(block: &[Round; 2]) -> [f64; 6] {
    let [a, b] = block;
    let mut latency = a.latency.clone();
    // Both have the same bounds.
    let _ = latency.add(&b.latency);
    let writes = (a.writes + b.writes) as f64;
    let micros = |part: f64| latency.value_at_quantile(part) as f64 / 1e3;
    let cpu = |n: usize| (a.cpu[n] + b.cpu[n]).as_secs_f64() * 1e6 / writes;
    [writes / (a.length + b.length).as_secs_f64(), micros(0.5), micros(0.99), cpu(0), cpu(1), cpu(2)]
}

fn show(report: &mut Report, contenders: &[Contender], connections: usize, by_contender: &[Blocks]) {
    let part = format!("synchronous writes of 1 KiB, {connections} connections");
    let sums: Vec<Vec<[f64; 6]>> = by_contender.iter().map(|blocks| blocks.iter().map(sum_up).collect()).collect();
    let column = |index: usize, column: usize| Spread::new(sums[index].iter().map(|sum| sum[column]));
    let peer = if column(1, 0).median() >= column(2, 0).median() { 1 } else { 2 };
    let ratio = |n: usize| Spread::new(sums[0].iter().zip(&sums[peer]).map(|(ours, theirs)| ours[n] / theirs[n]));
    let (throughput, tail) = if connections == 1 { (Target::None, Target::None) } else { (Target::AtLeast(3.0), Target::Below(1.0)) };
    report.row(&part, format!("throughput, Holdfast / {}", contenders[peer].name), "", ratio(0), throughput);
    report.row(&part, "p50, Holdfast / peer", "", ratio(1), Target::None);
    report.row(&part, "p99, Holdfast / peer", "", ratio(2), tail);
    for (index, contender) in contenders.iter().enumerate() {
        report.row(&part, format!("{}: throughput", contender.name), "writes/s", column(index, 0), Target::None);
        report.row(&part, format!("{}: p50", contender.name), "us", column(index, 1), Target::None);
        report.row(&part, format!("{}: p99", contender.name), "us", column(index, 2), Target::None);
        for (n, who) in ["the server that is written to", "its copy", "the client"].into_iter().enumerate() {
            report.row(&part, format!("{}: CPU of {who}", contender.name), "us/write", column(index, 3 + n), Target::None);
        }
    }
    let others = by_contender.iter().flatten().flatten().map(|round| round.cpu[3].as_secs_f64() / round.length.as_secs_f64());
    report.row(&part, "cores busy with anything else meanwhile", "", Spread::new(others), Target::None);
    let names: Vec<&str> = contenders.iter().map(|contender| contender.name).collect();
    report.detail(&part, json!({"contenders": names, "columns": ["writes/s", "p50 us", "p99 us", "server us/write", "copy us/write", "client us/write"], "blocks": sums}));
}

/// Every value that was acknowledged last is at the owner, and still there once the owner is killed: so both had it.
async fn check(world: &mut World, pair: &RedisPair, mut ledgers: Vec<Vec<Ledger>>) -> anyhow::Result<usize> {
    let mut checked = 0;
    for (place, index) in [(pair.primary.address, 1), (pair.primary.address, 2), (pair.replica.address, 1), (pair.replica.address, 2)] {
        let mut connection = Connection::open(place).await?;
        for ledger in &mut ledgers[index] {
            ledger.check(&mut connection).await.context("Redis lost a write")?;
        }
    }
    let mut owner = Connection::open(world.redis(0)).await?;
    for ledger in &mut ledgers[0] {
        checked += ledger.check(&mut owner).await.context("the owner lost a write")?;
    }
    world.kill(0).await?;
    let mut keeper = Connection::open(world.redis(1)).await?;
    for ledger in &mut ledgers[0] {
        ledger.check(&mut keeper).await.context("the keeper lost a write")?;
    }
    Ok(checked)
}
