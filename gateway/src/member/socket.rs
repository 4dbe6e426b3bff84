//! The socket of a connection to a member. When it is given up while a request on it has no answer, what has not been delivered yet is thrown away:
//! the kernel would go on sending it for a minute, and a node that comes back would carry out a request whose client was told long ago that
//! nobody knows what became of it, and who has gone on elsewhere.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tracing::debug;

/// Whether a request is on the connection that has no answer yet: written where requests are sent, read when the socket is dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unanswered(Arc<AtomicBool>);

impl Unanswered {
    pub(crate) fn set(&self, unanswered: bool) {
        self.0.store(unanswered, Ordering::Release);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A TCP connection to a member.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    unanswered: Unanswered,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, unanswered: Unanswered) -> Self {
        Self { stream, unanswered }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.unanswered.is_set()
            && let Err(error) = self.stream.set_zero_linger()
        {
            // It fails only on a socket that is dead already.
            debug!(%error, "failed to set the lingering of a socket");
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What the member reads when a socket is given up with more in it than the member has taken.
    async fn given_up(unanswered: bool) -> io::Result<usize> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let flag = Unanswered::default();
        flag.set(unanswered);
        let mut socket = Socket::new(TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected"), flag);
        let (mut member, _) = listener.accept().await.expect("accepted");
        let chunk = vec![0; 1 << 20];
        let mut sent = 0;
        // Until both kernels' buffers are full.
        while let Ok(written) = tokio::time::timeout(std::time::Duration::from_millis(100), socket.write(&chunk)).await {
            sent += written?;
        }
        drop(socket);
        let mut received = Vec::new();
        member.read_to_end(&mut received).await?;
        assert_eq!(received.len(), sent, "all of it or an error");
        Ok(sent)
    }

    #[tokio::test]
    async fn what_is_answered_is_delivered_to_its_end() {
        assert!(given_up(false).await.is_ok_and(|sent| sent > 0));
    }

    #[tokio::test]
    async fn what_is_given_up_unanswered_is_not_delivered_later() {
        let error = given_up(true).await.expect_err("the rest is thrown away");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
