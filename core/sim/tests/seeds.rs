//! Schedules that once showed something wrong, as short as the simulator could make them, each with the reason. `sim` prints them in this form.

use holdfast_core::engine::{Acknowledge, Compression, OnUnderReplicated};
use holdfast_sim::{Action::*, Ask::*, Pod::*, Schedule, Setup, replay};

fn stays_right(schedule: &Schedule) {
    replay(schedule, false).unwrap_or_else(|violation| panic!("{violation}"));
}

/// The only member that owned anything was told to drain, and never settled its view, because it tried to leave instead, which it could not.
#[test]
fn the_last_owner_settles_although_it_is_to_drain() {
    let actions = vec![(0, Start(0, New)), (0, Start(1, New)), (1_500, Drain(1)), (2_500, CrashNode(1)), (2_600, Drain(0))];
    stays_right(&Schedule { setup: Setup::plain(1, 2, 1), length: 4_000, actions });
}

/// A scan took the part that a member had given in the view before for its part in the new one, in which it was home to more: sessions were not
/// listed though they had been there all the time.
#[test]
fn a_scan_does_not_mix_views() {
    let actions = vec![
        (0, Start(0, New)),
        (0, Start(1, New)),
        (162, Partition(53)),
        (571, Start(2, New)),
        (703, HealNetwork),
        (733, Ask(1, 1, Set(11))),
        (784, Finish(1)),
        (869, Cut(2, 1)),
        (889, Start(5, New)),
        (1189, Finish(5)),
        (2272, Start(3, New)),
        (2569, Partition(10)),
        (2580, Finish(2)),
        (3079, Pause(3, 459)),
        (3292, ArbiterDown),
        (3811, ArbiterUp),
        (4119, Ask(1, 1, Set(75))),
        (4259, HealNetwork),
        (4327, Start(4, New)),
        (4338, Slow(4, 5, 210)),
        (4400, Partition(29)),
        (4681, HealNetwork),
        (4947, Start(5, New)),
        (4990, Finish(0)),
        (5037, Ask(3, 2, Field(2, 79))),
        (5374, Finish(3)),
        (5397, Finish(5)),
        (5655, Scan(4, 2)),
    ];
    stays_right(&Schedule { setup: Setup { keys: 3, ..Setup::plain(68, 6, 1) }, length: 5655, actions });
}

/// A home whose clock was ahead of the owner's did not list a session whose life was almost over, and which was then written and lived on.
#[test]
fn a_home_leaves_the_end_of_a_life_to_the_owner() {
    let actions = vec![
        (0, Start(0, New)),
        (0, Start(2, New)),
        (1985, Ask(0, 7, SetIfAbsent(20))),
        (3023, Ask(0, 7, Touch(3038))),
        (6011, Scan(2, 2)),
        (6078, Ask(0, 7, SetIfPresent(62))),
    ];
    stays_right(&Schedule { setup: Setup { keys: 8, ..Setup::plain(3034, 6, 2) }, length: 6078, actions });
}

/// No hole: a write was acknowledged in the very millisecond in which the only member left for good, and the simulator did not excuse its loss.
#[test]
fn the_last_member_takes_with_it_what_was_written_in_its_last_millisecond() {
    let actions = vec![(3793, Start(0, New)), (4459, Ask(0, 2, Field(1, 47))), (4459, Finish(0)), (4947, Start(2, New))];
    stays_right(&Schedule { setup: Setup { keys: 3, ..Setup::plain(102796, 3, 3) }, length: 4947, actions });
}

/// No hole: one member was evicted and one was to leave, so there was nobody who could keep what was written then.
#[test]
fn what_the_last_full_member_writes_alone_is_lost_with_it() {
    let actions = vec![
        (0, Start(0, New)),
        (0, Start(1, New)),
        (0, Start(2, New)),
        (3531, Drain(0)),
        (5395, Partition(3)),
        (5945, ArbiterDown),
        (7400, Ask(1, 0, Set(41))),
        (7842, Crash(1)),
    ];
    stays_right(&Schedule { setup: Setup::plain(200946, 4, 1), length: 7842, actions });
}

/// A scan did not list a session whose delete was not acknowledged, and which lived on when its owner died.
#[test]
fn a_scan_does_not_see_a_delete_before_it_is_acknowledged() {
    let actions = vec![
        (0, Start(0, New)),
        (0, Start(1, New)),
        (0, Start(2, New)),
        (71, Ask(2, 2, Field(2, 7))),
        (97, Cut(2, 0)),
        (97, Cut(2, 1)),
        (111, Ask(2, 2, Delete)),
        (126, Scan(2, 1)),
        (146, CrashNode(2)),
    ];
    stays_right(&Schedule { setup: Setup { keys: 3, ..Setup::plain(210602, 4, 1) }, length: 646, actions });
}

/// No hole: after many failures the simulator forgot the excuse for the last one.
#[test]
fn a_loss_after_many_others_is_excused_as_well() {
    let actions = vec![
        (56, Start(1, New)),
        (217, Start(0, New)),
        (254, Finish(1)),
        (335, Start(1, New)),
        (665, Crash(1)),
        (1319, Finish(0)),
        (1424, Start(0, New)),
        (1466, Crash(0)),
        (1622, Start(0, Same)),
        (1944, Start(1, Same)),
        (2062, Crash(1)),
        (4238, Crash(0)),
        (5196, Start(0, Same)),
        (5876, Finish(0)),
        (6029, Start(0, New)),
        (6451, Finish(0)),
        (7219, Start(1, New)),
        (7273, Ask(1, 1, Exchange(80))),
        (8065, Crash(1)),
    ];
    stays_right(&Schedule { setup: Setup { keys: 2, ..Setup::plain(250256, 2, 1) }, length: 8065, actions });
}

/// No hole: a new owner lets a life last a little longer, as long as holders grant it without being told.
#[test]
fn a_new_owner_adds_what_was_granted() {
    let actions =
        vec![(0, Start(1, New)), (0, Start(2, New)), (4252, Ask(1, 0, SetFor(27, 1388))), (4283, Crash(1)), (4323, Ask(2, 0, Ttl))];
    stays_right(&Schedule { setup: Setup::plain(413618, 5, 1), length: 4323, actions });
}

/// Fixed: with `Accept` the larger side of a partition went on without one member, and that one, which had the arbiter and the budget, threw the others out one
/// after the other without saying that what they had answered may be lost.
#[test]
fn a_smaller_side_that_throws_out_the_larger_one_says_so() {
    let actions = vec![
        (0, Start(1, New)),
        (0, Start(3, New)),
        (734, Start(4, New)),
        (1041, Partition(18)),
        (1131, Blind(1)),
        (1131, Blind(4)),
        (3479, Ask(1, 2, Field(2, 7))),
    ];
    let mut setup = Setup { keys: 3, connections: 1, stripe: 1, step: 5, unheard: 15, ..Setup::plain(700492, 5, 2) };
    (setup.acknowledge, setup.on_under_replicated, setup.compression) =
        (Acknowledge::Received, OnUnderReplicated::Accept, Compression::Lz4);
    stays_right(&Schedule { setup, length: 3479, actions });
}
