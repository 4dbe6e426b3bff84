//! The book in which all users write what they saw, phase by phase.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::histogram::Histogram;
use super::outcome::Outcome;
use super::report::{PhaseReport, Report};

/// So many descriptions of failures and of losses are kept for each phase; the counts have all.
const SAMPLES: usize = 20;

/// One answered, or failed, request.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) user: usize,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    /// The member that answered, if the answer says so.
    pub(super) member: Option<String>,
    /// The member that answered this user before, if another.
    pub(super) moved_from: Option<String>,
    /// What was asked and what came back, for a failure's description.
    pub(super) what: String,
}

#[derive(Debug, Default)]
struct Phase {
    name: String,
    started: Option<Instant>,
    lasted: Duration,
    requests: u64,
    failed: u64,
    in_flight: u64,
    moves: u64,
    affinity_breaks: u64,
    latencies: Histogram,
    disturbed: BTreeSet<String>,
    lost_carts: BTreeSet<usize>,
    failures: Vec<String>,
    losses: Vec<String>,
}

impl Phase {
    fn lasted(&self) -> Duration {
        self.started.map_or(self.lasted, |started| started.elapsed())
    }

    fn report(&self) -> PhaseReport {
        PhaseReport {
            name: self.name.clone(),
            lasted: self.lasted(),
            requests: self.requests,
            failed: self.failed,
            in_flight: self.in_flight,
            moves: self.moves,
            affinity_breaks: self.affinity_breaks,
            carts_lost: self.lost_carts.len(),
            median: self.latencies.percentile(0.5),
            p99: self.latencies.percentile(0.99),
            longest: self.latencies.longest(),
            failures: self.failures.clone(),
            losses: self.losses.clone(),
        }
    }
}

/// The counts of the phase that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Which phase.
    pub phase: String,
    /// How long it has lasted.
    pub lasted: Duration,
    /// Requests that came to an end in it.
    pub requests: u64,
    /// Requests that failed, those under `in_flight` not counted.
    pub failed: u64,
    /// Requests that were under way to a member that went and were not safe to repeat.
    pub in_flight: u64,
    /// Users whose cart broke a promise.
    pub carts_lost: usize,
    /// The longest wait of a user for one answer.
    pub longest: Duration,
}

#[derive(Debug)]
struct Pages {
    phases: Vec<Phase>,
    /// For each user the latest round of looks in which they saw their cart.
    rounds: Vec<u64>,
    /// For each user the member that answered last.
    members: Vec<Option<String>>,
}

/// What all users write in. A std mutex: nothing waits while holding it.
#[derive(Debug)]
pub(super) struct Book {
    pages: Mutex<Pages>,
}

impl Book {
    pub(super) fn new(users: usize) -> Self {
        let first = Phase { name: "start".to_owned(), started: Some(Instant::now()), ..Phase::default() };
        Self { pages: Mutex::new(Pages { phases: vec![first], rounds: vec![0; users], members: vec![None; users] }) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Pages) -> T) -> T {
        let mut pages = self.pages.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        work(&mut pages)
    }

    fn with_phase<T>(&self, work: impl FnOnce(&mut Phase) -> T) -> T {
        self.with(|pages| work(pages.phases.last_mut().expect("a book is made with its first phase")))
    }

    pub(super) fn begin_phase(&self, name: String) {
        self.with(|pages| {
            if let Some(last) = pages.phases.last_mut() {
                last.lasted = last.lasted();
                last.started = None;
            }
            pages.phases.push(Phase { name, started: Some(Instant::now()), ..Phase::default() });
        });
    }

    pub(super) fn disturb(&self, members: BTreeSet<String>) {
        self.with_phase(|phase| phase.disturbed.extend(members));
    }

    /// How many users each member answered last.
    pub(super) fn users_by_member(&self) -> BTreeMap<String, usize> {
        self.with(|pages| {
            let mut counts = BTreeMap::new();
            for member in pages.members.iter().flatten() {
                *counts.entry(member.clone()).or_default() += 1;
            }
            counts
        })
    }

    pub(super) fn saw(&self, seen: Seen) {
        if let Some(member) = &seen.member {
            self.with(|pages| pages.members[seen.user] = Some(member.clone()));
        }
        self.with_phase(|phase| {
            phase.requests += 1;
            phase.latencies.record(seen.took);
            if let Some(from) = &seen.moved_from {
                phase.moves += 1;
                if !phase.disturbed.contains(from) {
                    phase.affinity_breaks += 1;
                }
            }
            match seen.outcome {
                Outcome::Done => return,
                Outcome::InFlight => phase.in_flight += 1,
                Outcome::NotDone | Outcome::Unknown => phase.failed += 1,
            }
            if phase.failures.len() < SAMPLES {
                let at = phase.lasted().as_secs_f64();
                let ms = seen.took.as_millis();
                let by = seen.member.as_deref().unwrap_or("nobody");
                phase.failures.push(format!("{at:.1} s: user {}: {} after {ms} ms, answered by {by}", seen.user, seen.what));
            }
        });
    }

    pub(super) fn lost(&self, user: usize, loss: &dyn std::fmt::Display, member: Option<&str>) {
        self.with_phase(|phase| {
            phase.lost_carts.insert(user);
            if phase.losses.len() < SAMPLES {
                let at = phase.lasted().as_secs_f64();
                phase.losses.push(format!("{at:.1} s: user {user} at {}: {loss}", member.unwrap_or("nobody")));
            }
        });
    }

    pub(super) fn cart_seen(&self, user: usize, round: u64) {
        self.with(|pages| pages.rounds[user] = round);
    }

    pub(super) fn not_seen_since(&self, round: u64) -> BTreeSet<usize> {
        self.with(|pages| (0..pages.rounds.len()).filter(|user| pages.rounds[*user] < round).collect())
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.with_phase(|phase| Snapshot {
            phase: phase.name.clone(),
            lasted: phase.lasted(),
            requests: phase.requests,
            failed: phase.failed,
            in_flight: phase.in_flight,
            carts_lost: phase.lost_carts.len(),
            longest: phase.latencies.longest(),
        })
    }

    pub(super) fn report(&self) -> Report {
        self.with(|pages| {
            let mut latencies = Histogram::default();
            let mut lost: BTreeSet<usize> = BTreeSet::new();
            for phase in &pages.phases {
                latencies.merge(&phase.latencies);
                lost.extend(&phase.lost_carts);
            }
            let phases: Vec<_> = pages.phases.iter().map(Phase::report).collect();
            let total = PhaseReport {
                name: "in all".to_owned(),
                lasted: phases.iter().map(|phase| phase.lasted).sum(),
                requests: phases.iter().map(|phase| phase.requests).sum(),
                failed: phases.iter().map(|phase| phase.failed).sum(),
                in_flight: phases.iter().map(|phase| phase.in_flight).sum(),
                moves: phases.iter().map(|phase| phase.moves).sum(),
                affinity_breaks: phases.iter().map(|phase| phase.affinity_breaks).sum(),
                carts_lost: lost.len(),
                median: latencies.percentile(0.5),
                p99: latencies.percentile(0.99),
                longest: latencies.longest(),
                failures: Vec::new(),
                losses: Vec::new(),
            };
            Report { phases, total, users: pages.rounds.len() }
        })
    }
}
