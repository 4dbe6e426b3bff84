//! The number of copies changes while people shop: from 1 to 2, to none, and back to 1. No pod restarts, nobody notices, and with two copies two
//! members may die at once.

use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_api::names;
use holdfast_tests::shoppers::Shoppers;
use holdfast_tests::stage::{Stage, Wanted, eventually, is_true};
use serde_json::json;

use crate::lab::Lab;

/// How long the members may take to bring every session to another number of copies.
const CHANGED: Duration = Duration::from_secs(60);

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    lab.whole_shop().await?;
    let before = lives(&lab.stage).await?;
    let changes = async |_: &Shoppers| {
        for copies in [2, 0, 1] {
            change(&lab.stage, copies).await.with_context(|| format!("while changing to {copies} copies"))?;
        }
        Ok(())
    };
    lab.shop_during(changes).await?.nobody_noticed()?.others_stayed()?;
    ensure!(lives(&lab.stage).await? == before, "a change of copies restarted something: {before:?} before");

    if lab.stage.is_lab() {
        two_at_once(&lab).await?;
    }
    Ok(())
}

/// Two of three members die at once; everything is on the third.
async fn two_at_once(lab: &Lab) -> anyhow::Result<()> {
    change(&lab.stage, 2).await?;
    let act = async |shoppers: &Shoppers| {
        shoppers.disturb(["shop-1", "shop-2"]);
        kill_both(lab, ["shop-1", "shop-2"]).await
    };
    let seen = lab.shop_during(act).await;
    change(&lab.stage, 1).await?;
    seen?.no_failed_request()?.somebody_moved()?;
    Ok(())
}

/// Kills two members, and waits until the shop is whole again.
pub(crate) async fn kill_both(lab: &Lab, members: [&str; 2]) -> anyhow::Result<()> {
    let before = lab.stage.shop().await?;
    let (first, second) = tokio::join!(lab.stage.kill_member(members[0]), lab.stage.kill_member(members[1]));
    first?;
    second?;
    let wanted =
        Wanted { replicas: before.spec.replicas, after_epoch: before.status.and_then(|status| status.view).map(|view| view.epoch) };
    lab.stage.settle(&wanted, CHANGED).await?;
    Ok(())
}

/// Asks for so many copies, and waits until every session has them.
pub(crate) async fn change(stage: &Stage, copies: u32) -> anyhow::Result<()> {
    stage.patch_shop(json!({"replication": {"copies": copies}})).await?;
    in_force(stage, copies).await
}

/// Waits until the members keep so many copies of every session.
pub(crate) async fn in_force(stage: &Stage, copies: u32) -> anyhow::Result<()> {
    let seen = eventually(format!("every session to have {copies} copies"), CHANGED, || async {
        let shop = stage.shop().await.map_err(|error| error.to_string())?;
        let view = shop.status.as_ref().and_then(|status| status.view.clone()).unwrap_or_default();
        if view.copies != copies || view.sub == 0 {
            return Err(format!("the view is {view:?}"));
        }
        is_true(&shop, "Ready")?;
        if copies > 0 { is_true(&shop, "SessionsProtected") } else { Ok(()) }
    });
    Ok(seen.await?)
}

/// What tells one life of a member from the next: the pod and how often its containers were started.
async fn lives(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let of = |pod: &k8s_openapi::api::core::v1::Pod| {
        let status = pod.status.iter().flat_map(|status| status.init_container_statuses.iter().chain(&status.container_statuses)).flatten();
        let restarts: Vec<i32> = status.map(|container| container.restart_count).collect();
        format!("{:?} {:?} {restarts:?}", pod.metadata.name, pod.metadata.uid)
    };
    Ok(stage.pods_of(names::MEMBER).await?.iter().map(of).collect())
}
