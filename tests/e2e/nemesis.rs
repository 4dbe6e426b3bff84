//! Faults by a seeded schedule for a short while, under clients whose whole history is judged: `make nemesis` in small.

use std::path::PathBuf;
use std::time::Duration;

use holdfast_tests::nemesis::{self, Options};
use holdfast_tests::stage::source;

use crate::lab::Lab;

/// Some six faults, with what comes after them.
const TIME: Duration = Duration::from_secs(110);

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    if !lab.can_harm() {
        return Ok(());
    }
    lab.whole_shop().await?;
    let options = Options { time: TIME, seed: rand::random_range(0..1_000_000) };
    nemesis::run(&lab.stage, options, &PathBuf::from(source("target/nemesis"))).await
}
