//! Schedules written by hand, each for one moment in which a rule is needed that chance seldom needs. The seed varies what the network does, and
//! when things are done.

mod ends;
mod leases;
mod moves;
mod script;
mod takeovers;
mod writes;

use crate::rng::Rng;
use crate::schedule::Schedule;
use script::Script;

/// The moment that a schedule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drill {
    /// A write waits for a keeper that dies; then its owner dies, before the replacement has anything.
    ReplacementAndOwnerDie,
    /// A read sees a write that only its owner has, and the owner dies.
    OwnerDiesWithUnacknowledged,
    /// A grant is under way while another member becomes the home.
    GrantCrossesView,
    /// The same, and what was granted is deleted before the home comes back.
    HomeReturns,
    /// A life ends at the owner, and the owner dies before the keeper knows.
    ExpiryAndOwnerDies,
    /// A deleted session is being forgotten while another member becomes its home.
    ForgettingCrossesView,
    /// An owner is cut off from all, clients left out.
    OwnerCutOff,
    /// An owner is evicted by one who does not hear it, while another one does.
    OwnerHalfHeard,
    /// An owner and one more are cut off from the rest together.
    TwoCutOff,
    /// A new home has been told of a session, and does not have it yet.
    HomeKnowsOwnerOnly,
    /// A copy is under way to a joiner when the owner dies, and the new owner writes and gives the session away.
    ImageUnderWay,
    /// A keeper leaves, and the owner dies before the next keeper has anything.
    KeeperLeavesAndOwnerDies,
    /// A write is done, its answer is lost, and its owner dies.
    AnswerLost,
    /// The member to which a session is about to be given dies.
    ReceiverDies,
    /// A keeper that is to drop its copy does not hear so, and evicts the owner.
    DropUnheard,
    /// A grant is under way while its home changes twice.
    GrantCrossesTwoViews,
    /// A home without copies is home again after a session of another one was deleted.
    HomeReturnsWithoutCopies,
    /// A session moves to another member, and nobody but its home could know.
    MovesWithoutCopies,
    /// A session is granted and deleted, and the member that gave it hears late that it was taken.
    ConfirmationLate,
    /// The best copy of an orphan is at a joiner, and the home changes before that is full.
    JoinerOwns,
    /// A keeper is to drop its copy and does not hear so, the session is deleted, and its owner dies.
    DropLost,
    /// A home keeps a session of which it has heard that it is deleted, another keeper has not, and the owner and the home die.
    DeleteHalfHeard,
    /// A holder has missed a write, and its new owner writes more before it has caught up.
    HolderBehind,
    /// An owner crashes, and nothing else happens.
    Crash,
    /// An owner is cut off from everybody, and nothing else happens.
    SilentCut,
}

impl Drill {
    /// All of them.
    pub const ALL: [Drill; 25] = [
        Drill::ReplacementAndOwnerDie,
        Drill::OwnerDiesWithUnacknowledged,
        Drill::GrantCrossesView,
        Drill::HomeReturns,
        Drill::ExpiryAndOwnerDies,
        Drill::ForgettingCrossesView,
        Drill::OwnerCutOff,
        Drill::OwnerHalfHeard,
        Drill::TwoCutOff,
        Drill::HomeKnowsOwnerOnly,
        Drill::ImageUnderWay,
        Drill::KeeperLeavesAndOwnerDies,
        Drill::AnswerLost,
        Drill::ReceiverDies,
        Drill::DropUnheard,
        Drill::GrantCrossesTwoViews,
        Drill::HomeReturnsWithoutCopies,
        Drill::MovesWithoutCopies,
        Drill::ConfirmationLate,
        Drill::JoinerOwns,
        Drill::DropLost,
        Drill::DeleteHalfHeard,
        Drill::HolderBehind,
        Drill::Crash,
        Drill::SilentCut,
    ];

    /// Its schedule with this seed.
    pub fn schedule(self, seed: u64) -> Schedule {
        let mut script = Script::plain(seed);
        let write: fn(&mut Script, &mut Rng) = match self {
            Drill::ReplacementAndOwnerDie => writes::replacement_and_owner_die,
            Drill::OwnerDiesWithUnacknowledged => writes::owner_dies_with_unacknowledged,
            Drill::GrantCrossesView => moves::grant_crosses_view,
            Drill::HomeReturns => moves::home_returns,
            Drill::ExpiryAndOwnerDies => ends::expiry_and_owner_dies,
            Drill::ForgettingCrossesView => ends::forgetting_crosses_view,
            Drill::OwnerCutOff => leases::owner_cut_off,
            Drill::OwnerHalfHeard => leases::owner_half_heard,
            Drill::TwoCutOff => leases::two_cut_off,
            Drill::HomeKnowsOwnerOnly => moves::home_knows_owner_only,
            Drill::ImageUnderWay => writes::image_under_way,
            Drill::KeeperLeavesAndOwnerDies => writes::keeper_leaves_and_owner_dies,
            Drill::AnswerLost => writes::answer_lost,
            Drill::ReceiverDies => moves::receiver_dies,
            Drill::DropUnheard => ends::drop_unheard,
            Drill::GrantCrossesTwoViews => moves::grant_crosses_two_views,
            Drill::HomeReturnsWithoutCopies => moves::home_returns_without_copies,
            Drill::MovesWithoutCopies => moves::moves_without_copies,
            Drill::ConfirmationLate => moves::confirmation_late,
            Drill::JoinerOwns => moves::joiner_owns,
            Drill::DropLost => ends::drop_lost,
            Drill::DeleteHalfHeard => ends::delete_half_heard,
            Drill::HolderBehind => writes::holder_behind,
            Drill::Crash => takeovers::crash,
            Drill::SilentCut => takeovers::silent_cut,
        };
        write(&mut script, &mut Rng::of(seed, [60, self as u64, 0, 0]));
        script.done()
    }
}
