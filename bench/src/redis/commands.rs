//! `GET` and `SET` of 1 KiB, over both ways in, with few and many connections, one by one and in pipelines. The servers take turns in short rounds,
//! A B B A, so that whatever else the machine does falls on both; each such block gives one ratio.

use holdfast_support::progress::Progress;
use serde_json::json;

use super::load::{Ask, Load, Outcome, Way};
use super::servers::{SESSIONS, Server};
use crate::report::{Report, Spread, Target};

const CONNECTIONS: [usize; 4] = [1, 16, 50, 500];

const PIPELINES: [usize; 2] = [1, 16];

/// Both as good as the peer; a p99 is not told apart by less than this.
const THROUGHPUT: Target = Target::AtLeast(1.0);
const TAIL: Target = Target::Below(1.05);

/// How much CPU time of the server a round is to take, in seconds: whatever else the machine does, as many commands are measured.
const ROUND: f64 = 0.25;

pub(crate) async fn run(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let mut step = Progress::default().step("GET and SET beside Redis");
    let servers = [Server::holdfast(1).await?, Server::redis(1).await?];
    for server in &servers {
        server.fill(SESSIONS).await?;
    }
    let (blocks, length) = if quick { (1, ROUND / 6.0) } else { (5, ROUND) };
    for way in [Way::Tcp, Way::Socket] {
        for pipeline in PIPELINES {
            for connections in CONNECTIONS {
                for ask in [Ask::Get, Ask::Set] {
                    let load = Load { way, ask, connections, pipeline, threads: 1 };
                    step.at(&load.name());
                    let mut done = Vec::new();
                    let commands = [load.commands_in(length, &servers[0]).await?, load.commands_in(length, &servers[1]).await?];
                    for _ in 0..blocks {
                        done.push(block(&load, &servers, commands).await?);
                    }
                    show(report, &load, &done);
                }
            }
        }
    }
    let mut checked = 0;
    for server in &servers {
        checked += server.check(SESSIONS).await?;
    }
    report.value("in the end", "sessions read back whole, both together", "", checked as f64);
    step.done();
    Ok(())
}

/// Two rounds of each, Holdfast's and Redis'.
type Block = [[Outcome; 2]; 2];

async fn block(load: &Load, [holdfast, redis]: &[Server; 2], [ours, theirs]: [usize; 2]) -> anyhow::Result<Block> {
    let first = load.run(holdfast, ours).await?;
    let second = load.run(redis, theirs).await?;
    let third = load.run(redis, theirs).await?;
    Ok([[first, load.run(holdfast, ours).await?], [second, third]])
}

/// CPU of the server in microseconds a command, commands a second, p50 and p99 in milliseconds, CPU of the generator in microseconds a command, and
/// how many cores everything else kept busy.
fn sum_up([a, b]: &[Outcome; 2]) -> [f64; 6] {
    let mean = |value: fn(&Outcome) -> f64| (value(a) + value(b)) / 2.0;
    let commands = (a.commands + b.commands) as f64;
    let micros = |part: fn(&Outcome) -> std::time::Duration| (part(a) + part(b)).as_secs_f64() * 1e6 / commands;
    let others = (a.others + b.others).as_secs_f64() / (a.length + b.length).as_secs_f64();
    [
        micros(|outcome| outcome.server),
        mean(|outcome| outcome.a_second),
        mean(|outcome| outcome.p50),
        mean(|outcome| outcome.p99),
        micros(|outcome| outcome.generator),
        others,
    ]
}

fn show(report: &mut Report, load: &Load, blocks: &[Block]) {
    let sums: Vec<[[f64; 6]; 2]> = blocks.iter().map(|[ours, theirs]| [sum_up(ours), sum_up(theirs)]).collect();
    let spread = |value: &dyn Fn(&[[f64; 6]; 2]) -> f64| Spread::new(sums.iter().map(value));
    let part = load.name();
    report.row(&part, "throughput for each core of CPU, Holdfast / Redis", "", spread(&|[ours, theirs]| theirs[0] / ours[0]), THROUGHPUT);
    report.row(&part, "p99, Holdfast / Redis", "", spread(&|[ours, theirs]| ours[3] / theirs[3]), TAIL);
    for (n, name) in ["Holdfast", "Redis"].into_iter().enumerate() {
        report.row(&part, format!("{name}: CPU of the server"), "us/command", spread(&|both| both[n][0]), Target::None);
        report.row(&part, format!("{name}: throughput"), "commands/s", spread(&|both| both[n][1]), Target::None);
        report.row(&part, format!("{name}: p99"), "ms", spread(&|both| both[n][3]), Target::None);
        report.row(&part, format!("{name}: CPU of the generator"), "us/command", spread(&|both| both[n][4]), Target::None);
    }
    report.row(&part, "cores busy with anything else meanwhile", "", spread(&|both| (both[0][5] + both[1][5]) / 2.0), Target::None);
    report.detail(
        &part,
        json!({"columns": ["server us/command", "commands/s", "p50 ms", "p99 ms", "generator us/command", "cores busy with others"], "blocks": sums}),
    );
}
