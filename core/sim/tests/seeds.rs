//! Schedules that once showed something wrong, as short as the simulator could make them, each with the reason. `sim` prints them in this form.

use holdfast_sim::{Action::*, Pod::*, Schedule, Setup, replay};

fn stays_right(schedule: &Schedule) {
    replay(schedule, false).unwrap_or_else(|violation| panic!("{violation}"));
}

/// The only member that owned anything was told to drain, and never settled its view, because it tried to leave instead, which it could not.
#[test]
fn the_last_owner_settles_although_it_is_to_drain() {
    let actions = vec![(0, Start(0, New)), (0, Start(1, New)), (1_500, Drain(1)), (2_500, CrashNode(1)), (2_600, Drain(0))];
    stays_right(&Schedule { setup: Setup::plain(1, 2, 1), length: 4_000, actions });
}
