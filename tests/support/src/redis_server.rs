//! A real redis-server, to compare with; nothing of it on disk.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// How long it may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// The unix socket, in its folder.
const SOCKET: &str = "redis.sock";

/// The process, killed when it is dropped.
#[derive(Debug)]
pub struct RedisServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub pid: u32,
    _child: Child,
    folder: tempfile::TempDir,
}

impl RedisServer {
    /// Starts it with these arguments besides its own.
    ///
    /// # Errors
    /// When it is not installed, or does not listen.
    pub async fn start(more: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new("redis-server")
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(more)
            .arg("--dir")
            .arg(folder.path())
            .arg("--unixsocket")
            .arg(folder.path().join(SOCKET))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("redis-server cannot be started (apt-get install redis-server)")?;
        let pid = child.id().context("redis-server ended at once")?;
        let begun = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "redis-server does not listen on {address}");
            sleep(Duration::from_millis(10)).await;
        }
        Ok(Self { address, pid, _child: child, folder })
    }

    /// Its unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }
}
