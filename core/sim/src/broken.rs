//! The checker is checked: each rule that can be broken, in what schedules that shows, and after how many of them at the latest.

use holdfast_core::engine::BrokenRule;

use crate::schedule::{Violation, run_kind, run_skipped_view};
use crate::setup::Kind;

/// Where a rule is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// In schedules of this kind.
    In(Kind),
    /// In the script of a view that the home never sees.
    SkippedView,
}

/// In which schedules it shows that `rule` is broken, and in how many of them it does at the latest.
pub fn shows(rule: BrokenRule) -> (Where, u64) {
    use Where::In;
    match rule {
        _ => (In(Kind::Mixed), 3_000),
    }
}

/// After how many schedules it is noticed that `rule` is broken, and how; `Err` with their number if it is not.
pub fn catch(rule: BrokenRule, place: Where, most: u64) -> Result<(u64, Violation), u64> {
    for seed in 1..=most {
        let outcome = match place {
            Where::In(kind) => run_kind(seed, kind, Some(rule), false),
            Where::SkippedView => run_skipped_view(seed, Some(rule)),
        };
        if let Err(violation) = outcome {
            return Ok((seed, violation));
        }
    }
    Err(most)
}
