//! Contenders that take turns in short rounds, A B C C B A, so that whatever else the machine does falls on all of them. Each block of two rounds of
//! everybody gives one ratio.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use holdfast_support::progress::Step;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::line::Line;
use super::visitor::{Visit, Visitors};
use crate::machine;
use crate::report::{Report, Spread, Target};

/// Sessions that share a connection.
const SESSIONS: usize = 20;

/// Far longer than any page takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whose pages are viewed.
#[derive(Clone, Debug)]
pub(super) struct Contender {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    /// The processes of the application, and those that keep its sessions.
    pub(super) application: Vec<u32>,
    pub(super) store: Vec<u32>,
}

/// How it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// How many connections view pages at once, in one contest after the other.
    pub(super) connections: &'static [usize],
    pub(super) blocks: usize,
    pub(super) round: Duration,
    /// How many pages of each contender are viewed before anything is measured: compilers at run time need some thousands.
    pub(super) warm: u64,
}

/// What one contender did in one round.
#[derive(Debug)]
struct Round {
    length: Duration,
    latency: Histogram<u64>,
    /// CPU time of the application, the store, the client, and everything else on the machine.
    cpu: [Duration; 4],
}

/// What came of a contest.
#[derive(Debug)]
pub(super) struct Outcome {
    /// By number of connections, contender and block.
    sums: Vec<Vec<Vec<Sum>>>,
    /// By contender.
    pub(super) visits: Vec<Vec<Visit>>,
}

/// A block of one contender as one, by [`COLUMNS`].
type Sum = [f64; 8];

const COLUMNS: [&str; 8] = [
    "views/s",
    "p50 ms",
    "p99 ms",
    "application and store us/view",
    "application us/view",
    "store us/view",
    "client us/view",
    "cores busy with others",
];

/// What contenders are compared by: places in [`COLUMNS`].
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    Throughput = 0,
    P50 = 1,
    P99 = 2,
    /// CPU of the application and of what keeps its sessions.
    Cpu = 3,
}

impl Course {
    /// Lets them contend.
    pub(super) async fn run(self, contenders: &[Contender], step: Step) -> anyhow::Result<Outcome> {
        let contenders = contenders.to_vec();
        let measured = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(self.measure(&contenders, step))
        });
        measured.await?
    }

    async fn measure(self, contenders: &[Contender], mut step: Step) -> anyhow::Result<Outcome> {
        let most = self.connections.iter().copied().max().unwrap_or_default();
        let mut visitors: Vec<Vec<Visitors>> = Vec::new();
        for contender in contenders {
            step.at(&format!("{} gets warm", contender.name));
            let mut mine: Vec<Visitors> = (0..most).map(|_| Visitors::new(SESSIONS)).collect();
            let mut seen = 0;
            while seen < self.warm {
                seen += round(contender, &mut mine, most, self.round).await?.latency.len();
            }
            visitors.push(mine);
        }
        let mut sums = Vec::new();
        for connections in self.connections.iter().copied() {
            let mut by_contender: Vec<Vec<Sum>> = contenders.iter().map(|_| Vec::new()).collect();
            for block in 0..self.blocks {
                step.at(&format!("{connections} connections, block {} of {}", block + 1, self.blocks));
                let mut done: Vec<Vec<Round>> = contenders.iter().map(|_| Vec::new()).collect();
                for index in (0..contenders.len()).chain((0..contenders.len()).rev()) {
                    done[index].push(round(&contenders[index], &mut visitors[index], connections, self.round).await?);
                }
                for (sums, rounds) in by_contender.iter_mut().zip(done) {
                    sums.push(sum_up(&rounds)?);
                }
            }
            sums.push(by_contender);
        }
        step.done();
        let visits = |visitors: Vec<Visitors>| visitors.iter().flat_map(|visitors| visitors.sessions().to_vec()).collect();
        Ok(Outcome { sums, visits: visitors.into_iter().map(visits).collect() })
    }
}

