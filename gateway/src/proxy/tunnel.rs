//! A change of protocol (WebSocket and others): once both sides have agreed, bytes go back and forth until one side ends or nothing comes for too
//! long. What flows is none of the gateway's business.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tracing::debug;

use crate::clock;
use crate::gateway::Gateway;
use crate::member::Lease;

/// How long both sides may take to leave HTTP, after the member has agreed.
const AGREEMENT: Duration = Duration::from_secs(10);

/// Starts a tunnel between a client and the member of the lease. It counts as outstanding there while it lasts.
pub(crate) fn start(gateway: &Arc<Gateway>, lease: Lease, client: OnUpgrade, member: OnUpgrade) {
    let (gauge, idle, cut) = (gateway.meters.tunnels.clone(), gateway.limits.tunnel_idle, gateway.cut.clone());
    gateway.tunnels.spawn(async move {
        let route = &lease.member().route;
        let both = tokio::time::timeout(AGREEMENT, async { tokio::try_join!(client, member) }).await;
        let (client, member) = match both {
            Ok(Ok(both)) => both,
            Ok(Err(error)) => return debug!(member = route, %error, "a tunnel did not come about"),
            Err(_) => return debug!(member = route, "a tunnel did not come about in time"),
        };
        gauge.increment(1.0);
        let last = Arc::new(AtomicU64::new(clock::now()));
        let mut client = Watched { io: TokioIo::new(client), last: last.clone() };
        let mut member = Watched { io: TokioIo::new(member), last: last.clone() };
        tokio::select! {
            ended = copy_bidirectional(&mut client, &mut member) => debug!(member = route, ?ended, "a tunnel ended"),
            () = cut.cancelled() => debug!(member = route, "a tunnel was cut"),
            () = rests(&last, idle) => debug!(member = route, ?idle, "a tunnel rested for too long"),
        }
        gauge.decrement(1.0);
    });
}

/// Returns when nothing has been read for `idle`.
async fn rests(last: &AtomicU64, idle: Duration) {
    loop {
        let left = idle.saturating_sub(clock::since(last.load(Relaxed)));
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}

/// Notes when something was last read.
struct Watched<T> {
    io: T,
    last: Arc<AtomicU64>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            self.last.store(clock::now(), Relaxed);
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
