//! The same page by a Rust application on Holdfast and by a servlet on Tomcat: with a second pod or node that has the sessions before the reply leaves, and
//! without one. So what replication costs is seen for both.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::try_join_all;
use holdfast_support::progress::Progress;
use tokio::time::{sleep, timeout};

use super::contest::{By, Contender, Course, Outcome};
use super::line::Line;
use super::rust::Pods;
use super::tomcat::{Nodes, RECIPE, Replication};
use super::visitor::Visit;
use crate::report::{Report, Spread, Target};

const PART: &str = "pages beside Tomcat, 16 connections";

/// In this order they take turns. Those without copies come last of their kind.
const HOLDFAST: [&str; 4] =
    ["Holdfast in the application", "the same without copies", "Holdfast beside the application", "this without copies"];

const TOMCAT: [(&str, Option<Replication>); 5] = [
    ("Tomcat, DeltaManager, options 6", Some(Replication { manager: "DeltaManager", options: 6 })),
    ("Tomcat, DeltaManager, options 8", Some(Replication { manager: "DeltaManager", options: 8 })),
    ("Tomcat, BackupManager, options 6", Some(Replication { manager: "BackupManager", options: 6 })),
    ("Tomcat, BackupManager, options 8", Some(Replication { manager: "BackupManager", options: 8 })),
    ("Tomcat without a cluster", None),
];

/// Places among the contenders.
const INSIDE: usize = 0;
const BESIDE: usize = 2;
const DELTA: usize = HOLDFAST.len();
const ALONE: usize = DELTA + TOMCAT.len() - 1;

/// What has not been sent after so long will not be.
const UNSENT: Duration = Duration::from_secs(1);

/// Until the second node answers for the first, which is dead.
const TAKEOVER: Duration = Duration::from_secs(30);

pub(super) async fn run(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let progress = Progress::default();
    let application = RECIPE.ensure(&progress).await?;
    let mut step = progress.step("Pages beside Tomcat");
    step.at("starting the servers");
    let mut pods = [Pods::inside(2, 1).await?, Pods::inside(1, 0).await?, Pods::beside(2, 1).await?, Pods::beside(1, 0).await?];
    let mut nodes = try_join_all(TOMCAT.map(|(_, how)| Nodes::start(&application, how))).await?;
    let ours = pods.iter().zip(HOLDFAST).map(|(pods, name)| pods.contender(name));
    let theirs = nodes.iter().zip(TOMCAT).map(|(nodes, (name, _))| nodes.contender(name));
    let contenders: Vec<Contender> = ours.chain(theirs).collect();
    let course = if quick {
        Course { connections: &[16], blocks: 1, round: Duration::from_millis(300), warm: 2_000 }
    } else {
        Course { connections: &[16], blocks: 5, round: Duration::from_secs(1), warm: 30_000 }
    };
    let outcome = course.run(&contenders, step).await?;
    show(report, &contenders, &outcome);
    sleep(UNSENT).await;
    for (index, pods) in pods.iter_mut().enumerate().filter(|(index, _)| [INSIDE, BESIDE].contains(index)) {
        pods.kill_first().await?;
        let visits = &outcome.visits[index];
        let right = right_at(pods.second()?, visits).await?;
        tell(report, HOLDFAST[index], right, visits.len());
        anyhow::ensure!(right == visits.len(), "{}: {right} of {} sessions are right at the second pod", HOLDFAST[index], visits.len());
    }
    for (index, nodes) in nodes.iter_mut().enumerate().filter(|(index, _)| TOMCAT[*index].1.is_some()) {
        nodes.kill_first().await?;
        let visits = &outcome.visits[DELTA + index];
        tell(report, TOMCAT[index].0, right_at(nodes.second()?, visits).await?, visits.len());
    }
    Ok(())
}

fn show(report: &mut Report, contenders: &[Contender], outcome: &Outcome) {
    for (what, by, target) in [("throughput", By::Throughput, Target::AtLeast(2.0)), ("CPU of a view", By::Cpu, Target::None)] {
        let mut row = |name: String, of: usize, to: usize, target: Target| {
            report.row(PART, format!("{what}, {name}"), "", outcome.ratio(0, of, to, by), target);
        };
        row(format!("{} / {}", HOLDFAST[INSIDE], TOMCAT[0].0), INSIDE, DELTA, target);
        row(format!("{} / {}", HOLDFAST[BESIDE], TOMCAT[0].0), BESIDE, DELTA, target);
        row(format!("{}, with a copy / without", HOLDFAST[INSIDE]), INSIDE, INSIDE + 1, Target::None);
        row(format!("{}, with a copy / without", HOLDFAST[BESIDE]), BESIDE, BESIDE + 1, Target::None);
        for (index, (name, _)) in TOMCAT.iter().enumerate().take(TOMCAT.len() - 1) {
            row(format!("{name} / without a cluster"), DELTA + index, ALONE, Target::None);
        }
    }
    outcome.show(report, PART, contenders, 0);
}

/// How many sessions are at the second pod or node as they were viewed last at the first, which is dead.
async fn right_at(address: SocketAddr, visits: &[Visit]) -> anyhow::Result<usize> {
    let begun = Instant::now();
    let mut right = 0;
    for visit in visits {
        right += usize::from(is_right_at(address, visit, begun).await?);
    }
    Ok(right)
}

/// As soon as it is, and until the time for taking over is up.
async fn is_right_at(address: SocketAddr, visit: &Visit, begun: Instant) -> anyhow::Result<bool> {
    loop {
        let mut line = Line::open(address).await?;
        let seen = timeout(TAKEOVER, visit.is_at(&mut line)).await.context("the second one does not answer")?;
        if matches!(seen, Ok(true)) {
            return Ok(true);
        }
        if begun.elapsed() > TAKEOVER {
            // What it answers is what it has.
            return seen;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn tell(report: &mut Report, name: &str, right: usize, of: usize) {
    let what = format!("{name}: part of {of} sessions that the second one has after SIGKILL of the first");
    report.row("pages beside Tomcat, in the end", what, "", Spread::new([right as f64 / of as f64]), Target::None);
}
