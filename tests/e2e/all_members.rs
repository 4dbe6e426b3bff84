//! `topology: AllMembers`: every member has a copy of every session, so two of three may die at once.

use holdfast_tests::shoppers::Shoppers;
use serde_json::json;

use crate::copies::{change, in_force, kill_both};
use crate::lab::Lab;

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    if !lab.can_harm() {
        return Ok(());
    }
    lab.whole_shop().await?;
    lab.stage.patch_shop(json!({"replication": {"topology": "AllMembers", "copies": null}})).await?;
    in_force(&lab.stage, holdfast_api::names::ALL_MEMBERS).await?;
    let act = async |shoppers: &Shoppers| {
        shoppers.disturb(["shop-0", "shop-2"]);
        kill_both(&lab, ["shop-0", "shop-2"]).await
    };
    let seen = lab.shop_during(act).await;
    lab.stage.patch_shop(json!({"replication": {"topology": "Backups"}})).await?;
    change(&lab.stage, 1).await?;
    seen?.no_failed_request()?.somebody_moved()?;
    Ok(())
}
