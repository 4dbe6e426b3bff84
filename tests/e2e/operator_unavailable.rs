//! The operator is away while a member dies: the members decide among themselves, and the sessions are safe without it. Killed in
//! the middle of scaling, its successor finishes the work.

use std::time::Duration;

use anyhow::ensure;
use holdfast_tests::shoppers::Shoppers;
use holdfast_tests::stage::{NAMESPACE, SYSTEM, eventually};

use crate::lab::{Lab, busiest};

const SCALE_OPERATOR: [&str; 5] = ["scale", "-n", SYSTEM, "deployment/holdfast-operator", "--replicas"];

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    if !lab.can_harm() {
        return Ok(());
    }
    lab.whole_shop().await?;
    let stage = &lab.stage;

    let act = async |shoppers: &Shoppers| {
        let member = busiest(shoppers)?;
        stage.kubectl(&[&SCALE_OPERATOR[..], &["0"]].concat()).await?;
        stage.kubectl(&["wait", "-n", SYSTEM, "--for=delete", "pod", "--all", "--timeout=60s"]).await?;
        let killed = whole_without_operator(&lab, &member).await;
        stage.kubectl(&[&SCALE_OPERATOR[..], &["2"]].concat()).await?;
        killed?;
        lab.whole_shop().await
    };
    lab.shop_during(act).await?.no_failed_request()?.somebody_moved()?;

    let act = async |shoppers: &Shoppers| {
        shoppers.disturb(["shop-3"]);
        let killed = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            stage.kill_operator().await
        };
        let (_, killed) = tokio::try_join!(stage.scale_to(4), killed)?;
        ensure!(killed > 0, "there was no operator to kill");
        Ok(stage.scale_to(3).await?)
    };
    lab.shop_during(act).await?.nobody_noticed()?;
    Ok(())
}

/// Kills a member and waits until the members' own register says that everything is protected again.
async fn whole_without_operator(lab: &Lab, member: &str) -> anyhow::Result<()> {
    let views = lab.stage.session_views();
    let before = views.get("shop").await?.spec.epoch;
    lab.stage.cluster.kill_pod(NAMESPACE, member).await?;
    eventually("a settled view with three members, without an operator", Duration::from_secs(90), || async {
        let view = views.get("shop").await.map_err(|error| error.to_string())?.spec;
        let full = view.members.iter().filter(|member| member.state == holdfast_api::MemberState::Full).count();
        if view.epoch > before && view.sub > 0 && full == 3 { Ok(()) } else { Err(format!("{view:?}")) }
    })
    .await?;
    Ok(())
}
