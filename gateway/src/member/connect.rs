//! A fresh connection to a member, and what it means when there is none.

use std::io::{self, ErrorKind};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tracing::debug;

use crate::limits::Limits;
use crate::member::Member;
use crate::member::pool::Connection;
use crate::member::socket::{Socket, Unanswered};

/// Bytes of a response head, and of what is read and written at once.
const BUFFER: usize = 128 * 1024;

/// Why there is no connection. Nothing of a request has been sent.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    /// Nothing listens there: the process is gone or not yet up.
    #[error("failed to connect to member `{route}`: {source}")]
    Refused { route: String, source: io::Error },
    /// No answer: the node is cut off, or the member's backlog is full.
    #[error("failed to connect to member `{route}`: no answer within {limit:?}")]
    Timeout { route: String, limit: Duration },
    /// This process or its machine is at a limit; the member may be well.
    #[error("failed to open a connection to member `{route}` from here: {source}")]
    Here { route: String, source: io::Error },
}

impl ConnectError {
    /// The label in metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Timeout { .. } => "connect-timeout",
            Self::Here { .. } => "local",
        }
    }
}

/// Opens a socket to the member's application.
pub(crate) async fn dial(member: &Member, limits: &Limits) -> Result<TcpStream, ConnectError> {
    let route = || member.route.clone();
    let stream = match tokio::time::timeout(limits.connect, TcpStream::connect(member.addr)).await {
        Err(_) => return Err(ConnectError::Timeout { route: route(), limit: limits.connect }),
        Ok(Err(source)) if is_ours(&source) => return Err(ConnectError::Here { route: route(), source }),
        Ok(Err(source)) if source.kind() == ErrorKind::TimedOut => {
            return Err(ConnectError::Timeout { route: route(), limit: limits.connect });
        }
        Ok(Err(source)) => return Err(ConnectError::Refused { route: route(), source }),
        Ok(Ok(stream)) => stream,
    };
    tune(&stream);
    Ok(stream)
}

/// Opens a connection and starts the task that drives it. The task ends when the connection does, or when nobody can send on it any more.
pub(crate) async fn open(member: &Member, limits: &Limits) -> Result<Connection, ConnectError> {
    // Read first: a purge during the handshake is meant for this connection too.
    let round = member.pool.round();
    let stream = dial(member, limits).await?;
    member.connections.increment(1);
    let unanswered = Unanswered::default();
    let socket = TokioIo::new(Socket::new(stream, unanswered.clone()));
    let handshake = http1::Builder::new().max_buf_size(BUFFER).handshake(socket).await;
    let (sender, connection) =
        handshake.map_err(|error| ConnectError::Refused { route: member.route.clone(), source: io::Error::other(error) })?;
    let route = member.route.clone();
    let (mut running, ended) = oneshot::channel();
    let given_up = unanswered.clone();
    tokio::spawn(async move {
        let abandoned = async {
            running.closed().await;
            // Somebody may still read the response, or speak another protocol.
            if !given_up.is_set() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            result = connection.with_upgrades() => if let Err(error) = result {
                debug!(member = route, %error, "a connection to a member ended early");
            },
            // Bytes that the kernel does not take would keep the task, and with it the request, until it does.
            () = abandoned => debug!(member = route, "a request was given up"),
        }
    });
    Ok(Connection::new(sender, ended, round, unanswered))
}

/// A dead peer behind a silent network is noticed in some 11 s even where no control stream tells (tunnels, endless responses).
pub(crate) fn tune(stream: &TcpStream) {
    let set = || -> Result<(), io::Error> {
        stream.set_nodelay(true)?;
        setsockopt(stream, sockopt::KeepAlive, &true)?;
        setsockopt(stream, sockopt::TcpKeepIdle, &5)?;
        setsockopt(stream, sockopt::TcpKeepInterval, &2)?;
        setsockopt(stream, sockopt::TcpKeepCount, &3)?;
        // Without it, bytes that nobody acknowledges keep a connection for a quarter of an hour.
        setsockopt(stream, sockopt::TcpUserTimeout, &60_000)?;
        Ok(())
    };
    if let Err(error) = set() {
        // It fails only on a socket that is already dead, which the first read or write will say.
        debug!(%error, "failed to set options of a socket");
    }
}

/// Errors of this process (no file descriptors, no ports, no memory): they say nothing about the member.
fn is_ours(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM | Errno::EADDRNOTAVAIL | Errno::EACCES | Errno::EPERM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_peers_failures_count_against_it() {
        use nix::errno::Errno;
        for errno in [Errno::EMFILE, Errno::EADDRNOTAVAIL] {
            assert!(is_ours(&io::Error::from_raw_os_error(errno as i32)));
        }
        for errno in [Errno::ECONNREFUSED, Errno::EHOSTUNREACH, Errno::ECONNRESET, Errno::ENETUNREACH] {
            assert!(!is_ours(&io::Error::from_raw_os_error(errno as i32)));
        }
    }
}
