//! Every fault once: that it does what it says, that its end undoes it, and that another cluster does not notice.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use holdfast_support::progress::Progress;
use kube::ResourceExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::watch::{Watched, eventually};

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
    each!(kill_container, kill_pod, pause_container, kill_node, freeze_node, cut_off);
    each!(slow_link, partition, partition_one_way, freeze_apiserver, freeze_dns);
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

/// The container stands still, the one beside it does not, and nobody starts it anew.
async fn pause_container(one: &Watched) -> anyhow::Result<()> {
    let pod = one.pod_on("node1").await?.name_any();
    let before = one.restarts(&pod).await?;
    let answers = async |port| {
        let asked = one.cluster.inside("default", &pod, "two")?.connect(([127, 0, 0, 1], port).into()).await;
        let mut stream = asked.context("the kernel takes connections for a process that stands still")?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").await?;
        let answer = tokio::time::timeout(Duration::from_secs(2), stream.read_u8()).await;
        anyhow::Ok(answer.is_ok_and(|read| read.is_ok()))
    };
    one.cluster.pause_container("default", &pod, "one").await?;
    ensure!(!answers(8080).await?, "the paused container answered");
    ensure!(answers(8082).await?, "the container beside the paused one does not answer");
    one.cluster.resume_container("default", &pod, "one").await?;
    ensure!(answers(8080).await?, "the container does not answer after its pause");
    ensure!(one.restarts(&pod).await? == before, "a container was started anew");
    Ok(())
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

/// 256 kbit/s are 32 KB/s: 64 KB take two seconds, and no time at all on the wire as it is.
async fn slow_link(one: &Watched) -> anyhow::Result<()> {
    let (from, to) = (one.pod_on("node1").await?, one.pod_on("node2").await?);
    let address = to.status.and_then(|status| status.pod_ip).context("the pod has no address")?;
    let inside = one.cluster.inside("default", &from.metadata.name.context("a pod has a name")?, "one")?;
    let send = async || {
        let began = std::time::Instant::now();
        let mut stream = inside.connect(std::net::SocketAddr::new(address.parse()?, 8080)).await?;
        // Requests of 1 KB one behind the other, the last of which ends the connection: a body would not be read, and the connection reset.
        let request =
            |end: &str| format!("GET /health HTTP/1.1\r\nHost: {end}\r\nConnection: {end}\r\nX-Long: {}\r\n\r\n", "a".repeat(960));
        stream.write_all([request("keep-alive").repeat(63), request("close")].concat().as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        anyhow::Ok(began.elapsed())
    };
    let before = send().await?;
    one.cluster.slow_link("node2", 256).await?;
    let during = send().await;
    one.cluster.heal("node2").await?;
    let (during, after) = (during?, send().await?);
    let second = Duration::from_secs(1);
    ensure!(before < second && during > second && after < second, "64 KB took {before:?}, then {during:?}, then {after:?}");
    Ok(())
}

/// Questions are not answered, on any node; afterwards they are.
async fn freeze_dns(one: &Watched) -> anyhow::Result<()> {
    let mut asking = Vec::new();
    for node in one.cluster.nodes() {
        asking.push(one.cluster.inside("default", &one.pod_on(node).await?.name_any(), "one")?);
    }
    let dns = one.cluster.dns()?;
    let answers = async || {
        let mut answered = 0;
        for inside in &asking {
            answered += usize::from(inside.resolves(dns, "web.default.svc.cluster.local").await?);
        }
        anyhow::Ok(answered)
    };
    ensure!(answers().await? == asking.len(), "the DNS does not answer everywhere");
    one.cluster.freeze_dns().await?;
    ensure!(answers().await? == 0, "the frozen DNS answered");
    one.cluster.thaw_dns().await?;
    eventually("answers of the DNS on all nodes", || async { Ok(answers().await? == asking.len()) }).await
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
