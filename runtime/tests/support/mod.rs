//! What the tests of the Redis front door share: sessions in memory, a front door over them, and a client that sees every byte.

// Each test file is a program of its own and uses a part of this.
#![allow(dead_code)]

pub(crate) mod client;
pub(crate) mod memory;

use holdfast_runtime::redis::{Server, Sessions, Settings, Users};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A front door that is attended; it ends with this.
pub(crate) struct Door {
    /// Where.
    pub(crate) address: std::net::SocketAddr,
    /// Ends it in order.
    pub(crate) shutdown: CancellationToken,
    /// Its task.
    pub(crate) task: JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens a front door on a free port of loopback.
pub(crate) async fn open<S: Sessions>(sessions: S, settings: Settings) -> Door {
    let server = Server::bind(Settings { listen: ([127, 0, 0, 1], 0).into(), ..settings }).await.expect("a free port");
    let (address, shutdown) = (server.address(), CancellationToken::new());
    let task = tokio::spawn(server.run(sessions, shutdown.clone()));
    Door { address, shutdown, task }
}

/// The users `default`, whose password is `secret`, and `shop`, with `other`, and the folder with their file.
pub(crate) async fn users() -> (Users, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("users");
    let lines = "default:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n\
                 shop:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa\n";
    std::fs::write(&path, lines).expect("a file");
    (Users::open(&path).await.expect("right"), folder)
}
