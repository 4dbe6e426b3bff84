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

/// In which schedules it shows that `rule` is broken, and in how many of them it does at the latest; nothing for a rule that others make up for.
pub fn shows(rule: BrokenRule) -> Option<(Where, u64)> {
    use BrokenRule as Rule;
    use Kind::{Brink, Churn, Expiry, Flood, Hunt, Mixed, Modes, Narrow, Places, Steps, Trade, Wide};
    use Where::In;
    let shown = match rule {
        Rule::AdoptOlderView => (In(Narrow), 50),
        Rule::AssumeSwap => (In(Mixed), 50),
        Rule::EvictWithoutBudget => (In(Mixed), 100),
        Rule::UncappedBudget => (In(Brink), 50),
        Rule::SettleEarly => (In(Mixed), 200),
        Rule::JoinerEvicts => (In(Churn), 100),
        Rule::PredecessorProvesDeath => (In(Hunt), 50),
        Rule::NoResend => (In(Mixed), 50),
        Rule::TakeTwice => (In(Mixed), 150),
        Rule::MixIncarnations => (In(Mixed), 150),
        Rule::NoFence => (In(Brink), 300),
        Rule::IgnoreShownView => (In(Mixed), 50),
        Rule::ReadEarly => (Where::Drill(Drill::OwnerDiesWithUnacknowledged), 20),
        Rule::NoReplacementWait => (Where::Drill(Drill::ReplacementAndOwnerDie), 50),
        Rule::TransferNotReported => (Where::Drill(Drill::GrantCrossesView), 50),
        Rule::TakeoverBeforeBarrier => (In(Mixed), 300),
        Rule::AnswerBeforeBarrier => (In(Hunt), 100),
        Rule::ForgetGrant => (In(Churn), 50),
        Rule::HandoffWithoutHolders => (In(Churn), 150),
        Rule::HandoffWithoutQuiet => (In(Churn), 300),
        Rule::ForgetAcrossViews => (Where::Drill(Drill::ForgettingCrossesView), 20),
        Rule::ExpireEarly => (In(Expiry), 100),
        Rule::ForgetExpiry => (In(Expiry), 100),
        Rule::ExpiredAtOnce => (Where::Drill(Drill::ExpiryAndOwnerDies), 50),
        Rule::ExpiredUntold => (In(Expiry), 20),
        Rule::HoldPromises => (Where::Drill(Drill::SilentCut), 20),
        Rule::PromiseToDead => (Where::Drill(Drill::Crash), 20),
        Rule::IgnorePlaces => (In(Places), 20),
        Rule::UnmarkedLoss => (In(Trade), 300),
        Rule::AnswerUnreceived => (In(Trade), 300),
        Rule::RefuseAfterWriting => (In(Trade), 300),
        Rule::AnswerWithoutLease => (Where::Drill(Drill::OwnerCutOff), 20),
        Rule::OnePromise => (Where::Drill(Drill::TwoCutOff), 20),
        Rule::ScanBeforeBarrier => (In(Wide), 300),
        Rule::HideUnacknowledged => (Where::Drill(Drill::DeleteHalfHeard), 50),
        Rule::ScanWithoutPointers => (Where::Drill(Drill::HomeKnowsOwnerOnly), 50),
        Rule::NoBacklogLimit => (In(Flood), 20),
        Rule::DropBeforeAck => (Where::Drill(Drill::KeeperLeavesAndOwnerDies), 50),
        Rule::RetryWrites => (Where::Drill(Drill::AnswerLost), 50),
        Rule::StayFrozen => (Where::Drill(Drill::ReceiverDies), 50),
        Rule::KeepPointers => (Where::Drill(Drill::HomeReturnsWithoutCopies), 20),
        Rule::BreakPromise => (Where::Drill(Drill::OwnerHalfHeard), 100),
        Rule::BarrierWithoutJoiners => (Where::Drill(Drill::JoinerOwns), 100),
        Rule::TransferReportedOnce => (Where::Drill(Drill::GrantCrossesTwoViews), 100),
        Rule::DropWithoutWait => (Where::Drill(Drill::DropLost), 100),
        Rule::ForgetEarly => (Where::Drill(Drill::ExpiryAndOwnerDies), 100),
        Rule::ImagePerNeed => (Where::Drill(Drill::HolderBehind), 200),
        Rule::GiveUnconfirmed => (Where::Drill(Drill::ConfirmationLate), 100),
        Rule::OwnUntold => (Where::Drill(Drill::MovesWithoutCopies), 20),
        Rule::DropWithoutPointer => (In(Modes), 50),
        Rule::TakeOutOfOrder => (In(Modes), 150),
        Rule::IgnoreGuard => (In(Steps), 20),
        Rule::TearBatch => (In(Steps), 100),
        Rule::StayAstray => (In(Steps), 20),
        _ => return None,
    };
    Some(shown)
}

/// What makes up for a rule that is not kept, so that nothing can show it. Such rules are kept all the same: they cost little, and what makes up for
/// them may change.
pub fn redundant(rule: BrokenRule) -> Option<&'static str> {
    match rule {
        BrokenRule::TakeLowest => Some("all copies have what was answered, as an answer waits for all of H (R7)"),
        BrokenRule::LeaveBeforeBarrier => Some("a member that leaves holds nothing, so nobody misses what it would report (R16)"),
        BrokenRule::ConfirmTransferEarly => {
            Some("the new owner reports what it owns itself, and gives nothing on before all of H know it (R10, R13)")
        }
        BrokenRule::RestartTerms => Some(
            "nothing of an earlier life is left to compare with: copies are dropped and transfers known to have arrived before a session is \
             forgotten (R13, R14), pointers go with the last copy, and links deliver in order (R4)",
        ),
        BrokenRule::ServeOverSkippedView => Some(
            "a barrier takes all members, so of two homes one has seen where the other served; what this one had it has still, or a pointer \
             since it was told to drop it (R17). Without that pointer (DropWithoutPointer) the script of the skipped view shows it in schedule 17",
        ),
        _ => None,
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
