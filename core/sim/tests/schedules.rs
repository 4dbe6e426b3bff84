//! The schedules that every change has to survive. `make sim` runs as many more as there is time for.

use holdfast_sim::{Drill, Kind, Stats, replay, run, run_kind, run_skipped_view};

#[test]
fn some_schedules_of_each_kind_lose_nothing_and_come_to_rest() {
    let mut total = Stats::default();
    for kind in Kind::ALL {
        let most = if matches!(kind, Kind::Crowd | Kind::Flood) { 2 } else { 6 };
        for seed in 1..=most {
            total += run_kind(seed, kind, None, false).unwrap_or_else(|violation| panic!("{kind:?}, {violation}"));
        }
    }
    assert!(total.undecided * 100 < total.operations, "too much was not judged: {total:?}");
    let happened = [total.takeovers, total.false_evictions, total.leaves, total.unknown, total.scans, total.resets, total.together];
    assert!(happened.iter().all(|count| *count > 0), "too little happened: {total:?}");
}

#[test]
fn a_seed_always_gives_the_same_run() {
    let first = format!("{:?}", run(7, false));
    assert_eq!(first, format!("{:?}", run(7, false)));
}

#[test]
fn a_home_that_skipped_a_view_does_not_take_a_session_for_absent() {
    for seed in 1..=60 {
        run_skipped_view(seed, None).unwrap_or_else(|violation| panic!("{violation}"));
    }
}

#[test]
fn drills_pass() {
    for drill in Drill::ALL {
        for seed in 1..=4 {
            replay(&drill.schedule(seed), false).unwrap_or_else(|violation| panic!("{drill:?}, {violation}"));
        }
    }
}
