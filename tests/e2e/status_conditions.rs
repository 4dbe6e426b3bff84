//! The status says what a person or a script needs: `kubectl wait` and `kubectl get hfsc` work, every condition speaks of the
//! newest spec, and the members are named.

use anyhow::{Context, ensure};
use holdfast_tests::stage::{NAMESPACE, SHOP, is_true};

use crate::lab::Lab;

const CONDITIONS: [&str; 9] = [
    "Ready",
    "Reconciling",
    "Stalled",
    "Degraded",
    "SessionsProtected",
    "CapacityForFailover",
    "MembershipFormed",
    "GatewaySynced",
    "LinksEncrypted",
];

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    lab.whole_shop().await?;
    let kubectl = |arguments: &'static str| {
        let stage = lab.stage.clone();
        async move {
            let arguments: Vec<_> = arguments.split(' ').collect();
            stage.kubectl(&[&["-n", NAMESPACE], &arguments[..]].concat()).await
        }
    };
    kubectl("wait --for=condition=Ready hfsc/shop --timeout=30s").await?;
    kubectl("wait --for=condition=SessionsProtected hfsc/shop --timeout=30s").await?;
    kubectl("wait --for=condition=Reconciling=False hfsc/shop --timeout=30s").await?;

    let table = kubectl("get hfsc").await?;
    let row = table.lines().nth(1).context("kubectl get hfsc shows no row")?;
    let cells: Vec<_> = row.split_whitespace().collect();
    ensure!(table.starts_with("NAME") && cells[..4] == [SHOP, "True", "3", "True"], "kubectl get hfsc shows:\n{table}");

    let shop = lab.stage.shop().await?;
    let status = shop.status.clone().context("there is no status")?;
    for condition in CONDITIONS {
        let found = status.conditions.iter().find(|found| found.type_ == condition).with_context(|| format!("no condition {condition}"))?;
        ensure!(found.observed_generation == shop.metadata.generation, "{condition} speaks of another generation: {found:?}");
        ensure!(!found.reason.is_empty(), "{condition} has no reason");
    }
    for good in ["Ready", "SessionsProtected", "MembershipFormed", "GatewaySynced", "LinksEncrypted"] {
        is_true(&shop, good).map_err(anyhow::Error::msg)?;
    }
    for bad in ["Reconciling", "Stalled", "Degraded"] {
        ensure!(is_true(&shop, bad).is_err(), "{bad} is True on a whole shop");
    }
    let members: Vec<_> = status.members.iter().map(|member| member.name.as_str()).collect();
    ensure!(members == ["shop-0", "shop-1", "shop-2"], "the members are {members:?}");
    ensure!(status.gateway.as_ref().is_some_and(|gateway| gateway.service_name == SHOP), "the gateway is {:?}", status.gateway);

    let selector = status.selector.context("there is no selector")?;
    let selected = lab.stage.kubectl(&["get", "pods", "-n", NAMESPACE, "-l", &selector, "-o", "name"]).await?;
    ensure!(selected.lines().count() == 3, "the selector `{selector}` selects:\n{selected}");
    let events = kubectl("get events --field-selector involvedObject.kind=SessionCluster,involvedObject.name=shop -o name").await?;
    ensure!(!events.trim().is_empty(), "the operator told no event of the shop");
    Ok(())
}
