//! `make sim`: as many schedules as fit into the time, or one seed with its trace; or the check of the checker.

use std::fmt::Debug;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use holdfast_sim::{Drill, Kind, Stats, Violation};

/// How long a shorter schedule is looked for when something is wrong.
const SHORTEN_FOR: Duration = Duration::from_secs(60);

/// Runs seeded schedules of a whole cluster and checks each history.
#[derive(Clone, Parser)]
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
    /// How many threads run schedules.
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// Print what happens.
    #[arg(long)]
    trace: bool,
    /// Break this rule, or `all` of them one after the other, and say after how many schedules it is noticed.
    #[cfg(feature = "broken-rules")]
    #[arg(long = "break", value_name = "RULE")]
    broken: Option<String>,
    /// Only this drill.
    #[arg(long)]
    drill: Option<String>,
    /// Only schedules of this kind, instead of those that the seed or the table says; with `--break`, `any` for each of them.
    #[arg(long)]
    kind: Option<String>,
    /// Check that each broken rule is noticed within the number of schedules that the table says.
    #[cfg(feature = "broken-rules")]
    #[arg(long)]
    check_the_checker: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    #[cfg(feature = "broken-rules")]
    if options.check_the_checker || options.broken.is_some() {
        return broken::check(&options);
    }
    explore(&options)
}

/// The one of `all` that is called so.
fn named<T: Copy + Debug>(name: Option<&str>, all: &[T]) -> Result<Option<T>, String> {
    let Some(name) = name else { return Ok(None) };
    let found = all.iter().find(|one| format!("{one:?}") == name);
    found.map(|one| Some(*one)).ok_or_else(|| format!("there is nothing called `{name}`; there are {all:?}"))
}

/// Runs schedules until the time is up or something is wrong.
fn explore(options: &Options) -> ExitCode {
    let (kind, drill) = match (named(options.kind.as_deref(), &Kind::ALL), named(options.drill.as_deref(), &Drill::ALL)) {
        (Ok(kind), Ok(drill)) => (kind, drill),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let started = Instant::now();
    let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let total = Mutex::new((0, Stats::default()));
    let found: Mutex<Option<Box<Violation>>> = Mutex::new(None);
    let work = || {
        while !is_over.load(Ordering::Relaxed) && started.elapsed() < Duration::from_secs(options.seconds) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= options.runs {
                return;
            }
            let seed = options.seed + index;
            let outcome = match drill {
                Some(drill) => holdfast_sim::replay(&drill.schedule(seed), options.trace),
                None => holdfast_sim::run_kind(seed, kind.unwrap_or(Kind::of(seed)), None, options.trace),
            };
            match outcome {
                Ok(stats) => {
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    total.0 += 1;
                    total.1 += stats;
                }
                Err(violation) => {
                    is_over.store(true, Ordering::Relaxed);
                    found.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(Box::new(violation));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        let mut reported = started;
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            if reported.elapsed() >= Duration::from_secs(5) {
                reported = Instant::now();
                let runs = total.lock().unwrap_or_else(PoisonError::into_inner).0;
                eprintln!("{:4} s: {runs} schedules, no violation", started.elapsed().as_secs());
            }
        }
    });
    let (runs, stats) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{stats:?}");
    if let Some(violation) = found.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return report(*violation);
    }
    println!("sim: {runs} schedules from seed {}, 0 violations", options.seed);
    ExitCode::SUCCESS
}

/// Prints what was wrong, and the shortest schedule that can be found for it.
fn report(violation: Violation) -> ExitCode {
    let seed = violation.schedule.setup.seed;
    println!("{violation}\nagain with: sim --seed {seed} --runs 1 --trace");
    let before = violation.schedule.actions.len();
    println!("looking for a shorter schedule for up to {} s", SHORTEN_FOR.as_secs());
    let shortest = holdfast_sim::shorten(violation, SHORTEN_FOR);
    let after = shortest.schedule.actions.len();
    println!("{after} of {before} actions show it:\n{}\n{shortest}\nkeep it in core/sim/tests/seeds.rs", shortest.schedule);
    ExitCode::FAILURE
}

#[cfg(feature = "broken-rules")]
mod broken {
    use super::{Drill, ExitCode, Instant, Kind, Options};
    use holdfast_core::engine::BrokenRule;
    use holdfast_sim::{Where, catch, redundant, shows};

    /// Breaks one rule after the other.
    pub(super) fn check(options: &Options) -> ExitCode {
        let name = options.broken.as_deref().unwrap_or("all");
        let rules = BrokenRule::ALL.iter().copied().filter(|rule| name == "all" || name == format!("{rule:?}"));
        let began = Instant::now();
        for drill in Drill::ALL {
            if let Some(violation) = (1..=10).find_map(|seed| holdfast_sim::replay(&drill.schedule(seed), false).err()) {
                println!("{drill:?} fails though nothing is broken: {violation}");
                return ExitCode::FAILURE;
            }
        }
        println!("all drills pass as long as no rule is broken, {} ms", began.elapsed().as_millis());
        let (mut caught, mut missed, mut made_up_for, mut most) = (0, 0, 0, 0);
        let started = Instant::now();
        for rule in rules {
            let shown = shows(rule);
            if shown.is_none() && options.check_the_checker {
                let reason = redundant(rule);
                println!(
                    "{rule:?}: {}",
                    reason.map_or("NOT SHOWN, and nothing makes up for it".into(), |reason| format!("redundant: {reason}"))
                );
                made_up_for += u64::from(reason.is_some());
                missed += u64::from(reason.is_none());
                continue;
            }
            let (place, limit) = shown.unwrap_or((Where::In(Kind::Mixed), 0));
            let places = match options.kind.as_deref() {
                _ if options.drill.is_some() => {
                    Drill::ALL.into_iter().filter(|drill| options.drill == Some(format!("{drill:?}"))).map(Where::Drill).collect()
                }
                Some("any") => Kind::ALL.iter().map(|kind| Where::In(*kind)).collect(),
                Some(name) => Kind::ALL.iter().filter(|kind| format!("{kind:?}") == name).map(|kind| Where::In(*kind)).collect(),
                None => vec![place],
            };
            let limit = if options.check_the_checker { limit } else { options.runs.min(100_000) };
            for place in places {
                let began = Instant::now();
                match catch(rule, place, limit) {
                    Ok((runs, violation)) => {
                        let first = violation.what.lines().next().unwrap_or_default();
                        let what: String = first.chars().take(110).collect();
                        println!(
                            "{rule:?}: noticed in schedule {runs} of at most {limit}, {place:?}, {} ms: {what}",
                            began.elapsed().as_millis()
                        );
                        caught += 1;
                        most = most.max(runs);
                    }
                    Err(runs) => {
                        println!("{rule:?}: NOT NOTICED in {runs} schedules, {place:?}, {} ms", began.elapsed().as_millis());
                        missed += 1;
                    }
                }
            }
        }
        println!(
            "sim: {caught} broken rules noticed within {most} schedules, {missed} not, {made_up_for} redundant, in {} s",
            started.elapsed().as_secs()
        );
        if missed == 0 && caught > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
