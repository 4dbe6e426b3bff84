//! Whole pages: applications that read and write a session of 1 KiB in each view, with their sessions in Holdfast and in what they have otherwise.

mod beside_tomcat;
mod contest;
mod django;
mod express;
mod frameworks;
mod line;
mod process;
mod rust;
mod stores;
mod tomcat;
mod visitor;

use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

use crate::report::Report;

/// Applications in Django and Express.
pub(crate) async fn frameworks(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    unless_told_to_end(frameworks::run(quick, report)).await
}

/// An application in Rust beside a servlet in Tomcat.
pub(crate) async fn tomcat(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    unless_told_to_end(beside_tomcat::run(quick, report)).await
}

/// When this process is told to end, it ends with an error: so all that it has started is dropped, and ends as well.
async fn unless_told_to_end(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = work => outcome,
        _ = ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("told to end"),
    }
}
