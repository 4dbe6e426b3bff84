//! A cable: a TCP proxy that carries everything until it is cut; from then on nothing gets through, and nobody is told.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Debug)]
pub(super) struct Cable {
    /// Where it begins.
    pub(super) address: SocketAddr,
    is_cut: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Cable {
    pub(super) async fn lay(from: SocketAddr, to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(from).await.with_context(|| format!("cannot listen on {from}"))?;
        let address = listener.local_addr()?;
        let (is_cut, cut) = watch::channel(false);
        let accepting = tokio::spawn(async move {
            while let Ok((inside, _)) = listener.accept().await {
                tokio::spawn(connect(inside, to, cut.clone()));
            }
        });
        Ok(Self { address, is_cut, accepting })
    }

    pub(super) fn set_cut(&self, is_cut: bool) {
        self.is_cut.send_replace(is_cut);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connect(inside: TcpStream, to: SocketAddr, mut cut: watch::Receiver<bool>) {
    if cut.wait_for(|cut| !cut).await.is_err() {
        return;
    }
    // Nobody behind it: the connection ends at once.
    let Ok(outside) = TcpStream::connect(to).await else { return };
    // As the members do: otherwise a small frame waits here for the acknowledgement of the one before.
    if inside.set_nodelay(true).is_err() || outside.set_nodelay(true).is_err() {
        return;
    }
    let ((from_a, to_a), (from_b, to_b)) = (inside.into_split(), outside.into_split());
    // When one direction ends, so does the other: a member that was killed closes its end of both.
    tokio::select! {
        () = carry(from_a, to_b, cut.clone()) => {}
        () = carry(from_b, to_a, cut) => {}
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cut: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if cut.wait_for(|cut| !cut).await.is_err() || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
