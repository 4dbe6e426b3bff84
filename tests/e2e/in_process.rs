//! An application that is the member itself: pods of one container, which dies by SIGKILL under load, and of which one then leaves. No cart is lost, and no
//! request fails that is safe to repeat.

use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_api::{SessionCluster, names};
use holdfast_tests::shoppers::Shoppers;
use holdfast_tests::stage::{NAMESPACE, Wanted, epoch, eventually, is_true, settled};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;

use crate::lab::{Lab, busiest};

/// The example's name.
const NAME: &str = "kiosk";
/// How long it may take to be whole, at the beginning and after each disturbance.
const WHOLE: Duration = Duration::from_secs(90);

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    lab.stage.apply_example(&lab.images, NAME).await?;
    let before = epoch(&whole(&lab, 3, None).await?);
    one_container(&lab).await?;
    knows_its_memory(&lab).await?;

    if lab.can_harm() {
        let killed = async |shoppers: &Shoppers| {
            lab.stage.cluster.kill_pod(NAMESPACE, &busiest(shoppers)?).await?;
            whole(&lab, 3, Some(before)).await.map(drop)
        };
        let seen = lab.shop_at_during(NAME, killed).await.context("while a pod was killed")?;
        seen.no_failed_request()?.others_stayed()?.somebody_moved()?.nobody_waited_longer_than(Duration::from_secs(5))?;
    }

    let fewer = async |shoppers: &Shoppers| {
        shoppers.disturb([names::member_pod(NAME, 2)]);
        lab.stage.kubectl(&["scale", "-n", NAMESPACE, &format!("hfsc/{NAME}"), "--replicas=2"]).await?;
        whole(&lab, 2, None).await.map(drop)
    };
    let seen = lab.shop_at_during(NAME, fewer).await.context("while scaling to 2")?;
    seen.nobody_noticed()?.others_stayed()?.somebody_moved()?;

    lab.stage.session_clusters().delete(NAME, &DeleteParams::default()).await.context("failed to delete the kiosk")?;
    Ok(())
}

/// Waits until it has so many members and every session its copies.
async fn whole(lab: &Lab, replicas: u32, after_epoch: Option<u64>) -> anyhow::Result<SessionCluster> {
    let clusters = lab.stage.session_clusters();
    let wanted = Wanted { replicas, after_epoch };
    let seen = eventually(format!("SessionCluster {NAME} to be whole with {replicas} members"), WHOLE, || async {
        let now = clusters.get(NAME).await.map_err(|error| error.to_string())?;
        settled(&now, &wanted).map(|()| now)
    });
    Ok(seen.await?)
}

/// Half of each application's limit is its member's.
async fn knows_its_memory(lab: &Lab) -> anyhow::Result<()> {
    let clusters = lab.stage.session_clusters();
    let seen = eventually("the kiosk to know that a member may be lost", WHOLE, || async {
        is_true(&clusters.get(NAME).await.map_err(|error| error.to_string())?, "CapacityForFailover")
    });
    Ok(seen.await?)
}

/// The application is all that runs in its pod, and nobody tells it of a Redis.
async fn one_container(lab: &Lab) -> anyhow::Result<()> {
    let pod: Pod = lab.stage.pods().get(&names::member_pod(NAME, 0)).await?;
    let spec = pod.spec.context("a pod without a spec")?;
    let names: Vec<&str> = spec.init_containers.iter().flatten().chain(&spec.containers).map(|one| one.name.as_str()).collect();
    ensure!(names == ["app"], "the containers are {names:?}");
    let redis = spec.containers.iter().flat_map(|one| one.env.iter().flatten()).find(|env| env.name.contains("REDIS"));
    ensure!(redis.is_none(), "the application is told of a Redis: {redis:?}");
    Ok(())
}
