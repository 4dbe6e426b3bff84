//! Mistakes: the API server refuses what can never be right and names field and range; what turns out wrong later is told in a
//! condition, the operator lives on, and the mistake can be mended.

use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_tests::stage::{NAMESPACE, SYSTEM, Wanted, eventually, is_true, settled};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::lab::Lab;

const NAME: &str = "mistaken";

fn cluster(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "holdfast.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
}

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    refused(&lab).await?;
    let restarts = operator_restarts(&lab).await?;
    wrong_image(&lab).await?;
    let now = operator_restarts(&lab).await?;
    ensure!(restarts == now, "the operator restarted: {restarts} before, {now} after");
    Ok(())
}

/// What the API server says no to, and the words that its answer must have.
async fn refused(lab: &Lab) -> anyhow::Result<()> {
    let app = json!({"app": {"image": "shop", "port": 8080}});
    let with = |field: &str, value: Value| {
        let mut spec = json!({ "workload": app.clone() });
        spec[field] = value;
        spec
    };
    let in_process = |field: &str, value: Value| {
        let mut workload = json!({"app": {"image": "kiosk", "port": 8080, "member": "InProcess"}});
        workload[field] = value;
        json!({ "workload": workload })
    };
    let with_env = |name: &str| json!({"workload": {"app": {"image": "shop", "port": 8080, "env": [{"name": name, "value": "x"}]}}});
    for (name, spec, words) in [
        ("mistaken", with("replicas", json!(65)), ["spec.replicas", "64"]),
        ("mistaken", with("replication", json!({"copies": 64})), ["spec.replication.copies", "63"]),
        ("mistaken", with("replication", json!({"topology": "AllMembers", "copies": 2})), ["spec.replication.copies", "AllMembers"]),
        ("mistaken", with("replication", json!({"acknowledge": "Later"})), ["spec.replication.acknowledge", "Received"]),
        ("mistaken", with("replication", json!({"transport": {"queueBytes": "1Mi"}})), ["transport.queueBytes", "twice"]),
        ("mistaken", with("stateTransfer", json!({"rate": "1"})), ["spec.stateTransfer.rate", "64Ki"]),
        ("mistaken", with("placement", json!({"zoneLabel": "a zone"})), ["spec.placement.zoneLabel", "label"]),
        ("mistaken", with("replication", json!({"ackTimeout": "soon"})), ["spec.replication.ackTimeout", "1m"]),
        ("mistaken", with("membership", json!({"heartbeatInterval": "1s", "failureTimeout": "2s"})), ["failureTimeout", "4 times"]),
        ("mistaken", with("sessions", json!({"keys": ["sess:*", ""]})), ["spec.sessions.keys", "1024"]),
        ("mistaken", with("sessions", json!({"maxActive": 0})), ["spec.sessions.maxActive", "1000000000"]),
        ("mistaken", json!({"workload": {"preset": "Cobol", "app": {"image": "shop", "port": 8080}}}), ["spec.workload.preset", "Django"]),
        ("mistaken", with("sessions", json!({"maxBytes": "1Gi"})), ["spec.sessions.maxBytes", "32Mi"]),
        ("mistaken", json!({"workload": {"app": {"image": "shop", "port": 6379}}}), ["spec.workload.app.port", "6379"]),
        ("mistaken", json!({"workload": {"app": {"port": 8080}}}), ["spec.workload.app.image", "Required"]),
        ("mistaken", in_process("preset", json!("Rust")), ["spec.workload.preset", "InProcess"]),
        ("mistaken", with("runtime", json!({"threads": 65})), ["spec.runtime.threads", "64"]),
        ("mistaken", with("security", json!({"redis": {"idleTimeout": "10ms"}})), ["spec.security.redis.idleTimeout", "8760h"]),
        ("mistaken", with_env("REDIS_URL"), ["spec.workload.app.env", "usersSecretRef"]),
        ("mistaken.twice", with("replicas", json!(3)), ["metadata.name", "40 characters"]),
    ] {
        let manifest = cluster(name, spec).to_string();
        let answer = match lab.stage.cluster.apply(&manifest).await {
            Ok(_) => anyhow::bail!("the API server took {manifest}"),
            Err(error) => format!("{error:#}"),
        };
        for word in words {
            ensure!(answer.contains(word), "the refusal of {manifest} does not say `{word}`: {answer}");
        }
    }
    Ok(())
}

/// An image that is nowhere: the condition says so, and the right image mends it.
async fn wrong_image(lab: &Lab) -> anyhow::Result<()> {
    let clusters = lab.stage.session_clusters();
    let spec = |image: &str| json!({"replicas": 2, "gateway": {"replicas": 1}, "workload": {"app": {"image": image, "port": 8080}}});
    let broken = serde_json::from_value(cluster(NAME, spec("localhost/holdfast/nothing:dev")))?;
    clusters.create(&PostParams::default(), &broken).await.context("failed to create the mistaken SessionCluster")?;

    let told = eventually("Degraded to name the image", Duration::from_secs(60), || async {
        let now = clusters.get(NAME).await.map_err(|error| error.to_string())?;
        is_true(&now, "Degraded")?;
        let conditions = now.status.into_iter().flat_map(|status| status.conditions);
        let message = conditions.into_iter().find(|found| found.type_ == "Degraded").map(|found| found.message).unwrap_or_default();
        if message.contains("localhost/holdfast/nothing:dev") { Ok(()) } else { Err(format!("Degraded says: {message}")) }
    });
    told.await?;

    let mended = Patch::Merge(json!({"spec": spec(&lab.images.reference("shop"))}));
    clusters.patch(NAME, &PatchParams::default(), &mended).await.context("failed to mend the SessionCluster")?;
    let wanted = Wanted { replicas: 2, after_epoch: None };
    let whole = eventually("the mended SessionCluster to be whole", Duration::from_secs(90), || async {
        let now = clusters.get(NAME).await.map_err(|error| error.to_string())?;
        settled(&now, &wanted)?;
        if is_true(&now, "Degraded").is_ok() { Err("Degraded is still True".to_owned()) } else { Ok(()) }
    });
    whole.await?;
    clusters.delete(NAME, &DeleteParams::default()).await.context("failed to delete the mended SessionCluster")?;
    Ok(())
}

async fn operator_restarts(lab: &Lab) -> anyhow::Result<String> {
    let path = "jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    Ok(lab.stage.kubectl(&["get", "pods", "-n", SYSTEM, "-o", path]).await?)
}
