//! A TCP proxy before each member, so that a test can tear connections or let them fall silent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    silent: watch::Sender<bool>,
    open: Arc<Mutex<Vec<AbortHandle>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let (silent, hush) = watch::channel(false);
        let open: Arc<Mutex<Vec<AbortHandle>>> = Arc::default();
        let tasks = open.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (inside, _) = listener.accept().await.expect("accepts");
                // Nobody behind it: the connection ends at once, as a refused one would.
                let Ok(outside) = TcpStream::connect(target).await else { continue };
                let ((from_a, to_a), (from_b, to_b)) = (inside.into_split(), outside.into_split());
                let forth = tokio::spawn(carry(from_a, to_b, hush.clone()));
                let back = tokio::spawn(carry(from_b, to_a, hush.clone()));
                tasks.lock().expect("unpoisoned").extend([forth.abort_handle(), back.abort_handle()]);
            }
        });
        Self { addr, silent, open, accepting }
    }

    /// Tears all connections; new ones can be made at once.
    pub(crate) fn tear(&self) {
        self.open.lock().expect("unpoisoned").drain(..).for_each(|task| task.abort());
    }

    /// From now on nothing gets through, and nobody is told; or everything does again.
    pub(crate) fn set_silent(&self, silent: bool) {
        self.silent.send_replace(silent);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.tear();
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut silent: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if silent.wait_for(|silent| !silent).await.is_err() || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
