//! The chart is clean by helm's own lint, renders what it should, and refuses values that there are not: `charts/check`, with the helm of the lab.

use anyhow::{Context, ensure};
use holdfast_tests::cluster::Program;
use holdfast_tests::stage::source;
use tokio::process::Command;

use crate::lab::Lab;

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    let helm = lab.stage.cluster.command(Program::Helm, []).as_std().get_program().to_owned();
    let check = source("charts/check");
    let output = Command::new(&check).arg(helm).kill_on_drop(true).output().await.with_context(|| format!("failed to run {check}"))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
