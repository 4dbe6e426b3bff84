//! A cluster with a preset, a limit of sessions and a limit of memory: the application gets what the preset says, sessions beyond the limit are refused by
//! Redis' own kind of error while those that are there go on, locks are no sessions, and the status says whether a member may be lost.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use holdfast_api::names;
use holdfast_tests::stage::{NAMESPACE, Wanted, eventually, is_true, settled};
use kube::api::{DeleteParams, PostParams};
use redis::aio::MultiplexedConnection;
use redis::{RedisConnectionInfo, RedisError, cmd};
use serde_json::json;

use crate::lab::Lab;

const NAME: &str = "limited";
/// How long the cluster may take to come up, and to say how its memory is.
const UP: Duration = Duration::from_secs(90);
/// How long one command may take.
const ANSWER: Duration = Duration::from_secs(10);

pub(crate) async fn run(lab: Lab) -> anyhow::Result<()> {
    // The members' front door is entered from this machine.
    if !lab.stage.is_lab() {
        return Ok(());
    }
    let clusters = lab.stage.session_clusters();
    let limited = json!({
        "apiVersion": "holdfast.dev/v1alpha1",
        "kind": "SessionCluster",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "replicas": 2,
            "gateway": {"replicas": 1},
            "runtime": {"resources": {"limits": {"memory": "256Mi"}}},
            "workload": {"preset": "Spring", "app": {"image": lab.images.reference("shop"), "port": 8080}},
            "sessions": {"keys": ["sess:*"], "maxActive": 3},
        },
    });
    clusters.create(&PostParams::default(), &serde_json::from_value(limited)?).await.context("failed to create the limited cluster")?;
    let wanted = Wanted { replicas: 2, after_epoch: None };
    let whole = eventually("the limited cluster to be whole and to know that a member may be lost", UP, || async {
        let now = clusters.get(NAME).await.map_err(|error| error.to_string())?;
        settled(&now, &wanted)?;
        is_true(&now, "CapacityForFailover")
    });
    whole.await?;

    let of_preset = "jsonpath={.spec.containers[*].env[?(@.name=='SPRING_DATA_REDIS_URL')].value}";
    let given = lab.stage.kubectl(&["get", "pod", "-n", NAMESPACE, "limited-0", "-o", of_preset]).await?;
    ensure!(given == "redis://127.0.0.1:6379", "SPRING_DATA_REDIS_URL is `{given}`");

    let mut doors = [open(&lab, "limited-0").await?, open(&lab, "limited-1").await?];
    for n in 0..3 {
        set(&mut doors[n % 2], &format!("sess:{n}")).await.with_context(|| format!("session {n} was refused"))?;
    }
    // Until each member has heard of what the other one has made.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (at, door) in doors.iter_mut().enumerate() {
        let refused = set(door, "sess:too-many").await.err().context("a fourth session was taken")?.to_string();
        ensure!(refused.contains("max number of sessions reached"), "limited-{at} says: {refused}");
        set(door, "sess:0").await.context("a session that is there has to go on")?;
        set(door, &format!("lock:{at}")).await.context("a lock is no session")?;
        let memory: Vec<u64> = ask(door, &["CONFIG", "GET", "maxmemory"]).await?.into_iter().filter_map(|word| word.parse().ok()).collect();
        ensure!(memory == [128 << 20], "of 256Mi, half is for sessions, not {memory:?}");
    }
    clusters.delete(NAME, &DeleteParams::default()).await.context("failed to delete the limited cluster")?;
    Ok(())
}

async fn open(lab: &Lab, pod: &str) -> anyhow::Result<MultiplexedConnection> {
    let inside = lab.stage.cluster.inside(NAMESPACE, pod, "app")?;
    let stream = inside.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, names::REDIS_PORT))).await?;
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER));
    let (door, driver) = MultiplexedConnection::new_with_config(&RedisConnectionInfo::default(), stream, config).await?;
    // It ends with the door.
    drop(tokio::spawn(driver));
    Ok(door)
}

async fn set(door: &mut MultiplexedConnection, key: &str) -> Result<(), RedisError> {
    ask(door, &["SET", key, "x", "EX", "600"]).await.map(drop)
}

/// Runs a command; an answer of several words comes as several.
async fn ask(door: &mut MultiplexedConnection, words: &[&str]) -> Result<Vec<String>, RedisError> {
    let mut command = cmd(words[0]);
    command.arg(&words[1..]);
    match command.query_async::<redis::Value>(door).await? {
        redis::Value::Okay => Ok(vec!["OK".to_owned()]),
        value => redis::from_redis_value(value).map_err(RedisError::from),
    }
}
