//! Benchmarks: what Holdfast costs and reaches, on this machine, beside its peers. A target that is not reached is said so in the table; only what
//! must never happen, such as a lost write, ends it with an error. docs/performance.md says what is measured and how.

mod client;
mod machine;
mod pages;
mod part;
mod redis;
mod redis_pair;
mod replication;
mod report;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use tokio::runtime::Runtime;

use part::{Part, Subject};
use report::Report;

/// What Holdfast costs and reaches on this machine.
#[derive(Debug, Parser)]
struct Cli {
    /// What to measure; everything if not set.
    #[arg(long)]
    only: Option<Subject>,
    /// Only these parts of it.
    #[arg(long, value_enum, value_delimiter = ',')]
    part: Vec<Part>,
    /// A short run, to see that it works; its numbers say little.
    #[arg(long)]
    quick: bool,
    /// The folder for the results as JSON, one file for each subject.
    #[arg(long, default_value = "target/bench")]
    json: PathBuf,
}

impl Cli {
    fn parts(&self, subject: Subject) -> Vec<Part> {
        let is_asked = |part: &Part| self.part.is_empty() || self.part.contains(part);
        let is_included = |part: &Part| part.subject() == subject && self.only.is_none_or(|only| only == subject);
        Part::value_variants().iter().copied().filter(is_asked).filter(is_included).collect()
    }
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    // What runs beside the measured processes needs little; the load comes from threads and processes of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("cannot start tokio")?;
    let mut not_reached = 0;
    for subject in Subject::value_variants() {
        let parts = cli.parts(*subject);
        if !parts.is_empty() {
            not_reached += measure(&cli, *subject, &parts, &runtime)?;
        }
    }
    println!("\nmake bench: done; {not_reached} targets not reached; all numbers are in {}", cli.json.display());
    Ok(())
}

/// Measures these parts of a subject, and returns how many targets were not reached.
fn measure(cli: &Cli, subject: Subject, parts: &[Part], runtime: &Runtime) -> anyhow::Result<usize> {
    let mut report = Report::new(machine::facts());
    let outcome = runtime.block_on(async {
        for part in parts {
            part.run(cli.quick, &mut report).await?;
        }
        anyhow::Ok(())
    });
    report.detail("loadAfter", machine::load().into());
    report.save(&cli.json.join(format!("{}.json", subject.name())))?;
    report.print();
    outcome?;
    Ok(report.not_reached())
}
