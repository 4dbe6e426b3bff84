//! Runs: of a seed, of a recorded schedule, of a script.

use std::fmt;

use crate::action::Action;
use crate::chaos::Chaos;
use crate::history::Operation;
use crate::setup::{Kind, Setup};
use crate::stats::Stats;
use crate::world::World;
use holdfast_core::engine::BrokenRule;

/// What was done in a run, so that it can be done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// What there was.
    pub setup: Setup,
    /// When everything was healed, in milliseconds of the run.
    pub length: u64,
    /// What was done, and when.
    pub actions: Vec<(u64, Action)>,
}

/// What was wrong in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What was done.
    pub schedule: Box<Schedule>,
    /// When it was noticed, in milliseconds of the run.
    pub at: u64,
    /// What.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at {} ms: {}", self.schedule.setup.seed, self.at, self.what)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Schedule {{\n    setup: {:?},\n    length: {},\n    actions: vec![", self.setup, self.length)?;
        for action in &self.actions {
            writeln!(f, "        {action:?},")?;
        }
        write!(f, "    ],\n}}")
    }
}

/// Runs the schedule of `seed`, then heals everything and checks the history. With `trace`, prints what happens.
pub fn run(seed: u64, trace: bool) -> Result<Stats, Violation> {
    run_kind(seed, Kind::of(seed), None, trace)
}

/// Runs the schedule of `seed` that is of this kind, with a rule that is not kept.
pub fn run_kind(seed: u64, kind: Kind, broken: Option<BrokenRule>, trace: bool) -> Result<Stats, Violation> {
    let setup = Setup { broken, ..Setup::draw(seed, kind) };
    let mut chaos = Chaos::new(&setup, kind);
    let mut world = World::new(setup, trace);
    world.log(|| format!("{kind:?}"));
    let outcome = world.explore(&mut chaos);
    world.finish(chaos.length, outcome)
}

/// What clients saw of each session in the schedule of `seed` that is of this kind; nothing of one in which something was wrong.
pub fn histories(seed: u64, kind: Kind) -> Vec<Vec<Operation>> {
    let setup = Setup::draw(seed, kind);
    let mut chaos = Chaos::new(&setup, kind);
    let mut world = World::new(setup, false);
    match world.explore(&mut chaos) {
        Ok(()) => world.keys.iter().map(|key| world.history(key)).collect(),
        Err(_) => Vec::new(),
    }
}

/// Does again what was written down.
pub fn replay(schedule: &Schedule, trace: bool) -> Result<Stats, Violation> {
    let mut world = World::new(schedule.setup.clone(), trace);
    let outcome = world.follow(schedule);
    world.finish(schedule.length, outcome)
}

/// Runs the scripted schedule of a view that the home of a session never sees; the seed varies its timing.
pub fn run_skipped_view(seed: u64, broken: Option<BrokenRule>) -> Result<Stats, Violation> {
    let mut world = World::new(Setup { broken, ..Setup::plain(seed, 4, 1) }, false);
    let outcome = world.run_skipped_view();
    let length = world.now();
    world.finish(length, outcome)
}

impl World {
    fn explore(&mut self, chaos: &mut Chaos) -> Result<(), String> {
        for action in chaos.start(&self.setup) {
            self.perform(action);
        }
        while self.now() < chaos.length {
            self.step();
            for action in chaos.next(self) {
                self.perform(action);
            }
            self.check_owners();
            self.check()?;
        }
        self.end()
    }

    fn follow(&mut self, schedule: &Schedule) -> Result<(), String> {
        let mut actions = schedule.actions.iter().peekable();
        while let Some((_, action)) = actions.next_if(|(at, _)| *at == 0) {
            self.perform(*action);
        }
        while self.now() < schedule.length {
            self.step();
            while let Some((_, action)) = actions.next_if(|(at, _)| *at <= self.now()) {
                self.perform(*action);
            }
            self.check_owners();
            self.check()?;
        }
        self.end()
    }

    fn end(&mut self) -> Result<(), String> {
        self.heal()?;
        self.check_history();
        self.check()
    }

    fn finish(mut self, length: u64, outcome: Result<(), String>) -> Result<Stats, Violation> {
        match outcome {
            Ok(()) => Ok(self.stats),
            Err(what) => {
                let at = self.now();
                let schedule = Schedule { length: length.min(at), actions: std::mem::take(&mut self.script), setup: self.setup };
                Err(Violation { schedule: Box::new(schedule), at, what })
            }
        }
    }
}
