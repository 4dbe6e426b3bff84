//! Rules that can be broken on purpose, so that the simulator can show that it would notice (`sim --break`). Without the feature `broken-rules`,
//! which no product binary has, nothing can be broken and all of this compiles to nothing.

use super::home::Queued;
use crate::command::{Command, Guard};
use crate::placement::Layout;
use crate::value::{Change, Image};
use crate::view::View;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One rule of docs/protocol.md that is not kept.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum BrokenRule {
            $($(#[$doc])* $name,)*
        }

        impl BrokenRule {
            /// All of them.
            pub const ALL: &[BrokenRule] = &[$(BrokenRule::$name,)*];

            /// The one of this name.
            pub fn named(name: &str) -> Option<BrokenRule> {
                Self::ALL.iter().copied().find(|rule| format!("{rule:?}") == name)
            }
        }
    };
}

rules! {
    /// R1, R5: a view that is older than the one adopted replaces it.
    AdoptOlderView,
    /// R2: a proposal counts as adopted before the arbiter has shown it.
    AssumeSwap,
    /// R3: members are evicted on suspicion although the budget is spent.
    EvictWithoutBudget,
    /// R3: the budget may be larger than the number of other Full members.
    UncappedBudget,
    /// R3: the budget is restored before all have confirmed that everything is protected.
    SettleEarly,
    /// R3: joiners evict, without a budget.
    JoinerEvicts,
    /// R3: a predecessor that introduces itself late proves its successor dead.
    PredecessorProvesDeath,
    /// R4: what was under way on a connection that broke is not sent again.
    NoResend,
    /// R4: what arrived already is sent again after a reconnect, and taken again.
    TakeTwice,
    /// R4: messages on several connections are taken as they come, not as they were sent.
    TakeOutOfOrder,
    /// R5: messages of a member's former life count as the new one's.
    MixIncarnations,
    /// R5: messages of members that are no longer in the view are taken.
    NoFence,
    /// R5: the view that a member of the own view shows is not adopted.
    IgnoreShownView,
    /// R7: a read is answered before the writes that it saw are acknowledged.
    ReadEarly,
    /// R7: a write whose holder was evicted does not wait for the replacement.
    NoReplacementWait,
    /// R7: a holder gets an image for every put that it cannot use, however many are under way.
    ImagePerNeed,
    /// R8: a holder that is told to drop its copy is not waited for.
    DropWithoutWait,
    /// R8: holders are released before those that replace them have acknowledged.
    DropBeforeAck,
    /// R9: a write is tried again after its member was evicted.
    RetryWrites,
    /// R9: pointers outlive the view in which they were set.
    KeepPointers,
    /// R9: a session whose handoff cannot happen any more stays frozen.
    StayFrozen,
    /// R10: transfers that are not confirmed are not reported.
    TransferNotReported,
    /// R10: a transfer that is not confirmed is reported in one view only.
    TransferReportedOnce,
    /// R10: the barrier does not wait for joiners.
    BarrierWithoutJoiners,
    /// R11: the home takes over before others have reported.
    TakeoverBeforeBarrier,
    /// R11: of the surviving copies the oldest one is taken.
    TakeLowest,
    /// R12: the home says that there is no such session before the barrier.
    AnswerBeforeBarrier,
    /// R12: a range counts as served without a break although a view was skipped.
    ServeOverSkippedView,
    /// R12: a home forgets to whom it has granted a session.
    ForgetGrant,
    /// R12: terms start again for a session that is created again.
    RestartTerms,
    /// R13: a handoff names only the giver as a holder.
    HandoffWithoutHolders,
    /// R13: a session is handed off while puts are not answered.
    HandoffWithoutQuiet,
    /// R13: a transfer is confirmed when it is received.
    ConfirmTransferEarly,
    /// R13: a session is given on, or forgotten, although who gave it does not know yet that it arrived.
    GiveUnconfirmed,
    /// R14: the home forgets a deleted session before everybody has dropped it.
    ForgetEarly,
    /// R14: a new view does not stop the home from forgetting.
    ForgetAcrossViews,
    /// R16: a member leaves before the barrier.
    LeaveBeforeBarrier,
    /// R17: a home without a copy is not told who owns a session.
    OwnUntold,
    /// R17: a home that drops its copy does not remember the owner.
    DropWithoutPointer,
    /// R18: a copy that travels as an image ends its life too early.
    ExpireEarly,
    /// R18: a copy that travels as an image loses its time to live.
    ForgetExpiry,
    /// R18: a session is said to have expired before all copies know.
    ExpiredAtOnce,
    /// R18: nobody is told that a session has expired.
    ExpiredUntold,
    /// R1: copies are kept wherever the members that keep them are.
    IgnorePlaces,
    /// R3: a view from which somebody was evicted without a budget is not marked.
    UnmarkedLoss,
    /// `acknowledge: Received`: a write is answered before anybody has received it.
    AnswerUnreceived,
    /// `onUnderReplicated: Reject`: a write that is refused is done all the same.
    RefuseAfterWriting,
    /// Leases: a member answers although the others may have evicted it.
    AnswerWithoutLease,
    /// Leases: reports are sent although a promise to a member that is gone is not over.
    BreakPromise,
    /// Leases: a promise lasts from when it is given, though the other may not have been heard for long.
    HoldPromises,
    /// Leases: what was promised to a member is kept although it is dead.
    PromiseToDead,
    /// Leases: one promise is enough, however many may be evicted.
    OnePromise,
    /// A scan is answered before the barrier.
    ScanBeforeBarrier,
    /// A scan does not list a session that is deleted at a keeper and may not be so elsewhere.
    HideUnacknowledged,
    /// A scan does not list sessions of which the home knows only the owner.
    ScanWithoutPointers,
    /// Writes are taken however much waits for a holder.
    NoBacklogLimit,
    /// A batch is carried out whatever its guard says.
    IgnoreGuard,
    /// Holders are told of a batch only what it does first.
    TearBatch,
    /// A key that does not move with its users stays where it happens to be.
    StayAstray,
}

