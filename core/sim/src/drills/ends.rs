//! Sessions that end: dropped copies, deletes and lives that are over (R8, R14, R18).

use super::script::{A, B, C, D, Script};
use crate::action::Action::{Ask as Asks, Blind, Copies, Crash, Cut, HealNetwork, Reset, Scan, Slow, Start};
use crate::action::Ask::{Delete, Get, Set, SetFor};
use crate::action::Pod::New;
use crate::rng::Rng;

/// See [`Drill::ExpiryAndOwnerDies`](super::Drill).
pub(super) fn expiry_and_owner_dies(script: &mut Script, rng: &mut Rng) {
    script.with_home(3, A, None);
    let keepers = [B, C];
    keepers.iter().for_each(|keeper| script.at(1_400, Slow(A, *keeper, 900)));
    script.at(1_500, Asks(A, 0, SetFor(1, 1_000)));
    (0..10).for_each(|i| script.at(2_490 + i * 8, Asks(A, 0, Get)));
    let at = 2_560 + rng.between(0, 40);
    keepers.iter().for_each(|keeper| script.at(at, Cut(A, *keeper)));
    script.at(at + 1, Crash(A));
    keepers.iter().for_each(|keeper| script.at(at + 2, Reset(A, *keeper, [0, 0])));
    (0..20).for_each(|i| script.at(at + 20 + i * 30, Asks(B, 0, Get)));
    script.at(3_400, HealNetwork);
}

/// See [`Drill::ForgettingCrossesView`](super::Drill).
pub(super) fn forgetting_crosses_view(script: &mut Script, rng: &mut Rng) {
    script.setup.hosts = 4;
    script.with_home(3, A, Some(D));
    script.at(1_300, Asks(A, 0, Set(1)));
    script.at(1_450, Slow(A, B, 250));
    script.at(1_450, Slow(A, C, 250));
    script.at(1_500, Start(D, New));
    script.at(1_400 + rng.between(0, 300), Asks(A, 0, Delete));
    script.at(3_000, HealNetwork);
}

/// See [`Drill::DropUnheard`](super::Drill).
pub(super) fn drop_unheard(script: &mut Script, rng: &mut Rng) {
    script.setup.hosts = 4;
    script.with_home(3, B, Some(D));
    script.at(1_300, Asks(A, 0, Set(1)));
    script.at(1_500, Start(D, New));
    let at = 1_500 + rng.between(30, 260);
    script.at(at, Cut(A, B));
    script.at(at, Blind(A));
    script.at(at + rng.between(10, 150), Asks(A, 0, Delete));
    script.at(2_800, HealNetwork);
}

/// See [`Drill::DropLost`](super::Drill).
pub(super) fn drop_lost(script: &mut Script, rng: &mut Rng) {
    script.with_members(3, 2);
    script.with_ranking(&[B, A, C]);
    script.at(1_300, Asks(A, 0, Set(1)));
    script.at(1_500, Copies(1));
    let at = 1_500 + rng.between(5, 60);
    script.at(at, Cut(A, C));
    script.at(at + rng.between(30, 100), Asks(A, 0, Delete));
    let end = at + rng.between(200, 350);
    script.at(end, Crash(A));
    script.at(end + 1, Reset(A, C, [0, 0]));
    (0..20).for_each(|i| script.at(end + 50 + i * 20, Asks(B, 0, Get)));
    script.at(3_000, HealNetwork);
}

/// See [`Drill::DeleteHalfHeard`](super::Drill).
pub(super) fn delete_half_heard(script: &mut Script, rng: &mut Rng) {
    script.with_members(4, 2);
    script.with_ranking(&[B, C, A]);
    script.at(1_300, Asks(A, 0, Set(1)));
    script.at(1_500, Cut(A, C));
    let at = 1_500 + rng.between(0, 20);
    script.at(at, Asks(A, 0, Delete));
    (0..6).for_each(|i| script.at(at + 10 + i * 5, Scan(B, 10)));
    let end = at + rng.between(50, 90);
    script.at(end, Crash(A));
    script.at(end, Crash(B));
    script.at(end + 1, Reset(A, C, [0, 0]));
    script.at(3_400, HealNetwork);
}
