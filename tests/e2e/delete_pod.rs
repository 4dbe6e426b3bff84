//! A member's pod is deleted under load, as an eviction does: it hands its sessions over first, and nobody notices.

use std::time::Duration;

use crate::lab::{Lab, busiest};

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    lab.whole_shop().await?;
    let seen = lab.shop_during(async |shoppers| Ok(lab.stage.replace_member(&busiest(shoppers)?).await?)).await?;
    seen.nobody_noticed()?.others_stayed()?.somebody_moved()?.nobody_waited_longer_than(Duration::from_secs(5))?;
    Ok(())
}
