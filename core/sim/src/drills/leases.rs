//! Members that are cut off, and what they may answer (leases).

use super::script::{A, B, C, Script};
use crate::action::Action::{Ask as Asks, Blind, Cut, HealNetwork, Partition, Slow};
use crate::action::Ask::{Get, Set};
use crate::rng::Rng;

/// See [`Drill::OwnerCutOff`](super::Drill).
pub(super) fn owner_cut_off(script: &mut Script, _: &mut Rng) {
    script.with_home(3, B, None);
    script.at(1_500, Asks(A, 0, Set(1)));
    script.at(1_600, Partition(1));
    script.at(1_600, Blind(A));
    (0..24).for_each(|i| script.at(2_000 + i * 50, Asks(B, 0, Set(2 + i as u32))));
    (0..60).for_each(|i| script.at(2_005 + i * 25, Asks(A, 0, Get)));
    script.at(3_500, HealNetwork);
}

/// See [`Drill::OwnerHalfHeard`](super::Drill).
pub(super) fn owner_half_heard(script: &mut Script, rng: &mut Rng) {
    // Of two that hear each other no more, the one with the lower place goes first.
    let (a, c) = (C, A);
    script.with_home(3, B, None);
    script.at(1_500, Asks(a, 0, Set(1)));
    script.at(1_600, Cut(a, c));
    script.at(1_600, Blind(a));
    script.at(1_900, Cut(c, a));
    script.at(1_900, Slow(B, a, rng.between(20, 150)));
    (0..40).for_each(|i| script.at(1_990 + i * 10, Asks(B, 0, Set(2 + i as u32))));
    (0..150).for_each(|i| script.at(1_990 + i * 3, Asks(a, 0, Get)));
    script.at(3_000, HealNetwork);
}

/// See [`Drill::TwoCutOff`](super::Drill).
pub(super) fn two_cut_off(script: &mut Script, _: &mut Rng) {
    script.with_members(5, 2);
    script.with_home(5, C, None);
    script.at(1_500, Asks(A, 0, Set(1)));
    script.at(1_600, Partition(0b11));
    script.at(1_600, Blind(A));
    script.at(1_600, Blind(B));
    (0..24).for_each(|i| script.at(2_000 + i * 50, Asks(C, 0, Set(2 + i as u32))));
    (0..60).for_each(|i| script.at(2_005 + i * 25, Asks(A, 0, Get)));
    script.at(3_500, HealNetwork);
}
