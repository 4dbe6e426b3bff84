//! Applications with their usual session library, in Redis with one replica and in Holdfast with one copy. The application is the same to the byte; what makes
//! a write to Redis wait for the replica is a wrapper around the library's client (`bench/applications`).

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use holdfast_support::command::Run;
use holdfast_support::install::{self, Files, Recipe};
use holdfast_support::progress::Progress;

use super::contest::{By, Contender, Course, Outcome};
use super::process::Process;
use super::stores::{KeyOf, Stores};
use super::{django, express};
use crate::report::{Report, Target};

/// An application in a framework.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framework {
    pub(super) name: &'static str,
    pub(super) recipe: Recipe,
    /// Its own files.
    pub(super) files: Files,
    /// How many connections view its pages at once.
    pub(super) connections: &'static [usize],
    /// What serves it at this port of 127.0.0.1, from the folder of the recipe.
    pub(super) serve: fn(&Path, u16) -> Run,
    pub(super) key: KeyOf,
}

pub(super) async fn run(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    for framework in [django::FRAMEWORK, express::FRAMEWORK] {
        framework.measure(quick, report).await.with_context(|| format!("the application in {}", framework.name))?;
    }
    Ok(())
}

impl Framework {
    async fn measure(&self, quick: bool, report: &mut Report) -> anyhow::Result<()> {
        let progress = Progress::default();
        let folder = self.recipe.ensure(&progress).await?;
        install::write(&folder, self.files)?;
        let step = progress.step(format!("Pages of {}", self.name));
        let mut stores = Stores::start().await?;
        let (holdfast, redis) = (stores.holdfast(), stores.redis());
        let (mut contenders, mut processes) = (Vec::new(), Vec::new());
        for (name, (store, pids), waits) in
            [("Holdfast", &holdfast, false), ("Redis with WAIT", &redis, true), ("Redis without WAIT", &redis, false)]
        {
            let process = self.start(&folder, *store, waits).await?;
            let (address, application) = (process.address, vec![process.pid]);
            contenders.push(Contender { name: name.to_owned(), address, application, store: pids.clone() });
            processes.push(process);
        }
        let course = if quick {
            Course { connections: self.connections, blocks: 1, round: Duration::from_millis(300), warm: 200 }
        } else {
            Course { connections: self.connections, blocks: 5, round: Duration::from_secs(1), warm: 5_000 }
        };
        let outcome = course.run(&contenders, step).await?;
        self.show(report, &contenders, &outcome);
        drop(processes);
        let mut checked = 0;
        for visits in &outcome.visits[1..] {
            checked += stores.check_redis(visits, self.key).await?;
        }
        checked += stores.check_holdfast(&outcome.visits[0], self.key).await?;
        let part = format!("{}: in the end", self.name);
        report.value(&part, "sessions as viewed last at the keeper after SIGKILL, and at the replica", "", checked as f64);
        Ok(())
    }

    async fn start(&self, folder: &Path, store: SocketAddr, waits: bool) -> anyhow::Result<Process> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let run = (self.serve)(folder, address.port()).env("REDIS_URL", format!("redis://{store}"));
        let run = if waits { run.env("WAIT_FOR_COPY", "1") } else { run };
        Process::start(&run.dir(folder), address).await
    }

    fn show(&self, report: &mut Report, contenders: &[Contender], outcome: &Outcome) {
        for (contest, connections) in self.connections.iter().enumerate() {
            let part = format!("pages of {}, {connections} connection{}", self.name, if *connections == 1 { "" } else { "s" });
            for (peer, contender) in contenders.iter().enumerate().skip(1) {
                for (what, by) in [("throughput", By::Throughput), ("p50", By::P50), ("p99", By::P99), ("CPU of a view", By::Cpu)] {
                    let ratio = outcome.ratio(contest, 0, peer, by);
                    report.row(&part, format!("{what}, Holdfast / {}", contender.name), "", ratio, Target::None);
                }
            }
            outcome.show(report, &part, contenders, contest);
        }
    }
}
