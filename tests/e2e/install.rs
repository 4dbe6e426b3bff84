//! The chart installs the operator, and a shop of a few lines becomes Ready and protected.

use anyhow::ensure;
use holdfast_tests::stage::SYSTEM;

use crate::lab::Lab;

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    lab.stage.install_holdfast(&lab.images).await?;
    lab.stage
        .kubectl(&["wait", "--for=condition=Established", "crd/sessionclusters.holdfast.dev", "crd/sessionviews.holdfast.dev"])
        .await?;
    lab.stage.kubectl(&["wait", "-n", SYSTEM, "--for=condition=Available", "deployment/holdfast-operator", "--timeout=60s"]).await?;
    lab.whole_shop().await?;

    // Once more, as an upgrade that changes nothing: the operator's pod stays.
    let operator = ["get", "pods", "-n", SYSTEM, "-o", "jsonpath={.items[*].metadata.uid}"];
    let before = lab.stage.kubectl(&operator).await?;
    lab.stage.install_holdfast(&lab.images).await?;
    let after = lab.stage.kubectl(&operator).await?;
    ensure!(before == after, "installing the same again replaced the operator's pod: {before}, then {after}");
    Ok(())
}
