//! Links over several connections, compressed, while the network tears them.

use std::time::Duration;

use bytes::Bytes;
use holdfast_core::engine::Compression;
use holdfast_core::{Command, Reply};
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, key, set};

#[tokio::test(flavor = "multi_thread")]
async fn several_compressed_connections_lose_nothing_while_they_are_torn() {
    let cluster = Cluster::start_with(3, |config| {
        config.connections = 3;
        config.compression = Compression::Lz4;
    })
    .await;
    let mut writers = Vec::new();
    let began = Instant::now();
    for id in 0..3_u8 {
        let sessions = cluster.sessions(id);
        writers.push(tokio::spawn(async move {
            let value = Bytes::from(format!("{id}").repeat(30_000));
            let mut written = 0;
            for n in 0.. {
                if began.elapsed() > Duration::from_secs(3) {
                    break;
                }
                written += 1;
                let field = Bytes::from(format!("{id}-{n}"));
                let reply = sessions.execute(key(0), Command::HashSet { fields: vec![(field, Bytes::new())] }).await;
                assert_eq!(reply, Reply::Int(1));
                assert_eq!(sessions.execute(key(100 + n % 50), set(value.clone())).await, Reply::Ok);
            }
            written
        }));
    }
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        assert!(began.elapsed() < Duration::from_secs(60), "the writers hang");
        sleep(Duration::from_millis(120)).await;
        cluster.network.tear("shop-1");
    }
    let mut written = 0;
    for writer in writers {
        written += writer.await.expect("no panic");
    }
    let Reply::Map(fields) = cluster.sessions(1).execute(key(0), Command::HashGetAll).await else { panic!("a map") };
    assert_eq!(fields.len(), written);
    let mut links = Vec::new();
    while began.elapsed() < Duration::from_secs(70) {
        links = cluster.members[&0].member.control().links().await.expect("answers");
        if links.iter().all(|link| link.connections.iter().filter(|lane| lane.is_ready).count() == 3) {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(links.iter().all(|link| link.connections.len() == 3 && link.is_packed), "{links:?}");
    let torn = links.iter().find(|link| link.peer.id.get() == 1).expect("a link");
    assert!(torn.counters.sent > 100 && torn.counters.received > 100 && torn.counters.resent > 0, "{torn:?}");
    assert_eq!((torn.counters.not_transferred, torn.early_bytes), (0, 0));
}
