//! Three members on nodes of two zones: no session is in one zone only, so a whole zone may die at once.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_api::names;
use holdfast_tests::shoppers::Shoppers;
use holdfast_tests::stage::{SHOP, eventually, node_of};
use kube::ResourceExt;
use serde_json::json;

use crate::copies::kill_both;
use crate::lab::Lab;

/// The label of this test: the nodes' own zones are left as they are.
const LABEL: &str = "e2e.holdfast.dev/zone";
/// How long the members may take to learn where they are.
const KNOWN: Duration = Duration::from_secs(120);

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    if !lab.can_harm() {
        return Ok(());
    }
    lab.whole_shop().await?;
    for (node, zone) in [("node1", "east"), ("node2", "west"), ("node3", "west")] {
        lab.stage.kubectl(&["label", "--overwrite", "node", node, &format!("{LABEL}={zone}")]).await?;
    }
    // A domain, because that changes without a restart, and a zone is treated alike.
    lab.stage.patch_shop(json!({"placement": {"domainLabel": LABEL}})).await?;
    let tested = in_two_zones(&lab).await;
    lab.stage.patch_shop(json!({"placement": {"domainLabel": null}})).await?;
    tested
}

async fn in_two_zones(lab: &Lab) -> anyhow::Result<()> {
    let zones = known_zones(lab).await?;
    let in_zone = |zone: &str| zones.iter().filter(|(_, of)| *of == zone).map(|(member, _)| member.clone()).collect::<Vec<_>>();
    let west = in_zone("west");
    ensure!(west.len() == 2 && in_zone("east").len() == 1, "three members are not spread over three nodes: {zones:?}");
    let act = async |shoppers: &Shoppers| {
        shoppers.disturb(west.clone());
        kill_both(lab, [&west[0], &west[1]]).await
    };
    lab.shop_during(act).await.context("both members of a zone died at once")?.no_failed_request()?;
    Ok(())
}

/// The domains of the members in the view, once each is that of its node and all is protected.
async fn known_zones(lab: &Lab) -> anyhow::Result<BTreeMap<String, String>> {
    let nodes = BTreeMap::from([("node1", "east"), ("node2", "west"), ("node3", "west")]);
    let pods = lab.stage.pods_of(names::MEMBER).await?;
    let expected: BTreeMap<String, String> =
        pods.iter().filter_map(|pod| Some((pod.name_any(), (*nodes.get(node_of(pod)?)?).to_owned()))).collect();
    let views = lab.stage.session_views();
    let seen = eventually("the view to know where its members are", KNOWN, || async {
        let view = views.get(SHOP).await.map_err(|error| error.to_string())?.spec;
        let known: BTreeMap<String, String> = view.members.into_iter().filter_map(|member| Some((member.name, member.domain?))).collect();
        if known == expected && view.sub > 0 { Ok(known) } else { Err(format!("{known:?} at sub {}, not {expected:?}", view.sub)) }
    });
    Ok(seen.await?)
}
