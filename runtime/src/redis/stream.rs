//! The socket of a client. Of the kernel's notifications only those are asked for that are needed: a unix socket that is registered for writing, too, tells
//! each time that the client has read a reply, and would wake its connection a second time for each command. And system calls are made without the detour
//! through libc, whose ones may be cancelled by another thread, which costs each of them something.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// The most that is read in one go.
const CHUNK: usize = 64 << 10;

thread_local! {
    /// Where the kernel puts what is read before it is appended to what a connection has: that one's memory need not be cleared for it.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// Both ends of a connected socket that does not block. To be called where the connection is to be served.
///
/// # Errors
/// The kernel refuses to tell of it.
pub(super) fn split(socket: OwnedFd) -> io::Result<(Reader, Writer)> {
    let socket = Arc::new(watch(socket, Interest::READABLE)?);
    Ok((Reader { socket: socket.clone() }, Writer { socket, is_full: None }))
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe, for the sake of types that may lose their descriptor; one that is owned is not lost"
)]
fn watch(socket: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(socket, interest)
}

/// What the client sends.
#[derive(Debug)]
pub(super) struct Reader {
    socket: Arc<AsyncFd<OwnedFd>>,
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let wanted = buffer.remaining().min(CHUNK);
            loop {
                let mut ready = ready!(self.socket.poll_read_ready(cx))?;
                match recv(self.socket.get_ref(), &mut scratch[..wanted], RecvFlags::empty()) {
                    Ok((read, _)) => {
                        if 0 < read && read < wanted {
                            // Nothing is left, and whatever comes is told: no need to ask. Not so at the end, which has been told already.
                            ready.clear_ready();
                        }
                        buffer.put_slice(&scratch[..read]);
                        return Poll::Ready(Ok(()));
                    }
                    Err(Errno::AGAIN) => ready.clear_ready(),
                    Err(Errno::INTR) => {}
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
        })
    }
}

/// What the client is sent.
#[derive(Debug)]
pub(super) struct Writer {
    socket: Arc<AsyncFd<OwnedFd>>,
    /// While the client does not take what it is sent: registered for writing.
    is_full: Option<AsyncFd<OwnedFd>>,
}

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            if let Some(full) = &self.is_full {
                ready!(full.poll_write_ready(cx))?.retain_ready();
            }
            match send(self.socket.get_ref(), bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    self.is_full = None;
                    return Poll::Ready(Ok(sent));
                }
                Err(Errno::AGAIN) => match &self.is_full {
                    Some(full) => ready!(full.poll_write_ready(cx))?.clear_ready(),
                    None => {
                        let again = self.socket.get_ref().try_clone()?;
                        self.is_full = Some(watch(again, Interest::WRITABLE)?);
                    }
                },
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(self.socket.get_ref(), Shutdown::Write).map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    fn pair() -> (Reader, Writer, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket");
        ours.set_nonblocking(true).expect("a socket");
        let (reader, writer) = split(ours.into()).expect("a socket");
        (reader, writer, theirs)
    }

    #[tokio::test]
    async fn what_is_sent_arrives_and_then_its_end() {
        let (mut reader, _writer, mut theirs) = pair();
        let mut seen = [0; 16];
        assert!(reader.read(&mut seen).now_or_never().is_none(), "nothing is there");
        for _ in 0..3 {
            io::Write::write_all(&mut theirs, b"four").expect("there is room");
            assert_eq!(timeout(Duration::from_secs(10), reader.read(&mut seen)).await.expect("it was sent").expect("it is there"), 4);
        }
        // The end comes with the last bytes: nothing more is told after them.
        io::Write::write_all(&mut theirs, b"last").expect("there is room");
        drop(theirs);
        assert_eq!(timeout(Duration::from_secs(10), reader.read(&mut seen)).await.expect("it was sent").expect("it is there"), 4);
        assert_eq!(timeout(Duration::from_secs(10), reader.read(&mut seen)).await.expect("it is over").expect("no error"), 0);
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_holds_up_the_writer_until_it_does() {
        let (_reader, mut writer, theirs) = pair();
        let bytes = vec![7; 4 << 20];
        let read = tokio::task::spawn_blocking(move || {
            std::thread::sleep(Duration::from_millis(100));
            let mut seen = Vec::new();
            io::Read::read_to_end(&mut &theirs, &mut seen).map(|_| seen)
        });
        timeout(Duration::from_secs(10), writer.write_all(&bytes)).await.expect("it is read").expect("no error");
        assert!(writer.is_full.is_none());
        writer.shutdown().await.expect("it is open");
        assert_eq!(read.await.expect("it ends").expect("no error"), bytes);
    }
}
