//! `kubectl scale`, up and down, under load: 3 to 5 to 2 to 3 members, and nobody notices.

use anyhow::Context;

use holdfast_tests::shoppers::Shoppers;

use crate::lab::Lab;

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    lab.whole_shop().await?;
    let act = async |shoppers: &Shoppers| {
        shoppers.disturb(["shop-2", "shop-3", "shop-4"]);
        for replicas in [5, 2, 3] {
            lab.stage.scale_to(replicas).await.with_context(|| format!("while scaling to {replicas}"))?;
        }
        Ok(())
    };
    lab.shop_during(act).await?.nobody_noticed()?.others_stayed()?.somebody_moved()?;
    Ok(())
}
