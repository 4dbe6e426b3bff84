//! A node loses its network for a while, without anybody telling: its members are evicted, and when it comes back they drop what
//! they had and join anew. Not one acknowledged change is undone by what they still believed.

use std::time::Duration;

use anyhow::{Context, ensure};

use holdfast_tests::shoppers::Shoppers;

use crate::lab::Lab;

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    if !lab.can_harm() {
        return Ok(());
    }
    lab.whole_shop().await?;
    let victim = lab.stage.victim().await?.context("no member runs on any node")?;
    ensure!(victim.members.len() == 1, "the members are not spread over the nodes: {victim:?}");
    // A new member has the fewest sessions, so that it gets users of this test.
    for member in &victim.members {
        lab.stage.replace_member(member).await?;
    }
    let act = async |shoppers: &Shoppers| {
        shoppers.disturb(victim.members.clone());
        Ok(lab.stage.cut_off(&victim.node, Duration::from_secs(8)).await?)
    };
    let seen = lab.shop_during(act).await?;
    // Who is connected through a gateway on the lost node waits for an answer that never comes.
    if !victim.has_gateway {
        seen.no_failed_request()?.somebody_moved()?;
    }
    Ok(())
}
