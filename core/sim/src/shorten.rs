//! Finds the shortest schedule that still shows what is wrong: leaves out kinds of faults, then ever smaller parts of what is done (delta debugging,
//! Zeller and Hildebrandt 2002), and ends the run as early as it can.

use std::mem::{Discriminant, discriminant};
use std::time::{Duration, Instant};

use crate::action::Action;
use crate::schedule::{Schedule, Violation, replay};

/// The shortest schedule for the same kind of violation that can be found within `time`.
pub fn shorten(violation: Violation, time: Duration) -> Violation {
    let mut search = Search { class: class(&violation.what), deadline: Instant::now() + time, best: violation };
    loop {
        let before = search.best.schedule.clone();
        search.end_early();
        search.leave_out_kinds();
        search.leave_out_parts();
        search.have_fewer_sessions();
        if search.best.schedule == before || search.is_over() {
            return search.best;
        }
    }
}

struct Search {
    class: String,
    deadline: Instant,
    best: Violation,
}

/// What a violation is about, without who and when.
fn class(what: &str) -> String {
    let line = what.lines().next().unwrap_or_default();
    let words = line.split_whitespace().filter(|word| word.chars().all(|letter| letter.is_ascii_alphabetic()));
    words.take(5).collect::<Vec<_>>().join(" ")
}

impl Search {
    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Takes `schedule` if it shows the same.
    fn try_on(&mut self, schedule: Schedule) -> bool {
        if self.is_over() {
            return false;
        }
        let is_same = |violation: &Violation| class(&violation.what) == self.class;
        match replay(&schedule, false) {
            Err(violation) if is_same(&violation) => {
                // What it says of itself counts: it may have ended before the last of what was to be done.
                self.best = violation;
                true
            }
            _ => false,
        }
    }

    fn end_early(&mut self) {
        let last = self.best.schedule.actions.last().map_or(0, |(at, _)| *at);
        for length in [last, last + 100, last + 500, last + 2_000] {
            let schedule = Schedule { length, ..(*self.best.schedule).clone() };
            if length < self.best.schedule.length && self.try_on(schedule) {
                return;
            }
        }
    }

    fn leave_out_kinds(&mut self) {
        let kind = |action: &Action| discriminant(action);
        let mut kinds: Vec<Discriminant<Action>> = Vec::new();
        for (_, action) in &self.best.schedule.actions {
            if !kinds.contains(&kind(action)) {
                kinds.push(kind(action));
            }
        }
        for left_out in kinds {
            let mut schedule = (*self.best.schedule).clone();
            schedule.actions.retain(|(_, action)| kind(action) != left_out);
            self.try_on(schedule);
        }
    }

    fn leave_out_parts(&mut self) {
        let mut size = self.best.schedule.actions.len().div_ceil(2);
        while size > 0 && !self.is_over() {
            let mut from = 0;
            while from < self.best.schedule.actions.len() {
                let mut schedule = (*self.best.schedule).clone();
                let to = (from + size).min(schedule.actions.len());
                schedule.actions.drain(from..to);
                if !self.try_on(schedule) {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    fn have_fewer_sessions(&mut self) {
        let mut fewer = (*self.best.schedule).clone();
        fewer.setup.crowd = 0;
        if fewer != *self.best.schedule {
            self.try_on(fewer);
        }
        let used = self.best.schedule.actions.iter().filter_map(|(_, action)| match action {
            Action::Ask(_, key, _) => Some(key + 1),
            Action::Together(_, first, _) => Some(first + 2),
            _ => None,
        });
        let mut fewer = (*self.best.schedule).clone();
        fewer.setup.keys = used.max().unwrap_or(1);
        if fewer != *self.best.schedule {
            self.try_on(fewer);
        }
    }
}
