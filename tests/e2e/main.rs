//! End-to-end tests: Holdfast on a real Kubernetes, with people shopping. One cluster, brought up once and ended at the end; one
//! module a behaviour, run one after another, each leaving a whole shop of three members behind.

mod all_members;
mod api_server_frozen;
mod bad_input;
mod chart;
mod clear_failures;
mod copies;
mod delete_pod;
mod deletion;
mod in_process;
mod install;
mod kill_pod;
mod lab;
mod limits;
mod nemesis;
mod node_cut_off;
mod operator_unavailable;
mod scaling;
mod status_conditions;
mod tls;
mod view_lost;
mod zones;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use holdfast_tests::harness::{self, Choice, Test};
use tokio::signal::unix::{SignalKind, signal};

use crate::lab::Lab;

/// The tests' own cluster: the demo's is left alone.
const CLUSTER: &str = "holdfast-e2e";

macro_rules! tests {
    ($($name:ident: $seconds:literal s),* $(,)?) => {
        vec![$(Test { name: stringify!($name), limit: Duration::from_secs($seconds), run: |lab: Lab| Box::pin($name::run(lab)) }),*]
    };
}

fn all() -> Vec<Test<Lab>> {
    tests![
        chart: 60 s,
        install: 240 s,
        status_conditions: 120 s,
        bad_input: 180 s,
        clear_failures: 120 s,
        tls: 420 s,
        kill_pod: 180 s,
        delete_pod: 180 s,
        node_cut_off: 240 s,
        scaling: 300 s,
        operator_unavailable: 240 s,
        api_server_frozen: 180 s,
        view_lost: 240 s,
        copies: 300 s,
        all_members: 240 s,
        zones: 300 s,
        limits: 180 s,
        in_process: 360 s,
        nemesis: 420 s,
        deletion: 180 s,
    ]
}

#[tokio::main]
async fn main() -> ExitCode {
    let choice = Choice::parse();
    let (mut tests, filtered) = harness::chosen(all(), &choice);
    if choice.list {
        tests.iter().for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    // All tests but the chart's need what this one puts there.
    if tests.iter().any(|test| test.name != "chart") && !tests.iter().any(|test| test.name == "install") {
        tests.splice(0..0, all().into_iter().filter(|test| test.name == "install"));
    }
    let lab = match Lab::up(CLUSTER, &choice).await {
        Ok(lab) => lab,
        Err(error) => {
            eprintln!("e2e: no cluster to test on: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let dump = async |test: &'static str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).join("target/e2e").join(test);
        lab.stage.dump(&folder).await;
        println!("objects, events and logs are in {}", folder.display());
    };
    let good = tokio::select! {
        tally = harness::run(tests, filtered, &lab, &["install"], dump) => tally.good(),
        () = told_to_end() => {
            println!("interrupted");
            false
        }
    };
    let ended = if choice.keep { Ok(()) } else { lab.down().await };
    if let Err(error) = &ended {
        eprintln!("e2e: the cluster could not be ended: {error:#}");
    }
    if good && ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whoever ends the tests early must not keep a cluster for it.
async fn told_to_end() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
