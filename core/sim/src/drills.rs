//! Schedules written by hand, each for one moment in which a rule is needed that chance seldom needs. The seed varies what the network does, and
//! when things are done.

use holdfast_core::placement::{home, position};
use holdfast_core::{MemberSet, NodeId};

use crate::action::Action::{self, Ask as Asks, Blind, Crash, Cut, Finish, HealNetwork, Partition, Reset, Scan, Slow, Start};
use crate::action::Ask::{Delete, Exchange, Get, Set, SetFor};
use crate::action::Pod::New;
use crate::rng::Rng;
use crate::schedule::Schedule;
use crate::setup::Setup;

/// How much later than written all of it happens, in milliseconds: losses soon after the beginning are excused, as there were no copies yet.
const AGE: u64 = 3_000;

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
}

impl Drill {
    /// All of them.
    pub const ALL: [Drill; 15] = [
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
    ];

    /// Its schedule with this seed.
    pub fn schedule(self, seed: u64) -> Schedule {
        let mut rng = Rng::of(seed, [60, self as u64, 0, 0]);
        let mut script = Script { setup: Setup::plain(seed, 3, 1), actions: Vec::new(), length: 4_000 };
        // The same three in all: who owns, who is at home, and who is neither.
        let (a, b, c, d) = (0, 1, 2, 3);
        script.running(3);
        match self {
            Drill::ReplacementAndOwnerDie => {
                script.with_home(3, b, None);
                script.at(1_500, Asks(a, 0, Set(1)));
                script.at(1_600, Crash(b));
                let at = 1_600 + rng.between(0, 12);
                script.at(at, Asks(a, 0, Set(2)));
                script.at(at + rng.between(0, 40), Cut(a, c));
                script.at(at + rng.between(50, 250), Crash(a));
                script.at(2_300, HealNetwork);
            }
            Drill::OwnerDiesWithUnacknowledged => {
                script.with_home(3, b, None);
                script.at(1_500, Asks(a, 0, Set(1)));
                script.at(1_600, Cut(a, b));
                let at = 1_600 + rng.between(0, 200);
                script.at(at, Asks(a, 0, Set(2)));
                script.at(at + 2, Asks(a, 0, Get));
                script.at(at + rng.between(4, 40), Crash(a));
                script.at(at + 40, Reset(a, b, [0, 0]));
                script.at(2_300, HealNetwork);
            }
            Drill::GrantCrossesView | Drill::HomeReturns => {
                script.setup.hosts = 4;
                script.with_home(3, b, Some(d));
                script.at(1_500, Slow(b, a, 900));
                script.at(1_500, Start(d, New));
                script.at(1_500 + rng.between(0, 250), Asks(a, 0, Set(1)));
                if self == Drill::HomeReturns {
                    script.at(2_500, HealNetwork);
                    script.at(2_800, Asks(a, 0, Set(2)));
                    script.at(3_000, Asks(a, 0, Delete));
                    script.at(3_500, Finish(d));
                } else {
                    (0..8).for_each(|i| script.at(1_650 + i * 80, Asks(c, 0, Set(10 + i as u32))));
                }
            }
            Drill::ExpiryAndOwnerDies => {
                script.with_home(3, a, None);
                let keepers = [b, c];
                keepers.iter().for_each(|keeper| script.at(1_400, Slow(a, *keeper, 900)));
                script.at(1_500, Asks(a, 0, SetFor(1, 1_000)));
                (0..10).for_each(|i| script.at(2_490 + i * 8, Asks(a, 0, Get)));
                let at = 2_560 + rng.between(0, 40);
                keepers.iter().for_each(|keeper| script.at(at, Cut(a, *keeper)));
                script.at(at + 1, Crash(a));
                keepers.iter().for_each(|keeper| script.at(at + 2, Reset(a, *keeper, [0, 0])));
                (0..20).for_each(|i| script.at(at + 20 + i * 30, Asks(b, 0, Get)));
                script.at(3_400, HealNetwork);
            }
            Drill::ForgettingCrossesView => {
                script.setup.hosts = 4;
                script.with_home(3, a, Some(d));
                script.at(1_300, Asks(a, 0, Set(1)));
                script.at(1_450, Slow(a, b, 250));
                script.at(1_450, Slow(a, c, 250));
                script.at(1_500, Start(d, New));
                script.at(1_400 + rng.between(0, 300), Asks(a, 0, Delete));
                script.at(3_000, HealNetwork);
            }
            Drill::OwnerCutOff => {
                script.with_home(3, b, None);
                script.at(1_500, Asks(a, 0, Set(1)));
                script.at(1_600, Partition(1));
                script.at(1_600, Blind(a));
                (0..24).for_each(|i| script.at(2_000 + i * 50, Asks(b, 0, Set(2 + i as u32))));
                (0..60).for_each(|i| script.at(2_005 + i * 25, Asks(a, 0, Get)));
                script.at(3_500, HealNetwork);
            }
            Drill::OwnerHalfHeard => {
                script.with_home(3, b, None);
                script.at(1_500, Asks(a, 0, Set(1)));
                script.at(1_600, Cut(a, c));
                script.at(1_600, Blind(a));
                script.at(1_900, Cut(c, a));
                script.at(1_900, Slow(b, a, rng.between(20, 150)));
                (0..40).for_each(|i| script.at(1_990 + i * 10, Asks(b, 0, Set(2 + i as u32))));
                (0..150).for_each(|i| script.at(1_990 + i * 3, Asks(a, 0, Get)));
                script.at(3_000, HealNetwork);
            }
            Drill::TwoCutOff => {
                script.setup = Setup::plain(seed, 5, 2);
                script.running(5);
                script.with_home(5, c, None);
                script.at(1_500, Asks(a, 0, Set(1)));
                script.at(1_600, Partition(0b11));
                script.at(1_600, Blind(a));
                script.at(1_600, Blind(b));
                (0..24).for_each(|i| script.at(2_000 + i * 50, Asks(c, 0, Set(2 + i as u32))));
                (0..60).for_each(|i| script.at(2_005 + i * 25, Asks(a, 0, Get)));
                script.at(3_500, HealNetwork);
            }
            Drill::HomeKnowsOwnerOnly => {
                script.with_home(3, b, Some(b));
                script.at(1_500, Asks(a, 0, Set(1)));
                script.at(1_600, Slow(a, c, 700));
                script.at(1_600, Finish(b));
                (0..60).for_each(|i| script.at(1_620 + i * 15, Scan(c, 2)));
                script.at(3_000, HealNetwork);
            }
            Drill::ImageUnderWay => {
                script.setup = Setup::plain(seed, 4, 2);
                script.with_home(4, d, None);
                script.at(1_300, Asks(a, 0, Set(1)));
                script.at(1_490, Cut(a, d));
                script.at(1_500, Start(d, New));
                script.at(1_500 + rng.between(40, 120), Crash(a));
                script.at(1_560, Slow(b, d, 400));
                script.at(1_560, Slow(c, d, 400));
                let (writer, taker) = rng.pick(&[(b, c), (c, b)]);
                let at = 1_600 + rng.between(0, 150);
                (0..6).for_each(|i| script.at(at + i * 9, Asks(writer, 0, Set(2 + i as u32))));
                (0..6).for_each(|i| script.at(at + 60 + i * 17, Asks(taker, 0, Get)));
                script.at(3_000, HealNetwork);
            }
            Drill::KeeperLeavesAndOwnerDies => {
                script.with_home(3, b, None);
                script.at(1_500, Asks(a, 0, Set(1)));
                script.at(1_590, Cut(a, c));
                script.at(1_600, Finish(b));
                script.at(1_600 + rng.between(60, 350), Crash(a));
                script.at(2_300, HealNetwork);
            }
            Drill::AnswerLost => {
                script.with_home(3, b, None);
                script.at(1_500, Asks(a, 0, Set(1)));
                script.at(1_590, Asks(c, 0, Get));
                script.at(1_600, Cut(a, c));
                script.at(1_601, Asks(c, 0, Exchange(2)));
                script.at(1_606 + rng.between(0, 20), Crash(a));
                script.at(2_300, HealNetwork);
            }
            Drill::ReceiverDies => {
                script.with_home(3, b, None);
                script.at(1_500, Asks(a, 0, Set(1)));
                script.at(1_590, Slow(a, b, 800));
                script.at(1_600, Asks(c, 0, Set(2)));
                script.at(1_605, Asks(c, 0, Set(3)));
                script.at(1_610 + rng.between(0, 200), Crash(c));
                script.at(2_600, HealNetwork);
            }
            Drill::DropUnheard => {
                script.setup.hosts = 4;
                script.with_home(3, b, Some(d));
                script.at(1_300, Asks(a, 0, Set(1)));
                script.at(1_500, Start(d, New));
                let at = 1_500 + rng.between(30, 260);
                script.at(at, Cut(a, b));
                script.at(at, Blind(a));
                script.at(at + rng.between(10, 150), Asks(a, 0, Delete));
                script.at(2_800, HealNetwork);
            }
        }
        script.done()
    }
}

