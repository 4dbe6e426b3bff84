//! A client's socket with the two limits that hyper does not have: on a request head that trickles in, and on a response that is not taken.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::clock::{self, Millis};
use crate::limits::Limits;

/// What a connection is doing, told by the requests on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phase(Arc<AtomicU64>);

/// No request is there, and nothing of one.
const IDLE: Millis = 0;
/// A request is being served. Any other value is the moment when a request's first byte came, plus two.
const BUSY: Millis = 1;

impl Phase {
    /// A request has come in whole, as far as its head goes.
    pub(crate) fn busy(&self) {
        self.0.store(BUSY, Relaxed);
    }

    /// Its response has been handed over.
    pub(crate) fn idle(&self) {
        self.0.store(IDLE, Relaxed);
    }

    /// Bytes have come: how long a request head has been coming, if one is.
    fn heard(&self, now: Millis) -> Duration {
        match self.0.load(Relaxed) {
            BUSY => Duration::ZERO,
            IDLE => {
                self.0.store(now + 2, Relaxed);
                Duration::ZERO
            }
            since => Duration::from_millis((now + 2).saturating_sub(since)),
        }
    }
}

/// The socket.
pub(crate) struct ClientIo<T> {
    io: T,
    phase: Phase,
    limits: Arc<Limits>,
    /// Runs while a write waits for the client.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T> ClientIo<T> {
    pub(crate) fn new(io: T, phase: Phase, limits: Arc<Limits>) -> Self {
        Self { io, phase, limits, stalled: None }
    }

    fn watch<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall = self.limits.client_stall;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        timer.as_mut().poll(cx).map(|()| Err(io::Error::new(ErrorKind::TimedOut, "the client does not take its response")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ClientIo<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if matches!(read, Poll::Ready(Ok(()))) && buf.filled().len() > before && self.phase.heard(clock::now()) > self.limits.request_head {
            return Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, "the request's head came too slowly")));
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ClientIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn limits() -> Arc<Limits> {
        let short = Duration::from_millis(40);
        Arc::new(Limits { request_head: short, client_stall: short, ..Limits::default() })
    }

    #[tokio::test]
    async fn a_trickling_head_is_cut_and_a_slow_body_is_not() {
        let (near, mut far) = tokio::io::duplex(64);
        let phase = Phase::default();
        let mut io = ClientIo::new(near, phase.clone(), limits());
        let mut buf = [0; 8];
        let mut trickle = async |io: &mut ClientIo<tokio::io::DuplexStream>| {
            for _ in 0..4 {
                far.write_all(b"x").await.expect("open");
                assert_ne!(io.read(&mut buf).await?, 0);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok::<_, io::Error>(())
        };
        phase.busy();
        trickle(&mut io).await.expect("a body may take its time");
        phase.idle();
        let error = trickle(&mut io).await.expect_err("a head may not");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_connection_may_rest_between_two_requests() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut io = ClientIo::new(near, Phase::default(), limits());
        tokio::time::sleep(Duration::from_millis(80)).await;
        far.write_all(b"GET").await.expect("open");
        let mut buf = [0; 8];
        assert_eq!(io.read(&mut buf).await.expect("in time"), 3);
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut() {
        let (near, _far) = tokio::io::duplex(8);
        let mut io = ClientIo::new(near, Phase::default(), limits());
        let error = io.write_all(&[0; 64]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
