//! Links are encrypted by default: members tell it, a stranger without TLS is sent away, and a new certificate comes into use while people shop, without
//! a link or a request lost.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_api::{LinksReport, names};
use holdfast_tests::stage::{NAMESPACE, SHOP, eventually, is_true};
use kube::ResourceExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::lab::Lab;

/// The kubelet may take two minutes to bring a changed Secret, and the machine is busy.
const BROUGHT: Duration = Duration::from_secs(200);
/// A member looks every five seconds whether it has something to say.
const SAID: Duration = Duration::from_secs(30);
/// Metrics of a member.
const REFUSED: &str = "holdfast_link_tls_refused_total{side=\"accepted\",reason=\"plaintext\"}";
const RELOADED: &str = "holdfast_link_certificate_reloads_total{result=\"ok\"}";
const LEFT: &str = "holdfast_link_certificate_expiry_seconds";

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    lab.whole_shop().await?;
    is_true(&lab.stage.shop().await?, "LinksEncrypted").map_err(anyhow::Error::msg)?;
    let members = members(&lab).await?;
    let reports = reports(&lab).await?;
    ensure!(reports.len() == 3 && reports.iter().all(|report| report.encrypted), "members say of their links: {reports:?}");
    ensure!(members.len() == 3, "the members are {members:?}");
    for member in &members {
        let left = metric(&lab, member, LEFT).await?;
        ensure!(left > 0.0, "the certificate of {member} ends in {left} s");
    }
    a_stranger_without_tls_is_sent_away(&lab, &members[0]).await?;
    no_pod_has_the_authoritys_key(&lab).await?;
    a_new_certificate_comes_into_use(&lab, &members).await
}

async fn a_stranger_without_tls_is_sent_away(lab: &Lab, member: &str) -> anyhow::Result<()> {
    let before = metric(lab, member, REFUSED).await?;
    let door = lab.stage.cluster.forward_pod(NAMESPACE, member, names::REPLICATION_PORT, None).await?;
    let mut stranger = TcpStream::connect(door.address()).await.context("the way to port 4000")?;
    // The length of a frame, as a link without TLS begins.
    stranger.write_all(&[0, 0, 0, 60, 1, 2, 3, 4]).await?;
    let mut answer = Vec::new();
    // It may be reset.
    let _ = timeout(Duration::from_secs(10), stranger.read_to_end(&mut answer)).await.context("the stranger is not sent away")?;
    ensure!(answer.len() <= 7, "more than TLS' alert came back: {answer:?}");
    let after = metric(lab, member, REFUSED).await?;
    ensure!(after > before, "{REFUSED} is {after} after the stranger, {before} before");
    Ok(())
}

async fn no_pod_has_the_authoritys_key(lab: &Lab) -> anyhow::Result<()> {
    let pods = lab.stage.kubectl(&["get", "pods", "-n", NAMESPACE, "-o", "jsonpath={.items[*].spec.volumes}"]).await?;
    ensure!(pods.contains(&names::tls_secret(SHOP)) && !pods.contains(&names::authority_secret(SHOP)), "the pods mount {pods}");
    Ok(())
}

async fn a_new_certificate_comes_into_use(lab: &Lab, members: &[String]) -> anyhow::Result<()> {
    let certificate = async || {
        let secret = names::tls_secret(SHOP);
        lab.stage.kubectl(&["get", "secret", "-n", NAMESPACE, &secret, "-o", "jsonpath={.data.tls\\.crt}"]).await
    };
    let (old, before, said) = (certificate().await?, epoch(lab).await?, reports(lab).await?);
    let mut lost = BTreeMap::new();
    let mut reloads = BTreeMap::new();
    for member in members {
        lost.insert(member, dropped(lab, member).await?);
        reloads.insert(member, metric(lab, member, RELOADED).await?);
    }
    let seen = lab
        .shop_during(async |_| {
            // Another value each time, also on a cluster that was kept.
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
            let value = format!("holdfast.dev/rotate-certificates={now}");
            lab.stage.kubectl(&["annotate", "--overwrite", "-n", NAMESPACE, "hfsc", SHOP, &value]).await?;
            for member in members {
                eventually(format!("the new certificate in {member}"), BROUGHT, || async {
                    let now = metric(lab, member, RELOADED).await.map_err(|error| error.to_string())?;
                    if now > reloads[member] { Ok(()) } else { Err(format!("{RELOADED} is still {now}")) }
                })
                .await?;
            }
            Ok(())
        })
        .await?;
    seen.nobody_noticed()?.others_stayed()?;
    ensure!(certificate().await? != old, "the Secret has the same certificate as before");
    for member in members {
        let now = dropped(lab, member).await?;
        ensure!(now == lost[member], "{member} has lost links: {now} in all, {} before", lost[member]);
    }
    ensure!(epoch(lab).await? == before, "the members have changed");
    eventually("all members to say that they have the new certificate", SAID, || async {
        let now = reports(lab).await.map_err(|error| error.to_string())?;
        let same = now.iter().all(|report| report.certificate == now[0].certificate);
        if same && now.iter().all(|report| !said.contains(report)) { Ok(()) } else { Err(format!("{now:?}, {said:?} before")) }
    })
    .await?;
    is_true(&lab.stage.shop().await?, "LinksEncrypted").map_err(anyhow::Error::msg)?;

    // What is made from now on uses it: a member that starts anew meets the others.
    lab.stage.replace_member(&members[2]).await?;
    lab.whole_shop().await
}

/// Connections that ended for another reason than that one of their ends did.
async fn dropped(lab: &Lab, member: &str) -> anyhow::Result<f64> {
    metric(lab, member, "holdfast_link_ended_total").await
}

/// What the members say of their links, as the operator reads it.
async fn reports(lab: &Lab) -> anyhow::Result<Vec<LinksReport>> {
    let view = lab.stage.session_views().get(SHOP).await?;
    let of = |id| view.annotations().get(&names::links_annotation(id));
    (0..3).filter_map(of).map(|text| serde_json::from_str(text).with_context(|| format!("`{text}`"))).collect()
}

async fn epoch(lab: &Lab) -> anyhow::Result<u64> {
    Ok(holdfast_tests::stage::epoch(&lab.stage.shop().await?))
}

async fn members(lab: &Lab) -> anyhow::Result<Vec<String>> {
    let mut names: Vec<String> = lab.stage.pods_of(names::MEMBER).await?.into_iter().filter_map(|pod| pod.metadata.name).collect();
    names.sort();
    Ok(names)
}

/// A metric of a member; 0 if it has not been counted yet.
async fn metric(lab: &Lab, member: &str, name: &str) -> anyhow::Result<f64> {
    let door = lab.stage.cluster.forward_pod(NAMESPACE, member, names::ADMIN_PORT, None).await?;
    let page = reqwest::get(format!("{}/metrics", door.url())).await?.error_for_status()?.text().await?;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(Ok(0.0), |value| value.parse().with_context(|| format!("{name} of {member} is `{value}`")))
}