struct Script {
    setup: Setup,
    actions: Vec<(u64, Action)>,
    length: u64,
}

impl Script {
    fn at(&mut self, at: u64, action: Action) {
        self.actions.push((at, action));
    }

    /// So many start at the beginning, and are settled soon.
    fn running(&mut self, count: usize) {
        self.actions = (0..count).map(|host| (0, Start(host, New))).collect();
    }

    /// Works on a session whose home is `host` while the first `count` are full, and `then` once there is one more (or, if it is the same, some other
    /// one once it is gone).
    fn with_home(&mut self, count: usize, host: usize, then: Option<usize>) {
        let at_home = |key: usize, count: usize| {
            let members = (0..count).filter_map(|id| NodeId::new(id as u8)).collect::<MemberSet>();
            home(members, position(format!("sess:{key}").as_bytes())).map(|id| usize::from(id.get()))
        };
        let fits = |key: &usize| {
            let is_home = at_home(*key, count) == Some(host);
            is_home && then.is_none_or(|then| then == host || at_home(*key, count + 1) == Some(then))
        };
        self.setup.first = (0..).find(fits).expect("each member is home to some session");
    }

    fn done(mut self) -> Schedule {
        self.actions.sort_by_key(|(at, _)| *at);
        self.actions.iter_mut().filter(|(at, _)| *at > 0).for_each(|(at, _)| *at += AGE);
        Schedule { setup: self.setup, length: self.length + AGE, actions: self.actions }
    }
}
