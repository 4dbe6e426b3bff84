//! `make nemesis`: the shop on a cluster of its own, and everything that the lab can do to it, under clients that remember everything.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use holdfast_core::engine::BrokenRule;
use holdfast_support::progress::Progress;
use holdfast_tests::cluster::{Cluster, Options};
use holdfast_tests::nemesis;
use holdfast_tests::stage::{SHOP, Stage, Wanted, source};
use tokio::signal::unix::{SignalKind, signal};

/// The tests' and the demo's are left alone.
const CLUSTER: &str = "holdfast-nemesis";

/// Faults on a real Kubernetes, by a seeded schedule, under a history that is judged.
#[derive(Debug, Parser)]
struct Arguments {
    /// For so many minutes.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_440))]
    minutes: u32,
    /// What decides what happens; by chance if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Run a runtime that breaks this rule of the replication, which has to be noticed.
    #[arg(long = "break", value_name = "RULE", value_parser = rule)]
    broken: Option<BrokenRule>,
    /// Leave the cluster running at the end.
    #[arg(long)]
    keep: bool,
}

fn rule(name: &str) -> Result<BrokenRule, String> {
    BrokenRule::named(name).ok_or_else(|| format!("there is no such rule; right is one of {:?}", BrokenRule::ALL))
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let began = Instant::now();
    let seed = arguments.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    let verdict = tokio::select! {
        verdict = run(&arguments, seed) => verdict,
        () = told_to_end() => Err(anyhow::anyhow!("interrupted")),
    };
    let ended = if arguments.keep { Ok(()) } else { holdfast_tests::cluster::remove(CLUSTER).await };
    let took = began.elapsed().as_secs();
    let how = match (&verdict, &ended) {
        (Ok(()), Ok(())) => "passed".to_owned(),
        (Err(error), _) => format!("FAILED: {error:#}"),
        (Ok(()), Err(error)) => format!("FAILED: the cluster could not be ended: {error:#}"),
    };
    println!("nemesis: {how} (SEED={seed}, {} min {:02} s)", took / 60, took % 60);
    if verdict.is_ok() && ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(arguments: &Arguments, seed: u64) -> anyhow::Result<()> {
    let stage = Stage::new(Cluster::up(Options { name: CLUSTER.to_owned(), ..Options::default() }).await?);
    let images = stage.bring_images().await?;
    if let Some(rule) = arguments.broken {
        stage.bring_broken_runtime(&images, rule).await?;
    }
    let step = Progress::default().step("Installing Holdfast and opening the shop");
    stage.install_holdfast(&images).await?;
    stage.apply_example(&images, SHOP).await?;
    stage.settle(&Wanted { replicas: 3, after_epoch: None }, Duration::from_secs(120)).await?;
    step.done();
    let options = nemesis::Options { time: Duration::from_secs(60 * u64::from(arguments.minutes)), seed };
    let verdict = nemesis::run(&stage, options, &PathBuf::from(source("target/nemesis"))).await;
    match (arguments.broken, verdict) {
        (None, verdict) => verdict,
        (Some(rule), Err(error)) => {
            println!("{rule:?} was noticed: {error:#}");
            Ok(())
        }
        (Some(rule), Ok(())) => anyhow::bail!("it was not noticed that the runtime breaks the rule {rule:?}"),
    }
}

/// Whoever ends the run early must not keep a cluster for it.
async fn told_to_end() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
