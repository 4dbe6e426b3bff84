//! How long it takes until the sessions of a member that failed are answered again.

use super::script::{A, B, C, Script};
use crate::action::Action::{Ask as Asks, Blind, Crash, Expect, HealNetwork, Partition};
use crate::action::Ask::Set;
use crate::rng::Rng;
use crate::setup::FAILURE_TIMEOUT;

/// Within so many milliseconds after it is noticed that their owner is gone, orphans are answered, if nothing else is wrong.
const TAKEOVER: u64 = 150;

/// Its members look for each other for so long: the next tick.
const NOTICED: u64 = 20;

fn owned_by_one(script: &mut Script, rng: &mut Rng) {
    let (hosts, copies) = rng.pick(&[(3, 1), (4, 1), (5, 2)]);
    script.with_members(hosts, copies);
    script.setup.unheard = 0;
    script.setup.keys = 6;
    (0..6).for_each(|key| script.at(1_300, Asks(A, key, Set(1))));
}

/// See [`Drill::Crash`](super::Drill).
pub(super) fn crash(script: &mut Script, rng: &mut Rng) {
    owned_by_one(script, rng);
    let at = 1_600 + rng.between(0, 100);
    script.at(at, Crash(A));
    (0..6).for_each(|key| script.at(at + 1, Expect(rng.pick(&[B, C]), key, NOTICED + TAKEOVER)));
}

/// See [`Drill::SilentCut`](super::Drill).
pub(super) fn silent_cut(script: &mut Script, rng: &mut Rng) {
    owned_by_one(script, rng);
    let at = 1_600 + rng.between(0, 100);
    script.at(at, Partition(1 << A));
    script.at(at, Blind(A));
    (0..6).for_each(|key| script.at(at + 1, Expect(rng.pick(&[B, C]), key, FAILURE_TIMEOUT + NOTICED + TAKEOVER)));
    script.at(at + 900, HealNetwork);
}
