//! When writes and reads are answered, and what of them survives (R7 to R9).

use super::script::{A, B, C, D, Script};
use crate::action::Action::{Ask as Asks, Crash, Cut, Finish, HealNetwork, Reset, Slow, Start};
use crate::action::Ask::{Exchange, Get, Set};
use crate::action::Pod::New;
use crate::rng::Rng;
use crate::setup::Setup;

/// See [`Drill::ReplacementAndOwnerDie`](super::Drill).
pub(super) fn replacement_and_owner_die(script: &mut Script, rng: &mut Rng) {
    script.with_home(3, B, None);
    script.at(1_500, Asks(A, 0, Set(1)));
    script.at(1_600, Crash(B));
    let at = 1_600 + rng.between(0, 12);
    script.at(at, Asks(A, 0, Set(2)));
    script.at(at + rng.between(0, 40), Cut(A, C));
    script.at(at + rng.between(50, 250), Crash(A));
    script.at(2_300, HealNetwork);
}

/// See [`Drill::OwnerDiesWithUnacknowledged`](super::Drill).
pub(super) fn owner_dies_with_unacknowledged(script: &mut Script, rng: &mut Rng) {
    script.with_home(3, B, None);
    script.at(1_500, Asks(A, 0, Set(1)));
    script.at(1_600, Cut(A, B));
    let at = 1_600 + rng.between(0, 200);
    script.at(at, Asks(A, 0, Set(2)));
    script.at(at + 2, Asks(A, 0, Get));
    script.at(at + rng.between(4, 40), Crash(A));
    script.at(at + 40, Reset(A, B, [0, 0]));
    script.at(2_300, HealNetwork);
}

/// See [`Drill::ImageUnderWay`](super::Drill).
pub(super) fn image_under_way(script: &mut Script, rng: &mut Rng) {
    script.setup = Setup::plain(script.setup.seed, 4, 2);
    script.with_home(4, D, None);
    script.at(1_300, Asks(A, 0, Set(1)));
    script.at(1_490, Cut(A, D));
    script.at(1_500, Start(D, New));
    script.at(1_500 + rng.between(40, 120), Crash(A));
    script.at(1_560, Slow(B, D, 400));
    script.at(1_560, Slow(C, D, 400));
    let (writer, taker) = rng.pick(&[(B, C), (C, B)]);
    let at = 1_600 + rng.between(0, 150);
    (0..6).for_each(|i| script.at(at + i * 9, Asks(writer, 0, Set(2 + i as u32))));
    (0..6).for_each(|i| script.at(at + 60 + i * 17, Asks(taker, 0, Get)));
    script.at(3_000, HealNetwork);
}

/// See [`Drill::KeeperLeavesAndOwnerDies`](super::Drill).
pub(super) fn keeper_leaves_and_owner_dies(script: &mut Script, rng: &mut Rng) {
    script.with_home(3, B, None);
    script.at(1_500, Asks(A, 0, Set(1)));
    script.at(1_590, Cut(A, C));
    script.at(1_600, Finish(B));
    script.at(1_600 + rng.between(60, 350), Crash(A));
    script.at(2_300, HealNetwork);
}

/// See [`Drill::AnswerLost`](super::Drill).
pub(super) fn answer_lost(script: &mut Script, rng: &mut Rng) {
    script.with_home(3, B, None);
    script.at(1_500, Asks(A, 0, Set(1)));
    script.at(1_590, Asks(C, 0, Get));
    script.at(1_600, Cut(A, C));
    script.at(1_601, Asks(C, 0, Exchange(2)));
    script.at(1_606 + rng.between(0, 20), Crash(A));
    script.at(2_300, HealNetwork);
}

/// See [`Drill::HolderBehind`](super::Drill).
pub(super) fn holder_behind(script: &mut Script, rng: &mut Rng) {
    script.with_members(4, 2);
    script.with_home(4, B, None);
    script.at(1_500, Asks(A, 0, Set(1)));
    script.at(1_600, Cut(A, C));
    script.at(1_600, Cut(A, D));
    script.at(1_605, Asks(A, 0, Set(2)));
    let at = 1_620 + rng.between(0, 20);
    script.at(at, Crash(A));
    [C, D].iter().for_each(|other| script.at(at + 1, Reset(A, *other, [0, 0])));
    let (behind, taker) = rng.pick(&[(C, D), (D, C)]);
    script.at(at + 2, Slow(B, behind, 400));
    (0..12).for_each(|i| script.at(at + 30 + i * 9, Asks(B, 0, Set(3 + i as u32))));
    (0..12).for_each(|i| script.at(at + 140 + i * 17, Asks(taker, 0, Get)));
    script.at(3_000, HealNetwork);
}
