//! The schedules that every change has to survive. `make sim` runs as many more as there is time for.

use holdfast_sim::{Stats, run, run_skipped_view};

#[test]
fn a_few_hundred_schedules_lose_nothing_and_come_to_rest() {
    let mut total = Stats::default();
    for seed in 1..=300 {
        total += run(seed, false).unwrap_or_else(|violation| panic!("{violation}"));
    }
    assert!(total.undecided * 100 < total.operations, "too much was not judged: {total:?}");
    assert!(total.takeovers > 0 && total.false_evictions > 0 && total.leaves > 0 && total.unknown > 0, "too little happened: {total:?}");
    // An excuse lasts only until all that is left is protected again, so even these runs say something.
    assert!(total.excused < 200, "too many losses were excusable for the rest to say much: {total:?}");
}

#[test]
fn a_seed_always_gives_the_same_run() {
    let first = format!("{:?}", run(7, false));
    assert_eq!(first, format!("{:?}", run(7, false)));
}

#[test]
fn a_home_that_skipped_a_view_does_not_take_a_session_for_absent() {
    for seed in 1..=60 {
        run_skipped_view(seed).unwrap_or_else(|violation| panic!("{violation}"));
    }
}
