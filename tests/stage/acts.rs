//! Disturbances, each from its beginning until the shop is whole again. What is taken away is given back also when a wait in
//! between fails.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast_api::names;
use kube::ResourceExt;

use super::{Error, NAMESPACE, SHOP, Stage, Wanted, epoch, eventually, node_of};

/// How long the shop may take to be whole again.
const RECOVERY: Duration = Duration::from_secs(120);
/// How long the others may take to notice that a member is gone, on a busy machine.
const NOTICE: Duration = Duration::from_secs(30);

/// A node to take away, and what is on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// The node.
    pub node: String,
    /// The members on it.
    pub members: BTreeSet<String>,
    /// Whether a gateway is on it: those who are connected through it wait until their own patience ends.
    pub has_gateway: bool,
}

impl Stage {
    /// Kills every container of a member by SIGKILL.
    ///
    /// # Errors
    /// When the shop is not whole again in time.
    pub async fn kill_member(&self, pod: &str) -> Result<(), Error> {
        let before = self.shop().await?;
        self.cluster.kill_pod(NAMESPACE, pod).await?;
        self.settle(&Wanted { replicas: before.spec.replicas, after_epoch: Some(epoch(&before)) }, RECOVERY).await?;
        Ok(())
    }

    /// Deletes a member's pod, as an eviction or a person does, and waits for its successor.
    ///
    /// # Errors
    /// When the shop is not whole again in time.
    pub async fn replace_member(&self, pod: &str) -> Result<(), Error> {
        let before = self.shop().await?;
        let pods = self.pods();
        let uid = self.pods_of(names::MEMBER).await?.into_iter().find(|found| found.name_any() == pod).and_then(|found| found.uid());
        self.delete_pod(pod).await?;
        eventually(format!("a new pod {pod}"), RECOVERY, || async {
            let now = pods.get(pod).await.map_err(|error| error.to_string())?;
            if now.uid() == uid { Err("the old one is still there".to_owned()) } else { Ok(()) }
        })
        .await?;
        self.settle(&Wanted { replicas: before.spec.replicas, after_epoch: Some(epoch(&before)) }, RECOVERY).await?;
        Ok(())
    }

    /// A node with members on it, if possible without a gateway.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn victim(&self) -> Result<Option<Victim>, Error> {
        let on = |pods: &[k8s_openapi::api::core::v1::Pod], node: &str| -> BTreeSet<String> {
            pods.iter().filter(|pod| node_of(pod) == Some(node)).map(ResourceExt::name_any).collect()
        };
        let (members, gateways) = (self.pods_of(names::MEMBER).await?, self.pods_of(names::GATEWAY).await?);
        let nodes: BTreeSet<&str> = members.iter().filter_map(node_of).collect();
        let victims = nodes.into_iter().map(|node| Victim {
            node: node.to_owned(),
            members: on(&members, node),
            has_gateway: !on(&gateways, node).is_empty(),
        });
        Ok(victims.min_by_key(|victim| (victim.has_gateway, victim.members.len())))
    }

    /// Cuts a node off from all others until `hold` after the members have noticed, then heals it.
    ///
    /// # Errors
    /// When nobody notices, or the shop is not whole again in time.
    pub async fn cut_off(&self, node: &str, hold: Duration) -> Result<(), Error> {
        let before = self.shop().await?;
        let views = self.session_views();
        self.cluster.cut_off(node).await?;
        // Asked of the members' own register: the operator, who writes the status, may be on the node.
        let noticed = eventually(format!("a view without the members on {node}"), NOTICE, || async {
            let now = views.get(SHOP).await.map_err(|error| error.to_string())?.spec.epoch;
            if now > epoch(&before) { Ok(()) } else { Err(format!("the view is still {now}")) }
        });
        let noticed = noticed.await;
        if noticed.is_ok() {
            tokio::time::sleep(hold).await;
        }
        self.cluster.heal(node).await?;
        noticed?;
        self.settle(&Wanted { replicas: before.spec.replicas, after_epoch: Some(epoch(&before)) }, RECOVERY).await?;
        Ok(())
    }

    /// Scales the shop and waits until it has that many members.
    ///
    /// # Errors
    /// When it has not in time.
    pub async fn scale_to(&self, replicas: u32) -> Result<(), Error> {
        self.scale(replicas).await?;
        self.settle(&Wanted { replicas, after_epoch: None }, RECOVERY).await?;
        Ok(())
    }

    /// Freezes the API server for so long, then lets it go on, and waits until the shop's state is known again.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn freeze_api_server(&self, hold: Duration) -> Result<(), Error> {
        let replicas = self.shop().await?.spec.replicas;
        self.cluster.freeze_apiserver().await?;
        tokio::time::sleep(hold).await;
        self.cluster.thaw_apiserver().await?;
        self.settle(&Wanted { replicas, after_epoch: None }, RECOVERY).await?;
        Ok(())
    }
}
