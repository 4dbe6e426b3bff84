//! Benchmarks: what Holdfast costs and reaches, on this machine, beside its peers. A target that is not reached is said so in the table; only what
//! must never happen, such as a lost write, ends it with an error. docs/performance.md says what is measured and how.

mod client;
mod machine;
mod redis_pair;
mod replication;
mod report;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, ValueEnum};

use replication::Part;
use report::Report;

/// What Holdfast costs and reaches on this machine.
#[derive(Debug, Parser)]
struct Cli {
    /// What to measure; everything if not set.
    #[arg(long)]
    only: Option<Subject>,
    /// Only these parts of the replication's benchmark.
    #[arg(long, value_enum, value_delimiter = ',')]
    part: Vec<Part>,
    /// A short run, to see that it works; its numbers say little.
    #[arg(long)]
    quick: bool,
    /// Where the results go as JSON.
    #[arg(long, default_value = "target/bench/replication.json")]
    json: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// The runtimes among themselves.
    Replication,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    // The only subject there is, so far.
    let Subject::Replication = cli.only.unwrap_or(Subject::Replication);
    let parts = if cli.part.is_empty() { Part::value_variants().to_vec() } else { cli.part };
    let mut report = Report::new(machine::facts());
    // What runs beside the measured processes needs little; the load comes from threads of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("cannot start tokio")?;
    let outcome = runtime.block_on(replication::run(&parts, cli.quick, &mut report));
    report.detail("loadAfter", machine::load().into());
    report.save(&cli.json)?;
    report.print();
    outcome?;
    println!("\nmake bench: done; {} targets not reached; all numbers are in {}", report.not_reached(), cli.json.display());
    Ok(())
}
