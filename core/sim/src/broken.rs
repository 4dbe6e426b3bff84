//! The checker is checked: each rule that can be broken, in what schedules that shows, and after how many of them at the latest.

use holdfast_core::engine::BrokenRule;

use crate::drills::Drill;
use crate::schedule::{Violation, replay, run_kind, run_skipped_view};
use crate::setup::Kind;

/// Where a rule is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// In schedules of this kind.
    In(Kind),
    /// In the schedules of this drill.
    Drill(Drill),
    /// In the script of a view that the home never sees.
    SkippedView,
}

/// In which schedules it shows that `rule` is broken, and in how many of them it does at the latest.
pub fn shows(rule: BrokenRule) -> (Where, u64) {
    use BrokenRule as Rule;
    use Kind::{Churn, Expiry, Flood, Hunt, Mixed, Narrow, Wide};
    use Where::{In, SkippedView};
    match rule {
        Rule::AdoptOlderView => (In(Narrow), 100),
        Rule::AssumeSwap => (In(Mixed), 100),
        Rule::EvictWithoutBudget => (In(Mixed), 100),
        Rule::UncappedBudget => (In(Kind::Brink), 30),
        Rule::SettleEarly => (In(Churn), 300),
        Rule::JoinerEvicts => (In(Churn), 300),
        Rule::PredecessorProvesDeath => (In(Narrow), 300),
        Rule::NoResend => (In(Mixed), 100),
        Rule::TakeTwice => (In(Mixed), 100),
        Rule::MixIncarnations => (In(Mixed), 300),
        Rule::NoFence => (In(Kind::Brink), 200),
        Rule::IgnoreShownView => (In(Mixed), 300),
        Rule::ReadEarly => (Where::Drill(Drill::OwnerDiesWithUnacknowledged), 50),
        Rule::NoReplacementWait => (Where::Drill(Drill::ReplacementAndOwnerDie), 50),
        Rule::ImagePerNeed => (Where::Drill(Drill::ImageUnderWay), 200),
        Rule::DropWithoutWait => (In(Kind::Brink), 100),
        Rule::DropBeforeAck => (In(Kind::Brink), 50),
        Rule::RetryWrites => (In(Narrow), 300),
        Rule::KeepPointers => (Where::Drill(Drill::HomeReturns), 100),
        Rule::StayFrozen => (In(Kind::Brink), 300),
        Rule::TransferNotReported => (Where::Drill(Drill::GrantCrossesView), 100),
        Rule::TransferReportedOnce => (Where::Drill(Drill::GrantCrossesView), 100),
        Rule::BarrierWithoutJoiners => (In(Kind::Brink), 400),
        Rule::TakeoverBeforeBarrier => (In(Mixed), 100),
        Rule::TakeLowest => (In(Narrow), 300),
        Rule::AnswerBeforeBarrier => (In(Hunt), 100),
        Rule::ServeOverSkippedView => (SkippedView, 100),
        Rule::ForgetGrant => (In(Churn), 100),
        Rule::RestartTerms => (In(Churn), 300),
        Rule::HandoffWithoutHolders => (In(Churn), 300),
        Rule::HandoffWithoutQuiet => (In(Churn), 300),
        Rule::ConfirmTransferEarly => (In(Churn), 300),
        Rule::ForgetEarly => (Where::Drill(Drill::ExpiryAndOwnerDies), 100),
        Rule::ForgetAcrossViews => (Where::Drill(Drill::ForgettingCrossesView), 100),
        Rule::LeaveBeforeBarrier => (In(Churn), 300),
        Rule::ExpireEarly => (In(Expiry), 100),
        Rule::ForgetExpiry => (In(Expiry), 100),
        Rule::AnswerWithoutLease => (Where::Drill(Drill::OwnerCutOff), 50),
        Rule::BreakPromise => (Where::Drill(Drill::OwnerHalfHeard), 100),
        Rule::OnePromise => (Where::Drill(Drill::TwoCutOff), 50),
        Rule::ScanBeforeBarrier => (In(Wide), 300),
        Rule::ScanWithoutPointers => (Where::Drill(Drill::HomeKnowsOwnerOnly), 100),
        Rule::NoBacklogLimit => (In(Flood), 30),
    }
}

/// After how many schedules it is noticed that `rule` is broken, and how; `Err` with their number if it is not.
pub fn catch(rule: BrokenRule, place: Where, most: u64) -> Result<(u64, Violation), u64> {
    for seed in 1..=most {
        let outcome = match place {
            Where::In(kind) => run_kind(seed, kind, Some(rule), false),
            Where::Drill(drill) => {
                let mut schedule = drill.schedule(seed);
                schedule.setup.broken = Some(rule);
                replay(&schedule, false)
            }
            Where::SkippedView => run_skipped_view(seed, Some(rule)),
        };
        if let Err(violation) = outcome {
            return Ok((seed, violation));
        }
    }
    Err(most)
}
