//! What a second thread brings: members that serve their clients on one thread and on two, beside Redis without and with a thread more for reading and
//! writing. All take turns, A B C D D C B A.

use holdfast_support::progress::Progress;
use serde_json::json;

use super::load::{Ask, Load, Outcome, Way};
use super::servers::{SESSIONS, Server};
use crate::report::{Report, Spread, Target};

const CONNECTIONS: usize = 50;

const PIPELINES: [usize; 2] = [1, 16];

/// How much CPU time of the server a round is to take, in seconds: whatever else the machine does, as many commands are measured.
const ROUND: f64 = 0.5;

pub(crate) async fn run(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let mut step = Progress::default().step("One thread and two");
    let servers = [Server::holdfast(1).await?, Server::holdfast(2).await?, Server::redis(1).await?, Server::redis(2).await?];
    for server in &servers {
        server.fill(SESSIONS).await?;
    }
    let (blocks, length) = if quick { (1, ROUND / 6.0) } else { (5, ROUND) };
    for pipeline in PIPELINES {
        for ask in [Ask::Get, Ask::Set] {
            let load = Load { way: Way::Tcp, ask, connections: CONNECTIONS, pipeline, threads: 2 };
            step.at(&load.name());
            let mut commands = Vec::new();
            for server in &servers {
                commands.push(load.commands_in(length, server).await?);
            }
            let mut done: Vec<Vec<[f64; 2]>> = servers.iter().map(|_| Vec::new()).collect();
            for _ in 0..blocks {
                let mut rounds: Vec<Vec<Outcome>> = servers.iter().map(|_| Vec::new()).collect();
                for index in (0..servers.len()).chain((0..servers.len()).rev()) {
                    rounds[index].push(load.run(&servers[index], commands[index]).await?);
                }
                for (done, rounds) in done.iter_mut().zip(rounds) {
                    done.push(sum_up(&rounds));
                }
            }
            show(report, &load, &servers, &done);
        }
    }
    step.done();
    Ok(())
}

/// Commands a second, and CPU of the server in microseconds a command.
fn sum_up(rounds: &[Outcome]) -> [f64; 2] {
    let commands: usize = rounds.iter().map(|round| round.commands).sum();
    let cpu: f64 = rounds.iter().map(|round| round.server.as_secs_f64()).sum();
    let a_second: f64 = rounds.iter().map(|round| round.a_second).sum();
    [a_second / rounds.len() as f64, cpu * 1e6 / commands as f64]
}

fn show(report: &mut Report, load: &Load, servers: &[Server; 4], done: &[Vec<[f64; 2]>]) {
    let part = format!("one thread and two: {}", load.name());
    let ratio = |of: usize, to: usize| Spread::new(done[of].iter().zip(&done[to]).map(|(of, to)| of[0] / to[0]));
    report.row(&part, "throughput, Holdfast with 2 threads / with 1", "", ratio(1, 0), Target::None);
    report.row(&part, "throughput, Redis with 2 threads / with 1", "", ratio(3, 2), Target::None);
    report.row(&part, "throughput, Holdfast / Redis, both with 2 threads", "", ratio(1, 3), Target::None);
    for (server, done) in servers.iter().zip(done) {
        report.row(&part, format!("{}: throughput", server.name), "commands/s", Spread::new(done.iter().map(|sum| sum[0])), Target::None);
        report.row(&part, format!("{}: CPU", server.name), "us/command", Spread::new(done.iter().map(|sum| sum[1])), Target::None);
    }
    report.detail(&part, json!({"columns": ["commands/s", "server us/command"], "blocks": done}));
}
