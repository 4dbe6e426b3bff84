//! `make conformance`: the suites of real session libraries, unmodified and from their registries, by each member of a cluster of three and by all
//! of them in turn; then each library while members are killed. docs/conformance.md says what is run, and why anything is left out.

mod browser;
mod debian;
mod door;
mod go;
mod junit;
mod killed;
mod left_out;
mod libtest;
mod python;
mod room;
mod server;
mod spring;
mod suite;
mod suites;
mod table;
mod tomcat;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use holdfast_support::apt;
use holdfast_support::progress::Progress;

use door::Turns;
use left_out::LeftOut;
use room::Room;
use server::{Choice, Server};
use suite::{Bench, Suite};
use table::{Kind, Row};
use verdict::Verdict;

/// The suites of real session libraries against a cluster of three members.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only these suites.
    #[arg(long, value_delimiter = ',', value_parser = suite)]
    only: Vec<Suite>,
    /// Only by these servers: a member (0, 1, 2), all members in turn (turn), or a real Redis to compare with (redis).
    #[arg(long, value_delimiter = ',')]
    members: Vec<Choice>,
    /// Only this part.
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// Where reports and logs go.
    #[arg(long, default_value = "target/conformance")]
    results: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The libraries' own tests.
    Tests,
    /// The libraries while members are killed.
    Killed,
}

fn suite(name: &str) -> Result<Suite, String> {
    let names = || suites::ALL.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ");
    suites::ALL
        .iter()
        .find(|suite| suite.name == name)
        .copied()
        .ok_or_else(|| format!("there is no such suite; right is one of {}", names()))
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let began = Instant::now();
    let outcome = tokio::select! {
        outcome = run(&arguments) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let rows = match outcome {
        Ok(rows) => rows,
        Err(error) => {
            println!("make conformance: FAILED: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    table::print(&rows);
    let (failed, took) = (rows.iter().filter(|row| !row.is_passed()).count(), began.elapsed().as_secs());
    let how = if failed == 0 { "passed".to_owned() } else { format!("FAILED: {failed} of {} runs", rows.len()) };
    println!("\nmake conformance: {how} in {} min {:02} s", took / 60, took % 60);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let progress = Progress::default();
    let (wants, choices) = (|part| arguments.part.is_none_or(|only| only == part), &arguments.members);
    let choices = if choices.is_empty() { &Choice::ALL } else { choices.as_slice() };
    let suites = if arguments.only.is_empty() { suites::ALL } else { &arguments.only };
    let results = std::path::absolute(&arguments.results)?;
    std::fs::create_dir_all(&results).with_context(|| format!("cannot make `{}`", results.display()))?;
    apt::ensure(room::PROGRAMS, &progress).await?;
    let mut rows = Vec::new();
    for suite in suites {
        let folder = suite.ensure(&progress).await?;
        for choice in choices.iter().filter(|_| wants(Part::Tests)) {
            let verdict = tests(suite, *choice, &folder, &results, &progress).await;
            rows.push(Row { suite: *suite, kind: Kind::Tests(*choice, verdict) });
        }
        if wants(Part::Killed) {
            let account = killed::run(suite, &folder, &results.join(format!("{}-killed.log", suite.name)), &progress).await;
            rows.push(Row { suite: *suite, kind: Kind::Killed(account) });
        }
    }
    Ok(rows)
}

/// The tests of a suite by one server.
async fn tests(suite: &Suite, choice: Choice, folder: &Path, results: &Path, progress: &Progress) -> anyhow::Result<Verdict> {
    let list = LeftOut::parse(suite.tests.left_out).with_context(|| format!("the list of {}", suite.name))?;
    let list = list.by(choice);
    let mut step = progress.step(format!("{} by {choice}", suite.library));
    let server = Server::start(choice).await?;
    let turns = Turns::default();
    turns.set(server.addresses(choice));
    let room = Room::new(suite.tests.ports, &turns).await?;
    let reports = results.join(format!("{}-{choice}", suite.name));
    if reports.exists() {
        std::fs::remove_dir_all(&reports).with_context(|| format!("cannot remove `{}`", reports.display()))?;
    }
    std::fs::create_dir_all(&reports).with_context(|| format!("cannot make `{}`", reports.display()))?;
    let bench = Bench { folder, reports: &reports, never_run: &list.never_run() };
    for (number, run) in (suite.tests.run)(&bench).into_iter().enumerate() {
        let log = reports.join(format!("{number}.log"));
        let run = room.run(run).limit(suite.tests.limit);
        // Its exit code says that tests failed; which, the report says.
        run.watch(&log, |line| step.at(line)).await.with_context(|| format!("see `{}`", log.display()))?;
    }
    let cases = (suite.tests.read)(&reports).with_context(|| format!("see the logs in `{}`", reports.display()))?;
    step.done();
    Ok(Verdict::new(&cases, &list))
}
