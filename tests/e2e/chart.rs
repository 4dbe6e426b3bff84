//! The chart is clean by helm's own lint, refuses values that there are not, and keeps the definitions unless told otherwise.

use anyhow::ensure;
use holdfast_tests::stage::source;

use crate::lab::Lab;

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    let chart = source("charts/holdfast");
    lab.stage.cluster.helm(["lint", "--strict", &chart]).await?;

    // A value that the schema does not know is refused, and named.
    let Err(refusal) = lab.stage.cluster.helm(["template", "holdfast", &chart, "--set", "imagse.tag=dev"]).await else {
        anyhow::bail!("helm took the value `imagse.tag`, which there is not");
    };
    let refusal = format!("{refusal:#}");
    ensure!(refusal.contains("imagse"), "the refusal does not name the value: {refusal}");

    let made = lab.stage.cluster.helm(["template", "holdfast", &chart, "--set", "crds.enabled=false"]).await?;
    ensure!(!made.contains("kind: CustomResourceDefinition"), "crds.enabled=false leaves the definitions in");
    let made = lab.stage.cluster.helm(["template", "holdfast", &chart]).await?;
    ensure!(made.contains("kind: CustomResourceDefinition"), "the definitions are not in the chart's templates");
    ensure!(made.contains("helm.sh/resource-policy: keep"), "the definitions, and with them every SessionCluster, go with the chart");
    Ok(())
}
