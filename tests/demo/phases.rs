//! What happens to the shop, phase after phase. Each ends when the shop is whole again and every user has seen their cart.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use holdfast_api::names;
use holdfast_tests::shoppers::{Report, Shoppers};
use holdfast_tests::stage::{self, SHOP, Stage};
use tokio::time::sleep;

use crate::live::Live;

const CALM: Duration = Duration::from_secs(10);
/// How long a node stays cut off after the others have noticed, and how long the API server stands still.
const CUT_OFF: Duration = Duration::from_secs(10);
const FROZEN: Duration = Duration::from_secs(20);
/// How long all users may take to look at their carts at the end of a phase.
const LOOK: Duration = Duration::from_secs(60);

/// Whether a failed request in a phase fails the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failures {
    /// None may be.
    Refused,
    /// Some cannot be helped: who was connected to a gateway on the lost node waits for an answer that never comes.
    Shown,
}

/// A shop with people in it.
pub(crate) struct Play {
    stage: Stage,
    shoppers: Shoppers,
    /// Phases in which requests must not fail.
    strict: Vec<String>,
}

impl Play {
    pub(crate) fn new(stage: Stage, shoppers: Shoppers) -> Self {
        Self { stage, shoppers, strict: Vec::new() }
    }

    /// All phases.
    pub(crate) async fn all(&mut self) -> anyhow::Result<()> {
        let stage = self.stage.clone();
        let member = |ordinal| names::member_pod(SHOP, ordinal);
        let lab = stage.is_lab();
        // The members on the node that is cut off later are left alone until then: so they gain users, and there is something to see.
        let victim = stage.victim().await?.context("no member runs on any node")?;
        let mut others = (0..3).map(member).filter(|name| !victim.members.contains(name));
        let (Some(first), Some(second)) = (others.next(), others.next()) else {
            anyhow::bail!("the members are not spread over the nodes: {victim:?}");
        };

        self.phase("nothing happens", Failures::Refused, [], async {
            sleep(CALM).await;
            Ok(())
        })
        .await?;
        if lab {
            self.phase("one pod killed (SIGKILL)", Failures::Refused, [first.clone()], stage.kill_member(&first)).await?;
        } else {
            println!("left out: one pod killed by SIGKILL (needs the cluster of this machine)");
        }
        self.phase("one pod deleted", Failures::Refused, [second.clone()], stage.replace_member(&second)).await?;
        if lab {
            let failures = if victim.has_gateway { Failures::Shown } else { Failures::Refused };
            let name = format!("{} cut off, {} s", victim.node, CUT_OFF.as_secs());
            self.phase(&name, failures, victim.members, stage.cut_off(&victim.node, CUT_OFF)).await?;
        } else {
            println!("left out: one node cut off (needs the cluster of this machine)");
        }
        self.phase("3 -> 5 pods", Failures::Refused, [], stage.scale_to(5)).await?;
        let leaving = (2..5).map(member);
        self.phase("5 -> 2 pods, operator killed", Failures::Refused, leaving, async {
            let killed = async {
                sleep(Duration::from_secs(3)).await;
                stage.kill_operator().await
            };
            tokio::try_join!(stage.scale_to(2), killed).map(drop)
        })
        .await?;
        if lab {
            self.phase("API server frozen, 20 s", Failures::Refused, [], stage.freeze_api_server(FROZEN)).await?;
        } else {
            println!("left out: API server frozen (needs the cluster of this machine)");
        }
        Ok(())
    }

    async fn phase(
        &mut self,
        name: &str,
        failures: Failures,
        disturbed: impl IntoIterator<Item = String>,
        act: impl Future<Output = Result<(), stage::Error>>,
    ) -> anyhow::Result<()> {
        self.shoppers.phase(name);
        self.shoppers.disturb(disturbed);
        if failures == Failures::Refused {
            self.strict.push(name.to_owned());
        }
        let mut live = Live::begin();
        let acted = live.during(&self.shoppers, act).await;
        let late = live.during(&self.shoppers, self.shoppers.look_at_all_carts(LOOK)).await;
        let verdict = match (&acted, late.len()) {
            (Ok(()), 0) => "whole again".to_owned(),
            (Ok(()), late) => format!("whole again, but {late} users could not see their cart"),
            (Err(_), _) => "NOT whole again".to_owned(),
        };
        live.end(&self.shoppers.snapshot(), &verdict);
        acted.with_context(|| format!("in phase `{name}`"))?;
        Ok(())
    }

    /// Sends the users home. Answers what they saw, and the phases in which a request failed that must not.
    pub(crate) async fn end(self) -> (Report, Vec<String>) {
        self.shoppers.phase("last look at the carts");
        let report = self.shoppers.finish().await;
        let failed = |name: &String| report.phase(name).is_some_and(|phase| phase.failed > 0);
        let broken = self.strict.into_iter().filter(failed).collect();
        (report, broken)
    }
}
