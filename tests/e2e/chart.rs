//! The chart is clean by helm's own lint, refuses values that there are not, and keeps the definitions unless told otherwise.

use anyhow::ensure;
use holdfast_tests::stage::source;

use crate::lab::Lab;

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    let chart = source("charts/holdfast");
    lab.stage.cluster.helm(["lint", "--strict", &chart]).await?;

    let template = |set: &'static str| {
        // helm would take the version that it was built for, unless told.
        let arguments = ["template", "holdfast", &chart, "--kube-version", "1.34", "--set", set].map(str::to_owned);
        let cluster = lab.stage.cluster.clone();
        async move { cluster.helm(arguments).await }
    };

    // A value that the schema does not know is refused, and named.
    let Err(refusal) = template("imagse.tag=dev").await else {
        anyhow::bail!("helm took the value `imagse.tag`, which there is not");
    };
    let refusal = format!("{refusal:#}");
    ensure!(refusal.contains("imagse"), "the refusal does not name the value: {refusal}");

    let made = template("crds.enabled=false").await?;
    ensure!(!made.contains("kind: CustomResourceDefinition"), "crds.enabled=false leaves the definitions in");
    let made = template("images.tag=dev").await?;
    ensure!(made.contains("kind: CustomResourceDefinition"), "the definitions are not in the chart's templates");
    ensure!(made.contains("helm.sh/resource-policy: keep"), "the definitions, and with them every SessionCluster, go with the chart");
    Ok(())
}
