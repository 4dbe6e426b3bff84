//! Sessions that change hands while members come and go (R10 to R13).

use super::script::{A, B, C, D, Script};
use crate::action::Action::{Ask as Asks, Crash, Expect, Finish, HealNetwork, Scan, Slow, Start};
use crate::action::Ask::{Delete, Get, Set};
use crate::action::Pod::New;
use crate::rng::Rng;

fn slow_grant(script: &mut Script, rng: &mut Rng) {
    script.setup.hosts = 4;
    script.with_home(3, B, Some(D));
    script.at(1_500, Slow(B, A, 900));
    script.at(1_500, Start(D, New));
    script.at(1_500 + rng.between(0, 250), Asks(A, 0, Set(1)));
}

/// See [`Drill::GrantCrossesView`](super::Drill).
pub(super) fn grant_crosses_view(script: &mut Script, rng: &mut Rng) {
    slow_grant(script, rng);
    (0..8).for_each(|i| script.at(1_650 + i * 80, Asks(C, 0, Set(10 + i as u32))));
}

/// See [`Drill::GrantCrossesTwoViews`](super::Drill).
pub(super) fn grant_crosses_two_views(script: &mut Script, rng: &mut Rng) {
    slow_grant(script, rng);
    script.at(1_760 + rng.between(0, 150), Crash(D));
    (0..10).for_each(|i| script.at(1_800 + i * 60, Asks(C, 0, Set(10 + i as u32))));
}

/// See [`Drill::HomeReturns`](super::Drill).
pub(super) fn home_returns(script: &mut Script, rng: &mut Rng) {
    slow_grant(script, rng);
    script.at(2_500, HealNetwork);
    script.at(2_800, Asks(A, 0, Set(2)));
    script.at(3_000, Asks(A, 0, Delete));
    script.at(3_500, Finish(D));
}

/// See [`Drill::HomeReturnsWithoutCopies`](super::Drill).
pub(super) fn home_returns_without_copies(script: &mut Script, rng: &mut Rng) {
    script.with_members(3, 0);
    script.setup.hosts = 4;
    script.with_home(3, B, Some(D));
    script.at(1_300, Asks(A, 0, Set(1)));
    script.at(1_500, Start(D, New));
    script.at(2_000 + rng.between(0, 100), Asks(A, 0, Delete));
    script.at(2_500, Finish(D));
    script.at(3_300, Expect(C, 0, 100));
}

/// See [`Drill::MovesWithoutCopies`](super::Drill).
pub(super) fn moves_without_copies(script: &mut Script, rng: &mut Rng) {
    script.with_members(3, 0);
    script.with_home(3, B, None);
    script.at(1_300, Asks(A, 0, Set(1)));
    let at = 1_500 + rng.between(0, 100);
    (0..3).for_each(|i| script.at(at + i * 20, Asks(C, 0, Get)));
    script.at(at + 200, Expect(A, 0, 100));
}

/// See [`Drill::ConfirmationLate`](super::Drill).
pub(super) fn confirmation_late(script: &mut Script, rng: &mut Rng) {
    script.with_members(3, 0);
    script.setup.hosts = 4;
    script.with_home(3, B, Some(D));
    script.at(1_500, Start(D, New));
    let at = 1_530 + rng.between(0, 40);
    script.at(at, Asks(A, 0, Set(1)));
    script.at(at + 1, Slow(A, B, 900));
    script.at(1_640, Asks(A, 0, Delete));
    if rng.chance(50) {
        script.at(1_670, Asks(C, 0, Set(2)));
    }
    script.at(1_690, Finish(D));
    script.at(2_600, HealNetwork);
    script.at(3_900, Expect(C, 0, 100));
}

/// See [`Drill::JoinerOwns`](super::Drill).
pub(super) fn joiner_owns(script: &mut Script, rng: &mut Rng) {
    script.setup.hosts = 4;
    script.with_home(3, B, Some(D));
    script.at(1_300, Asks(A, 0, Set(1)));
    script.setup.unheard = 0;
    script.at(1_500, Start(D, New));
    let slow = 1_520 + rng.between(0, 80);
    script.at(slow, Slow(C, D, 900));
    let at = slow + rng.between(10, 60);
    script.at(at, Crash(A));
    script.at(at + rng.between(20, 60), Slow(D, C, 900));
    script.at(at + rng.between(60, 250), Finish(B));
    (0..40).for_each(|i| script.at(at + 60 + i * 15, Asks(C, 0, Get)));
    script.at(3_000, HealNetwork);
}

/// See [`Drill::HomeKnowsOwnerOnly`](super::Drill).
pub(super) fn home_knows_owner_only(script: &mut Script, _: &mut Rng) {
    script.with_home(3, B, Some(B));
    script.at(1_500, Asks(A, 0, Set(1)));
    script.at(1_600, Slow(A, C, 700));
    script.at(1_600, Finish(B));
    (0..60).for_each(|i| script.at(1_620 + i * 15, Scan(C, 2)));
    script.at(3_000, HealNetwork);
}

/// See [`Drill::ReceiverDies`](super::Drill).
pub(super) fn receiver_dies(script: &mut Script, rng: &mut Rng) {
    script.with_home(3, B, None);
    script.at(1_500, Asks(A, 0, Set(1)));
    script.at(1_590, Slow(A, B, 800));
    script.at(1_600, Asks(C, 0, Set(2)));
    script.at(1_605, Asks(C, 0, Set(3)));
    script.at(1_610 + rng.between(0, 200), Crash(C));
    script.at(2_600, HealNetwork);
    script.at(3_600, Expect(A, 0, 200));
}