/// One round, over new connections: none has been idle for so long that it was closed.
async fn round(contender: &Contender, visitors: &mut Vec<Visitors>, connections: usize, length: Duration) -> anyhow::Result<Round> {
    let failed = || format!("a page of {}", contender.name);
    let mut lines = Vec::new();
    for _ in 0..connections {
        lines.push(Line::open(contender.address).await.with_context(failed)?);
    }
    let families: Vec<u32> = contender.application.iter().flat_map(|pid| machine::family(*pid)).collect();
    let all_of = |pids: &[u32]| pids.iter().map(|pid| machine::cpu_of(*pid)).sum::<anyhow::Result<Duration>>();
    let cpu = || anyhow::Ok([all_of(&families)?, all_of(&contender.store)?, machine::cpu_here()?, machine::cpu_of_all()?]);
    let (before, begun) = (cpu()?, Instant::now());
    let mut browsers = JoinSet::new();
    for (mut visitors, mut line) in visitors.drain(..connections).zip(lines) {
        browsers.spawn(async move {
            let mut latency = Histogram::<u64>::new(3)?;
            while begun.elapsed() < length {
                latency.record(visitors.view(&mut line).await?.as_nanos() as u64)?;
            }
            anyhow::Ok((visitors, latency))
        });
    }
    let mut latency = Histogram::<u64>::new(3)?;
    while let Some(done) = timeout(length + PATIENCE, browsers.join_next()).await.with_context(failed)? {
        let (mine, its) = done?.with_context(failed)?;
        latency.add(its)?;
        visitors.push(mine);
    }
    let (length, after) = (begun.elapsed(), cpu()?);
    let [application, store, client, all] = [0, 1, 2, 3].map(|n| after[n].saturating_sub(before[n]));
    Ok(Round { length, latency, cpu: [application, store, client, all.saturating_sub(application + store + client)] })
}

fn sum_up(rounds: &[Round]) -> anyhow::Result<Sum> {
    let mut latency = Histogram::<u64>::new(3)?;
    for round in rounds {
        latency.add(&round.latency)?;
    }
    let (views, length) = (latency.len() as f64, rounds.iter().map(|round| round.length).sum::<Duration>().as_secs_f64());
    let cpu = |n: usize| rounds.iter().map(|round| round.cpu[n]).sum::<Duration>().as_secs_f64();
    let millis = |part: f64| latency.value_at_quantile(part) as f64 / 1e6;
    let each = |n: usize| cpu(n) * 1e6 / views;
    Ok([views / length, millis(0.5), millis(0.99), each(0) + each(1), each(0), each(1), each(2), cpu(3) / length])
}

impl Outcome {
    /// How one contender compares with another in the contest of this index.
    pub(super) fn ratio(&self, contest: usize, of: usize, to: usize, by: By) -> Spread {
        let (contest, column) = (&self.sums[contest], by as usize);
        Spread::new(contest[of].iter().zip(&contest[to]).map(|(of, to)| of[column] / to[column]))
    }

    /// Shows what each contender did in the contest of this index.
    pub(super) fn show(&self, report: &mut Report, part: &str, contenders: &[Contender], contest: usize) {
        let sums = &self.sums[contest];
        let row = |report: &mut Report, index: usize, what: &str, unit: &'static str, column: usize| {
            let spread = Spread::new(sums[index].iter().map(|sum| sum[column]));
            report.row(part, format!("{}: {what}", contenders[index].name), unit, spread, Target::None);
        };
        for index in 0..contenders.len() {
            row(report, index, "throughput", "views/s", 0);
            row(report, index, "p50", "ms", 1);
            row(report, index, "p99", "ms", 2);
            row(report, index, "CPU of the application", "us/view", 4);
            row(report, index, "CPU of what keeps its sessions", "us/view", 5);
            row(report, index, "CPU of the client", "us/view", 6);
        }
        let others = sums.iter().flatten().map(|sum| sum[7]);
        report.row(part, "cores busy with anything else meanwhile", "", Spread::new(others), Target::None);
        let names: Vec<&str> = contenders.iter().map(|contender| contender.name.as_str()).collect();
        report.detail(part, json!({"contenders": names, "columns": COLUMNS, "blocks": sums}));
    }
}
