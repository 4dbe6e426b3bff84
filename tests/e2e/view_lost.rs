//! Somebody deletes the SessionView while people shop: the operator makes it anew, the members put their view back, and nobody notices. Members
//! enter and leave afterwards as before, and one that starts while the view is gone does not found a cluster of its own.

use std::time::Duration;

use anyhow::Context;
use holdfast_api::{SessionView, names};
use holdfast_tests::stage::{SHOP, eventually};
use kube::ResourceExt;
use kube::api::DeleteParams;

use crate::lab::Lab;

/// How long the operator and the members may take.
const BACK: Duration = Duration::from_secs(30);

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    lab.whole_shop().await?;
    let act = async |_: &_| {
        let views = lab.stage.session_views();
        let before = views.get(SHOP).await?;
        // A member that is on its way meets an empty register.
        lab.stage.scale(4).await?;
        views.delete(SHOP, &DeleteParams::default()).await.context("failed to delete the SessionView")?;
        let back = eventually("the members to put their view back", BACK, || async {
            let now = views.get(SHOP).await.map_err(|error| error.to_string())?;
            is_back(&before, &now).map(|()| now)
        });
        let back = back.await?;
        println!(
            "view {} was deleted, {} was put back: {}",
            before.spec.epoch,
            back.spec.epoch,
            back.annotations()[names::RESTORED_ANNOTATION]
        );
        lab.stage.scale_to(4).await.context("after the view was put back")?;
        lab.stage.scale_to(3).await.context("after the view was put back")?;
        Ok(())
    };
    lab.shop_during(act).await?.nobody_noticed()?;
    Ok(())
}

fn is_back(before: &SessionView, now: &SessionView) -> Result<(), String> {
    let lives = |view: &SessionView| view.spec.members.iter().map(|member| (member.id, member.incarnation.clone())).collect::<Vec<_>>();
    let (was, is) = (lives(before), lives(now));
    if now.uid() == before.uid() {
        return Err("the old object is still there".to_owned());
    }
    if now.spec.members.is_empty() {
        return Err(format!("the register has no members, at epoch {}", now.spec.epoch));
    }
    if now.spec.epoch <= before.spec.epoch || !was.iter().all(|life| is.contains(life)) {
        return Err(format!("epoch {} with {is:?} does not follow epoch {} with {was:?}", now.spec.epoch, before.spec.epoch));
    }
    Ok(())
}
