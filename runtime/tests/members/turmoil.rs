//! Everything at once, under load: whatever was acknowledged must be there at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::{Command, Reply};
use holdfast_runtime::session::SessionHandle;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::cluster::Cluster;

/// Sessions of each writer.
const SESSIONS: u64 = 20;

/// What a writer knows of one of its sessions: at least this much was acknowledged, at most this much was sent.
type Known = BTreeMap<u64, (u64, u64)>;

/// One application: writes growing numbers into its own sessions through the member beside it, for as long as that lives.
fn write(name: String, sessions: SessionHandle, mut known: Known, stop: Arc<AtomicBool>) -> JoinHandle<Known> {
    tokio::spawn(async move {
        let mut n = known.values().map(|(_, sent)| *sent).max().unwrap_or(0);
        while !stop.load(Ordering::Relaxed) {
            n += 1;
            let session = n % SESSIONS;
            let (acknowledged, sent) = known.entry(session).or_default();
            *sent = n;
            let key = Bytes::from(format!("{name}:{session}"));
            let reply = timeout(Duration::from_secs(10), sessions.execute(key, crate::cluster::set(n.to_string()))).await;
            match reply.expect("every command is answered") {
                Reply::Ok => *acknowledged = n,
                Reply::Error(_) => sleep(Duration::from_millis(20)).await,
                other => panic!("{other:?}"),
            }
        }
        known
    })
}

struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Known>,
}

async fn start(cluster: &Cluster, id: u8, known: Known) -> Writer {
    let stop = Arc::new(AtomicBool::new(false));
    Writer { task: write(format!("w{id}"), cluster.sessions(id), known, stop.clone()), stop }
}

impl Writer {
    async fn end(self) -> Known {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("no panic")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_is_there_at_the_end() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::start(4).await;
    let mut writers = BTreeMap::new();
    for id in 0..4 {
        writers.insert(id, start(&cluster, id, Known::default()).await);
    }
    for round in 0..8 {
        sleep(Duration::from_millis(random.random_range(100..400))).await;
        let id = random.random_range(0..4_u8);
        let action = random.random_range(0..6);
        println!("round {round}: action {action} on {id}");
        match action {
            0 => cluster.network.tear(&format!("shop-{id}")),
            1 => {
                cluster.cut_off(id, true);
                sleep(Duration::from_millis(random.random_range(50..1500))).await;
                cluster.cut_off(id, false);
            }
            2 => {
                cluster.arbiter.set_away(true);
                sleep(Duration::from_millis(random.random_range(50..800))).await;
                cluster.arbiter.set_away(false);
            }
            3 | 4 => {
                // One copy bears the loss of one member; another may only be lost once everything is protected again.
                cluster.settled(4).await;
                let provable = action == 3;
                if provable {
                    cluster.kill(id)
                } else {
                    cluster.lose(id)
                }
                let known = writers.remove(&id).expect("writes").end().await;
                cluster.add(id).await;
                writers.insert(id, start(&cluster, id, known).await);
                cluster.settled(4).await;
            }
            _ => {
                cluster.members[&id].member.control().finish().await.expect("runs");
                let mut leaver = cluster.members.remove(&id).expect("runs");
                timeout(Duration::from_secs(20), leaver.member.ended()).await.expect("leaves in time");
                drop(leaver);
                let known = writers.remove(&id).expect("writes").end().await;
                cluster.add(id).await;
                writers.insert(id, start(&cluster, id, known).await);
            }
        }
        if random.random_bool(0.5) {
            cluster.settled(4).await;
        }
    }
    cluster.settled(4).await;
    let mut acknowledged_writes = 0;
    for (id, writer) in writers {
        for (session, (acknowledged, sent)) in writer.end().await {
            acknowledged_writes += 1;
            let key = Bytes::from(format!("w{id}:{session}"));
            let found = match cluster.sessions(0).execute(key, Command::Get).await {
                Reply::Bytes(value) => String::from_utf8_lossy(&value).parse().expect("a number"),
                Reply::Nil => 0,
                other => panic!("{other:?}"),
            };
            assert!((acknowledged..=sent).contains(&found), "w{id}:{session} is {found}, acknowledged was {acknowledged}, sent {sent}");
        }
    }
    assert!(acknowledged_writes >= 4 * SESSIONS as usize, "only {acknowledged_writes}");
}
