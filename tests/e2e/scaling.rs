//! `kubectl scale`, up and down, under load: 3 to 5 to 2 to 3 members, and nobody notices.

use anyhow::Context;
use holdfast_tests::shoppers::Shoppers;

use crate::lab::Lab;

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    lab.whole_shop().await?;
    let up = lab.shop_during(async |_| scale(&lab, 5).await).await?;
    up.nobody_noticed()?.others_stayed()?;

    // The users of this second part go where the fewest sessions are: to the new members, which then leave.
    let act = async |shoppers: &Shoppers| {
        shoppers.disturb(["shop-2", "shop-3", "shop-4"]);
        scale(&lab, 2).await?;
        scale(&lab, 3).await
    };
    lab.shop_during(act).await?.nobody_noticed()?.others_stayed()?.somebody_moved()?;
    Ok(())
}

async fn scale(lab: &Lab, replicas: u32) -> anyhow::Result<()> {
    lab.stage.scale_to(replicas).await.with_context(|| format!("while scaling to {replicas}"))
}
