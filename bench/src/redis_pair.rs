//! The peer: a redis-server with one replica, nothing of it on disk.

use std::time::{Duration, Instant};

use holdfast_support::redis_server::RedisServer;
use tokio::time::sleep;

use crate::client::Connection;

/// How long it may take until the replica follows.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct RedisPair {
    pub(crate) primary: RedisServer,
    pub(crate) replica: RedisServer,
}

impl RedisPair {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let diskless = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"];
        let primary = RedisServer::start(&diskless).await?;
        let port = primary.address.port().to_string();
        let replicating = ["--replicaof", "127.0.0.1", &port, "--repl-diskless-load", "swapdb"];
        let replica = RedisServer::start(&[diskless.as_slice(), &replicating].concat()).await?;
        let begun = Instant::now();
        let mut connection = Connection::open(replica.address).await?;
        while !connection.tell(&[b"ROLE"]).await?.contains("connected") {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "the Redis replica does not follow");
            sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { primary, replica })
    }
}
