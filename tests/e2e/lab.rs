//! What each test works with: the cluster, the shop on it, and people who shop while something happens.

use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_api::names;
use holdfast_tests::cluster::{Cluster, Options};
use holdfast_tests::harness::Choice;
use holdfast_tests::shoppers::{PhaseReport, Report, Shoppers};
use holdfast_tests::stage::{Images, NAMESPACE, SHOP, Stage, Wanted};
use serde_json::json;

/// People in the shop during a test.
const USERS: usize = 50;
/// How long all may take to look at their carts when the shop is whole again.
const LOOK: Duration = Duration::from_secs(60);
/// Calm before the disturbance, so that there are carts to lose.
const CALM: Duration = Duration::from_secs(3);
/// How long the shop may take to be whole at the beginning of a test.
const WHOLE: Duration = Duration::from_secs(120);
/// The phase in which something happens.
const DISTURBED: &str = "disturbed";

/// The cluster with the shop.
#[derive(Debug, Clone)]
pub(crate) struct Lab {
    pub(crate) stage: Stage,
    pub(crate) images: Images,
}

impl Lab {
    /// Brings the cluster up and the images into it, or takes the one that KUBECONFIG names.
    pub(crate) async fn up(name: &str, choice: &Choice) -> anyhow::Result<Self> {
        if choice.existing {
            let images = Images { registry: choice.registry.clone(), tag: choice.tag.clone() };
            return Ok(Self { stage: Stage::new(Cluster::existing().await?), images });
        }
        let stage = Stage::new(Cluster::up(Options { name: name.to_owned(), ..Options::default() }).await?);
        let images = stage.bring_images().await?;
        Ok(Self { stage, images })
    }

    /// Whether the cluster is one of this machine; says that the test is left out if not.
    pub(crate) fn can_harm(&self) -> bool {
        let can = self.stage.is_lab();
        if !can {
            println!("left out: this needs a cluster of this machine");
        }
        can
    }

    pub(crate) async fn down(self) -> anyhow::Result<()> {
        Ok(self.stage.cluster.down().await?)
    }

    /// Sees to it that the shop has three members and is whole, whatever an earlier test has left.
    pub(crate) async fn whole_shop(&self) -> anyhow::Result<()> {
        if self.stage.is_lab() {
            self.stage.cluster.heal_all().await?;
        }
        self.stage.apply_example(&self.images, SHOP).await?;
        // An apply leaves alone what it does not name. A test that fails, or runs out of its time, does not come to undo this itself.
        self.stage.patch_shop(json!({"replication": null, "placement": null})).await?;
        self.stage.settle(&Wanted { replicas: 3, after_epoch: None }, WHOLE).await.context("the shop is not whole at the beginning")?;
        Ok(())
    }

    /// People shop while `act` happens, which names the members that it disturbs and ends when the shop is whole again. No cart may
    /// be lost.
    pub(crate) async fn shop_during(&self, act: impl AsyncFnOnce(&Shoppers) -> anyhow::Result<()>) -> anyhow::Result<Outcome> {
        self.shop_at_during(SHOP, act).await
    }

    /// The same at another cluster, whose application answers as the shop does.
    pub(crate) async fn shop_at_during(
        &self,
        cluster: &str,
        act: impl AsyncFnOnce(&Shoppers) -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let door = self.stage.cluster.forward_service(NAMESPACE, &names::gateway_service(cluster), names::SERVICE_PORT, None).await?;
        let shoppers = Shoppers::start(&door.url(), USERS)?;
        tokio::time::sleep(CALM).await;
        shoppers.phase(DISTURBED);
        let acted = act(&shoppers).await;
        let late = shoppers.look_at_all_carts(LOOK).await;
        let report = shoppers.finish().await;
        println!("{report}{}", report.complaints());
        acted?;
        ensure!(late.is_empty(), "{} users could not see their cart within {LOOK:?} after all was whole again", late.len());
        ensure!(report.total.carts_lost == 0, "{} of {USERS} carts were lost", report.total.carts_lost);
        Ok(Outcome(report))
    }
}

/// The member with the most users: to disturb it disturbs somebody for sure.
pub(crate) fn busiest(shoppers: &Shoppers) -> anyhow::Result<String> {
    let members = shoppers.users_by_member();
    let (member, _) = members.into_iter().max_by_key(|(_, users)| *users).context("no answer names the member that it came from")?;
    shoppers.disturb([member.clone()]);
    Ok(member)
}

/// What the people saw; no cart was lost.
pub(crate) struct Outcome(Report);

impl Outcome {
    fn disturbed(&self) -> &PhaseReport {
        self.0.phase(DISTURBED).unwrap_or(&self.0.total)
    }

    /// No request failed, but for those under way to a member that went, which are not safe to repeat.
    pub(crate) fn no_failed_request(self) -> anyhow::Result<Self> {
        ensure!(self.0.total.failed == 0, "{} requests failed", self.0.total.failed);
        Ok(self)
    }

    /// Not even a request under way was broken off.
    pub(crate) fn nobody_noticed(self) -> anyhow::Result<Self> {
        let in_flight = self.0.total.in_flight;
        ensure!(in_flight == 0, "{in_flight} requests were broken off under way");
        self.no_failed_request()
    }

    /// Users of undisturbed members stayed where they were.
    pub(crate) fn others_stayed(self) -> anyhow::Result<Self> {
        let breaks = self.0.total.affinity_breaks;
        ensure!(breaks == 0, "{breaks} users were moved away from members that nothing had happened to");
        Ok(self)
    }

    /// Nobody waited longer for one answer.
    pub(crate) fn nobody_waited_longer_than(self, limit: Duration) -> anyhow::Result<Self> {
        let longest = self.disturbed().longest;
        ensure!(longest <= limit, "somebody waited {longest:?} for an answer; {limit:?} is the limit");
        Ok(self)
    }

    /// The disturbance reached somebody: otherwise the test shows nothing.
    pub(crate) fn somebody_moved(self) -> anyhow::Result<Self> {
        ensure!(self.disturbed().moves > 0, "nobody was moved: the disturbance disturbed nobody");
        Ok(self)
    }
}
