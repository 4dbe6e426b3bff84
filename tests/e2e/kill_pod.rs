//! Every container of a member dies by SIGKILL under load: its users go on elsewhere with their carts, all others notice nothing.

use std::time::Duration;

use crate::lab::{Lab, busiest};

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    if !lab.can_harm() {
        return Ok(());
    }
    lab.whole_shop().await?;
    let seen = lab.shop_during(async |shoppers| Ok(lab.stage.kill_member(&busiest(shoppers)?).await?)).await?;
    seen.no_failed_request()?.others_stayed()?.somebody_moved()?.nobody_waited_longer_than(Duration::from_secs(5))?;
    Ok(())
}
