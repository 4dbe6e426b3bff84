//! A seeded simulator of whole clusters: real [`holdfast_core::engine::Engine`]s under a pretend network, clock and arbiter, with everything that
//! can go wrong going wrong, and a check of each history. A seed always gives the same run.

mod arbiter;
mod checks;
pub mod history;
mod network;
mod rng;
mod scenario;
mod schedule;
mod world;

use std::fmt;

pub use world::Stats;

/// What was wrong in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The seed that shows it.
    pub seed: u64,
    /// When, in milliseconds of the run.
    pub at: u64,
    /// What.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at {} ms: {}", self.seed, self.at, self.what)
    }
}

/// Runs the schedule of `seed`, then heals everything and checks the history. With `trace`, prints what happens.
pub fn run(seed: u64, trace: bool) -> Result<Stats, Violation> {
    let mut world = world::World::new(seed, trace);
    world.run().map_err(|what| Violation { seed, at: world.now(), what })?;
    Ok(world.stats())
}

/// Runs the scripted schedule of a view that the home of a session never sees; the seed varies its timing.
pub fn run_skipped_view(seed: u64) -> Result<Stats, Violation> {
    let mut world = world::World::of(seed, 4, 1, false);
    world.run_skipped_view().map_err(|what| Violation { seed, at: world.now(), what })?;
    Ok(world.stats())
}
