//! What the users saw, as numbers for assertions and as a table for people.

use std::fmt;
use std::time::Duration;

/// One phase.
#[derive(Debug, Clone)]
pub struct PhaseReport {
    /// Its name.
    pub name: String,
    /// How long it lasted.
    pub lasted: Duration,
    /// Requests that came to an end in it.
    pub requests: u64,
    /// Requests that failed, those under `in_flight` not counted.
    pub failed: u64,
    /// Requests that were under way to a member that went and were not safe to repeat.
    pub in_flight: u64,
    /// How often a user was answered by another member than before.
    pub moves: u64,
    /// Moves away from a member that was not being disturbed.
    pub affinity_breaks: u64,
    /// Users whose cart broke a promise.
    pub carts_lost: usize,
    /// Half of the requests were answered within this time.
    pub median: Duration,
    /// 99 of 100 were.
    pub p99: Duration,
    /// The longest wait for one answer.
    pub longest: Duration,
    /// The first failures, described.
    pub failures: Vec<String>,
    /// The first broken promises, described.
    pub losses: Vec<String>,
}

/// All phases.
#[derive(Debug, Clone)]
pub struct Report {
    /// In the order in which they were.
    pub phases: Vec<PhaseReport>,
    /// Their sum.
    pub total: PhaseReport,
    /// How many users there were.
    pub users: usize,
}

impl Report {
    /// The phase of this name.
    #[must_use]
    pub fn phase(&self, name: &str) -> Option<&PhaseReport> {
        self.phases.iter().find(|phase| phase.name == name)
    }

    /// Losses and failures in words, for a person who wants to know why; empty if there was none.
    #[must_use]
    pub fn complaints(&self) -> String {
        let mut text = String::new();
        for phase in &self.phases {
            for line in phase.losses.iter().chain(&phase.failures) {
                text += &format!("  {}: {line}\n", phase.name);
            }
        }
        text
    }
}

impl fmt::Display for Report {
    /// A table; `in flight` counts requests under way to a member that went, which are not safe to repeat.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.phases.iter().map(|phase| phase.name.chars().count()).max().unwrap_or(0).max(5);
        writeln!(
            f,
            "{:<widest$}  {:>8}  {:>6}  {:>9}  {:>10}  {:>6}  {:>7}  {:>7}  {:>12}",
            "phase", "requests", "failed", "in flight", "carts lost", "moved", "median", "p99", "longest wait"
        )?;
        let line = "-".repeat(widest + 83);
        writeln!(f, "{line}")?;
        for phase in self.phases.iter().filter(|phase| phase.requests > 0) {
            phase.row(f, widest)?;
        }
        writeln!(f, "{line}")?;
        self.total.row(f, widest)
    }
}

impl PhaseReport {
    fn row(&self, f: &mut fmt::Formatter<'_>, widest: usize) -> fmt::Result {
        writeln!(
            f,
            "{:<widest$}  {:>8}  {:>6}  {:>9}  {:>10}  {:>6}  {:>7}  {:>7}  {:>12}",
            self.name,
            self.requests,
            self.failed,
            self.in_flight,
            self.carts_lost,
            self.moves,
            short(self.median),
            short(self.p99),
            short(self.longest),
        )
    }
}

/// A duration as people read it: `3 ms`, `1.25 s`.
pub(super) fn short(time: Duration) -> String {
    if time < Duration::from_millis(10) {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (micros, text) in [(0, "0.0 ms"), (1_250, "1.2 ms"), (48_000, "48 ms"), (999_900, "999 ms"), (2_500_000, "2.50 s")] {
            assert_eq!(short(Duration::from_micros(micros)), text);
        }
    }
}
