//! A deleted shop leaves nothing behind, and neither does the chart, but for the definitions that it is told to keep.

use std::time::Duration;

use anyhow::ensure;
use holdfast_api::names;
use holdfast_tests::stage::{NAMESPACE, SHOP, SYSTEM, eventually};

use crate::lab::Lab;

/// Every kind of object that a cluster is made of, and what Kubernetes makes from them.
const KINDS: &str = "sessionclusters,sessionviews,statefulsets,deployments,replicasets,pods,services,endpointslices,configmaps,secrets,\
    serviceaccounts,roles,rolebindings,poddisruptionbudgets,persistentvolumeclaims,controllerrevisions";

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    lab.whole_shop().await?;
    let stage = &lab.stage;
    let label = format!("{}={SHOP}", names::CLUSTER_LABEL);
    let left = || async {
        stage.kubectl(&["get", KINDS, "-n", NAMESPACE, "-l", &label, "-o", "name"]).await.map_err(|error| format!("{error:#}"))
    };
    ensure!(left().await.is_ok_and(|objects| objects.lines().count() > 10), "the shop's objects do not carry its label");

    stage.kubectl(&["delete", "-n", NAMESPACE, "hfsc/shop", "--timeout=120s"]).await?;
    eventually("nothing of the shop to be left", Duration::from_secs(90), || async {
        let objects = left().await?;
        let shop = stage.session_clusters().get_opt(SHOP).await.map_err(|error| error.to_string())?;
        let view = stage.session_views().get_opt(SHOP).await.map_err(|error| error.to_string())?;
        if objects.trim().is_empty() && shop.is_none() && view.is_none() {
            Ok(())
        } else {
            Err(format!("left: {}", objects.split_whitespace().collect::<Vec<_>>().join(" ")))
        }
    })
    .await?;

    stage.cluster.helm(["uninstall", "holdfast", "-n", SYSTEM, "--wait", "--timeout", "60s"]).await?;
    let of_the_chart = "clusterroles,clusterrolebindings";
    let objects = stage.kubectl(&["get", of_the_chart, "-l", "app.kubernetes.io/name=holdfast", "-o", "name"]).await?;
    ensure!(objects.trim().is_empty(), "the chart left {objects}");
    eventually("the operator's pods to end", Duration::from_secs(60), || async {
        let inside = stage.kubectl(&["get", "all", "-n", SYSTEM, "-o", "name"]).await.map_err(|error| format!("{error:#}"))?;
        if inside.trim().is_empty() { Ok(()) } else { Err(format!("the chart left {}", inside.trim())) }
    })
    .await?;
    Ok(())
}
