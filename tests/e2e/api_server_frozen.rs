//! The API server stands still for 20 s while people shop: nobody notices.

use std::time::Duration;

use crate::lab::Lab;

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    if !lab.can_harm() {
        return Ok(());
    }
    lab.whole_shop().await?;
    let seen = lab.shop_during(async |_| Ok(lab.stage.freeze_api_server(Duration::from_secs(20)).await?)).await?;
    seen.nobody_noticed()?.others_stayed()?.nobody_waited_longer_than(Duration::from_secs(3))?;
    Ok(())
}
