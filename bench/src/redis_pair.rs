//! The peer: a redis-server with one replica, nothing of it on disk.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::client::Connection;

/// How long it may take until the replica follows.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct RedisPair {
    pub(crate) primary: Server,
    pub(crate) replica: Server,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    _child: Child,
    _folder: tempfile::TempDir,
}

impl RedisPair {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let primary = Server::start(&[]).await?;
        let port = primary.address.port().to_string();
        let replica = Server::start(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-load", "swapdb"]).await?;
        let begun = Instant::now();
        let mut connection = Connection::open(replica.address).await?;
        while !connection.tell(&[b"ROLE"]).await?.contains("connected") {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "the Redis replica does not follow");
            sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { primary, replica })
    }
}

impl Server {
    async fn start(more: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new("redis-server")
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"])
            .args(more)
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("redis-server cannot be started (apt-get install redis-server)")?;
        let pid = child.id().context("redis-server ended at once")?;
        let begun = Instant::now();
        while Connection::open(address).await.is_err() {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "redis-server does not listen on {address}");
            sleep(Duration::from_millis(10)).await;
        }
        Ok(Self { address, pid, _child: child, _folder: folder })
    }
}