/// What is broken in this engine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Broken {
    #[cfg(feature = "broken-rules")]
    rule: Option<BrokenRule>,
}

impl Broken {
    /// Whether `rule` is not to be kept.
    #[cfg(feature = "broken-rules")]
    pub(super) fn is(self, rule: BrokenRule) -> bool {
        self.rule == Some(rule)
    }

    /// Never.
    #[cfg(not(feature = "broken-rules"))]
    pub(super) const fn is(self, _: BrokenRule) -> bool {
        false
    }

    /// Whether any rule is not to be kept.
    #[cfg(feature = "broken-rules")]
    pub(super) const fn is_any(self) -> bool {
        self.rule.is_some()
    }

    /// Never.
    #[cfg(not(feature = "broken-rules"))]
    pub(super) const fn is_any(self) -> bool {
        false
    }
}

impl Broken {
    /// Who is placed where in `view`.
    pub(super) fn layout(self, view: &View) -> Layout {
        if !self.is(BrokenRule::IgnorePlaces) {
            return view.layout();
        }
        let mut view = view.clone();
        view.members.values_mut().for_each(|entry| entry.place = Default::default());
        view.layout()
    }

    /// What an owner makes of a command.
    pub(super) fn asked(self, mut queued: Queued) -> Queued {
        if let Command::Batch { guard, .. } = &mut queued.command
            && self.is(BrokenRule::IgnoreGuard)
        {
            *guard = Guard::None;
        }
        queued
    }

    /// What holders are told of a change.
    pub(super) fn told(self, change: Change) -> Change {
        match change {
            Change::Several(mut changes) if self.is(BrokenRule::TearBatch) => {
                changes.truncate(1);
                Change::Several(changes)
            }
            change => change,
        }
    }

    /// What a holder makes of an image that arrives.
    pub(super) fn received(self, mut image: Image) -> Image {
        if self.is(BrokenRule::ExpireEarly) {
            image.ttl = image.ttl.map(|ttl| ttl / 2);
        }
        if self.is(BrokenRule::ForgetExpiry) {
            image.ttl = None;
        }
        image
    }
}

#[cfg(feature = "broken-rules")]
impl super::Engine {
    /// From now on `rule` is not kept.
    pub fn break_rule(&mut self, rule: BrokenRule) {
        self.broken.rule = Some(rule);
    }
}
