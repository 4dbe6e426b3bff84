//! The server: accepts clients, within a limit, gives their requests to the proxy, and ends without failing one. At the end it first goes on for a
//! moment as a lame duck, because the withdrawal of its endpoint takes its time to reach everybody, and asks its clients to go elsewhere; then it
//! accepts no more, and finishes what runs.

mod client_io;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::gateway::Gateway;
use crate::member::connect::tune;
use crate::proxy;
use crate::proxy::relay::{RelayError, ResponseBody};
use crate::serve::client_io::{ClientIo, Phase};

/// Bytes read or written at once; a request head must fit in.
const BUFFER: usize = 128 * 1024;

/// After a failed accept: the cause (no file descriptors) does not pass at once.
const PAUSE: Duration = Duration::from_millis(100);

/// File descriptors for everything that is not a client and its member's connection.
const RESERVED: u64 = 256;

/// Serves clients until `shutdown`, and then until all is finished, or has had its time.
pub async fn serve(gateway: Arc<Gateway>, listener: TcpListener, shutdown: CancellationToken) {
    let tasks = TaskTracker::new();
    // From then on a connection ends with the response that runs.
    let finish = CancellationToken::new();
    let _cut_in_the_end = gateway.cut.clone().drop_guard();
    let lame = async {
        shutdown.cancelled().await;
        gateway.set_closing();
        tokio::time::sleep(gateway.limits.lame_duck).await;
    };
    tokio::select! {
        () = lame => {}
        () = accept(&gateway, &listener, &tasks, &finish) => {}
    }
    drop(listener);
    finish.cancel();
    tasks.close();
    gateway.tunnels.close();
    info!(connections = tasks.len(), tunnels = gateway.tunnels.len(), "no longer accepting; finishing what runs");
    let all = async {
        tasks.wait().await;
        gateway.tunnels.wait().await;
    };
    let mut all = std::pin::pin!(all);
    if tokio::time::timeout(gateway.limits.finish, &mut all).await.is_err() {
        warn!(connections = tasks.len(), tunnels = gateway.tunnels.len(), "cutting what has not finished in time");
        gateway.cut.cancel();
        all.await;
    }
}

async fn accept(gateway: &Arc<Gateway>, listener: &TcpListener, tasks: &TaskTracker, finish: &CancellationToken) {
    let most = connections(gateway.limits.connections);
    let places = Arc::new(Semaphore::new(most));
    loop {
        // Before the last places go, connections that only rest must go: each ends with its next response.
        gateway.set_crowded(places.available_permits() < most / 10);
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, peer)) => {
                tasks.spawn(connection(gateway.clone(), stream, peer, place, finish.clone()));
            }
            Err(error) if is_the_clients(&error) => debug!(%error, "a client went away before it was accepted"),
            Err(error) => {
                warn!(%error, "failed to accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(gateway: Arc<Gateway>, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit, finish: CancellationToken) {
    let _place = place;
    tune(&stream);
    let gauge = gateway.meters.clients.clone();
    gauge.increment(1.0);
    let phase = Phase::default();
    let io = ClientIo::new(stream, phase.clone(), gateway.limits.clone());
    let limits = gateway.limits.clone();
    let service = service_fn(|request| {
        let (gateway, phase) = (gateway.clone(), phase.clone());
        async move {
            phase.busy();
            let response = proxy::handle(&gateway, peer, request).await;
            // What takes over after a change of protocol has no requests and no heads.
            let phase = Some(phase).filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS);
            Ok::<_, Infallible>(response.map(|body| Tracked { body, phase }))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.client_idle)
        .max_header_size(limits.head_bytes)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let run = async {
        tokio::select! {
            ended = &mut connection => return ended,
            () = finish.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    tokio::select! {
        ended = run => if let Err(error) = ended {
            debug!(%peer, %error, "a client's connection ended early");
        },
        () = gateway.cut.cancelled() => debug!(%peer, "a client's connection was cut"),
    }
    gauge.decrement(1.0);
}

/// A response's body that tells the connection's phase when it has been taken. It says nothing of its own.
struct Tracked {
    body: ResponseBody,
    phase: Option<Phase>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if let Some(phase) = &self.phase {
            phase.idle();
        }
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A client that left, or a network error on its connection, concerns nobody else.
fn is_the_clients(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionReset)
}

/// The number of clients for which there are file descriptors, each with a member's connection, at most `wanted`. Container runtimes set a low soft
/// limit for programs that still use `select`; this one does not, so it takes what the hard limit allows.
fn connections(wanted: usize) -> usize {
    let available = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let needed = hard.min(u64::try_from(wanted).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(RESERVED));
        if soft < needed {
            setrlimit(Resource::RLIMIT_NOFILE, needed, hard)?;
        }
        Ok(soft.max(needed))
    });
    match available {
        Ok(files) => {
            let places = usize::try_from(files.saturating_sub(RESERVED) / 2).unwrap_or(usize::MAX).clamp(1, wanted.max(1));
            if places < wanted {
                warn!(files, connections = places, wanted, "few file descriptors are allowed: fewer clients are served at once");
            }
            places
        }
        Err(error) => {
            warn!(%error, "failed to read or raise the limit of open files");
            wanted.max(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_clients_is_what_the_open_files_allow() {
        assert_eq!(connections(1), 1);
        assert!(connections(usize::MAX) < usize::MAX);
    }
}
