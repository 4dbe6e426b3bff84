//! Faults that are aimed at what is under way when the members have just changed.

use holdfast_core::MemberState;

use crate::action::Action;
use crate::chaos::Chaos;
use crate::world::World;

/// A view was shown: one of some plans for the next moments.
pub(crate) fn plan(chaos: &mut Chaos, world: &World) {
    let hosts = world.hosts.len();
    let now = world.now();
    let rng = &mut chaos.rng;
    let awake: Vec<usize> = (0..hosts).filter(|host| world.is_awake(*host)).collect();
    if awake.len() < 2 {
        return;
    }
    let victim = rng.pick(&awake);
    let other = rng.pick(&awake.iter().copied().filter(|host| *host != victim).collect::<Vec<_>>());
    let others = (0..hosts).filter(|host| *host != victim);
    let soon = now + rng.between(0, 40);
    let burst = rng.between(100, 700);
    let mut then = |at: u64, action: Action| chaos.pending.push((at, action));
    match rng.below(6) {
        // What the victim has just done is known to itself only, or to some; then it is gone.
        0 | 1 => {
            let is_cut = rng.chance(50);
            for host in others.filter(|host| !rng.chance(40) || *host == other) {
                then(soon, if is_cut { Action::Cut(victim, host) } else { Action::Slow(victim, host, 500) });
            }
            let end = now + rng.between(20, 150);
            then(end, if rng.chance(50) { Action::Crash(victim) } else { Action::CrashNode(victim) });
            for host in (0..hosts).filter(|host| *host != victim) {
                then(end, Action::Reset(victim, host, [0, 0]));
            }
            then(end + rng.between(300, 900), Action::HealNetwork);
            chaos.aim(victim, now + burst);
        }
        // One hears nothing of the other, while much changes.
        2 => {
            then(soon, Action::Cut(victim, other));
            then(soon + rng.between(300, 1_200), Action::HealNetwork);
            chaos.aim(victim, now + burst);
        }
        // The victim is evicted though it lives, and hears of it late.
        3 => {
            let is_deaf = rng.chance(50);
            for host in others.clone() {
                then(soon, Action::Cut(victim, host));
                if is_deaf {
                    then(soon, Action::Cut(host, victim));
                }
            }
            let end = soon + rng.between(450, 900);
            then(end, Action::HealNetwork);
            others.for_each(|host| then(end, Action::Slow(host, victim, 700)));
            then(end + 1_000, Action::HealNetwork);
            chaos.aim(victim, end + burst);
        }
        // Messages of one overtake those of the other while sessions move.
        4 => {
            then(soon, Action::Slow(victim, other, rng.between(200, 900)));
            if rng.chance(40) {
                then(soon + rng.between(0, 100), Action::Finish(victim));
            }
            then(soon + rng.between(500, 1_500), Action::HealNetwork);
            chaos.aim(other, now + burst);
        }
        // Whoever is about to come or go does not.
        _ => {
            let moving = world.arbiter.view().in_states(&[MemberState::Join, MemberState::Leave]).iter().next();
            let moving = moving.map_or(other, |id| usize::from(id.get()));
            then(soon, Action::Slow(victim, moving, 400));
            then(soon + rng.between(5, 120), Action::Crash(moving));
            chaos.aim(victim, now + burst);
        }
    }
}
