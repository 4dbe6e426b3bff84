//! Every fault once: that it does what it says, that its end undoes it, and that another cluster does not notice.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use kube::ResourceExt as _;

use super::watch::{Watched, eventually};
use crate::cluster::progress::Progress;

/// All of them on `one`; after each, both clusters are well.
pub(super) async fn all(one: &Watched, other: &Watched) -> anyhow::Result<()> {
    macro_rules! each {
        ($($fault:ident),+) => {$(
            let step = Progress::default().step(format!("selftest: {}", stringify!($fault).replace('_', " ")));
            $fault(one).await.context(stringify!($fault))?;
            ensure!(other.answers().await, "the other cluster noticed {}", stringify!($fault));
            one.is_well().await.context(stringify!($fault))?;
            step.done();
        )+};
    }
    each!(kill_container, kill_pod, kill_node, freeze_node, cut_off, partition, partition_one_way, freeze_apiserver);
    other.is_well().await?;
    let restarts = other.restarts(&other.pod_on("node1").await?.name_any()).await?;
    ensure!(restarts.iter().all(|(_, count)| *count == 0), "the other cluster noticed: {restarts:?}");
    Ok(())
}

async fn kill_container(one: &Watched) -> anyhow::Result<()> {
    let pod = one.pod_on("node1").await?.name_any();
    one.cluster.kill_container("default", &pod, "one").await?;
    let wanted = vec![("one".to_owned(), 1), ("two".to_owned(), 0)];
    eventually("one container started again", || async { Ok(one.restarts(&pod).await? == wanted) }).await
}

async fn kill_pod(one: &Watched) -> anyhow::Result<()> {
    let pod = one.pod_on("node2").await?.name_any();
    one.cluster.kill_pod("default", &pod).await?;
    let wanted = vec![("one".to_owned(), 1), ("two".to_owned(), 1)];
    eventually("both containers started again", || async { Ok(one.restarts(&pod).await? == wanted) }).await
}

async fn kill_node(one: &Watched) -> anyhow::Result<()> {
    one.cluster.kill_node("node2").await?;
    one.loses("node2").await?;
    ensure!(one.answers().await, "no answer with one node dead");
    Ok(one.cluster.heal("node2").await?)
}

async fn freeze_node(one: &Watched) -> anyhow::Result<()> {
    one.cluster.freeze_node("node3").await?;
    one.loses("node3").await?;
    eventually("an answer with one node frozen", || async { Ok(one.answers().await) }).await?;
    Ok(one.cluster.heal("node3").await?)
}

async fn cut_off(one: &Watched) -> anyhow::Result<()> {
    one.cluster.cut_off("node1").await?;
    one.loses("node1").await?;
    ensure!(one.answers().await, "no answer with one node cut off");
    Ok(one.cluster.heal("node1").await?)
}

async fn partition(one: &Watched) -> anyhow::Result<()> {
    one.cluster.partition(&["node1", "node2"], &["control-plane"]).await?;
    let left = ["node3".to_owned()];
    eventually("two nodes not ready", || async { Ok(one.ready_nodes().await? == left) }).await?;
    one.cluster.heal("node2").await?;
    one.loses("node1").await?;
    Ok(one.cluster.heal_all().await?)
}

async fn partition_one_way(one: &Watched) -> anyhow::Result<()> {
    one.cluster.partition_one_way(&["node3"], &["control-plane"]).await?;
    one.loses("node3").await?;
    Ok(one.cluster.heal_all().await?)
}

async fn freeze_apiserver(one: &Watched) -> anyhow::Result<()> {
    one.cluster.freeze_apiserver().await?;
    let answer = tokio::time::timeout(Duration::from_secs(3), one.ready_nodes()).await;
    ensure!(answer.is_err(), "the frozen API server answered");
    ensure!(one.answers().await, "no answer with the API server frozen");
    let status = crate::cluster::status("selftest-a").await?;
    ensure!(status.machines[0].ready.is_none() && status.machines[0].stopped == ["kube-apiserver"], "{status}");
    tokio::time::sleep(Duration::from_secs(15)).await;
    one.cluster.thaw_apiserver().await?;
    // Nothing was wrong with the nodes, so nobody may have been told that there was.
    for _ in 0..10 {
        ensure!(one.answers().await, "no answer after the API server was frozen for 20 s");
        tokio::time::sleep(Duration::from_millis(300)).await;
        ensure!(one.ready_nodes().await? == one.cluster.nodes(), "a node is not ready after the API server was frozen for 20 s");
    }
    Ok(())
}
