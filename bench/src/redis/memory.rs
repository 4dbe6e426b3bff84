//! What a session of 1 KiB takes beyond its key and its value, in resident memory.

use std::time::Duration;

use holdfast_support::progress::Progress;
use tokio::time::sleep;

use super::servers::Server;
use crate::machine;
use crate::report::{Report, Spread, Target};

const PART: &str = "memory of a session of 1 KiB, one member";

/// The most that Holdfast may take, in bytes.
const TARGET: Target = Target::AtMost(200.0);

/// How long a server has to settle before it is looked at.
const REST: Duration = Duration::from_secs(3);

pub(crate) async fn run(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let step = Progress::default().step("Memory beside Redis");
    let sessions = if quick { 50_000 } else { 500_000 };
    report.value(PART, "sessions", "", sessions as f64);
    for (server, target) in [(Server::holdfast(1).await?, TARGET), (Server::redis(1).await?, Target::None)] {
        sleep(REST).await;
        let before = machine::memory_of(server.pid)?;
        let bytes = server.fill(sessions).await?;
        sleep(REST).await;
        let grown = machine::memory_of(server.pid)?.saturating_sub(before) as f64;
        let beyond = (grown - bytes as f64) / sessions as f64;
        report.row(PART, format!("{}: beyond its key and value", server.name), "B", Spread::new([beyond]), target);
        report.value(PART, format!("{}: resident memory, empty", server.name), "MiB", before as f64 / f64::from(1 << 20));
        server.check(sessions).await?;
    }
    step.done();
    Ok(())
}
