//! `make sim`: as many schedules as fit into the time, or one seed with its trace.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use holdfast_sim::Stats;

/// Runs seeded schedules of a whole cluster and checks each history.
#[derive(Parser)]
struct Options {
    /// How long to run, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds at the most.
    #[arg(long, default_value_t = u64::MAX)]
    runs: u64,
    /// Print what happens.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let started = Instant::now();
    let mut total = Stats::default();
    let mut reported = started;
    let mut runs = 0;
    while runs < options.runs && started.elapsed() < Duration::from_secs(options.seconds) {
        match holdfast_sim::run(options.seed + runs, options.trace) {
            Ok(stats) => total += stats,
            Err(violation) => {
                println!("{violation}\nagain with: sim --seed {} --runs 1 --trace", violation.seed);
                return ExitCode::FAILURE;
            }
        }
        runs += 1;
        if reported.elapsed() >= Duration::from_secs(5) {
            reported = Instant::now();
            eprintln!("{:4} s: {runs} schedules, no violation", started.elapsed().as_secs());
        }
    }
    println!("{total:?}");
    println!("sim: {runs} schedules from seed {}, 0 violations", options.seed);
    ExitCode::SUCCESS
}
