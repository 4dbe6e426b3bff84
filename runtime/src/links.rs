//! Connections between members: it listens, dials when the engine says so, and carries whole frames. Which connection belongs to whom, and what to
//! do about a lost one, is the engine's business.

mod connection;
mod inbox;
mod outbox;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::NodeId;
use holdfast_core::engine::ConnId;
use holdfast_core::wire::Frame;
use metrics::counter;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, warn};

use crate::peers::PeerResolver;
use crate::tls::{Side, Tls};
use connection::Connection;
use outbox::Outbox;

/// How long a TCP handshake may take. A lost first packet is sent again only after a second: it is better to begin anew.
const DIAL_TIMEOUT: Duration = Duration::from_millis(500);

/// Connections that were accepted and are open, for each one that a link has: four times what the largest cluster needs, because a peer that reconnects
/// holds two for a moment.
const ACCEPTED: usize = 256;

/// How much the kernel takes beyond what the network does, in bytes: what is in its hands cannot be overtaken by a sign of life.
const UNSENT: u32 = 128 << 10;

/// What happened on the links.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A connection stands; this end has made it if `dialed`.
    Opened { conn: ConnId, dialed: bool, handle: ConnHandle },
    /// No connection could be made, or the other end closed it before it had said who it is: so does one that is about to end.
    DialFailed { peer: NodeId, refused: bool },
    /// Bytes came in, and with them these frames, in this order; none if a long one is not all there yet.
    Received { conn: ConnId, frames: Vec<Frame> },
    /// The connection is over.
    Closed { conn: ConnId },
}

/// Who is told what happens on the links, by the task of the connection where it happens: while it is told, that connection is not read, and TCP slows the
/// peer down. It says whether there is still somebody who wants to know.
pub(crate) type Events = Arc<dyn Fn(LinkEvent) -> bool + Send + Sync>;

/// The sending side of a connection. Dropping it cuts the connection at once.
#[derive(Debug)]
pub(crate) struct ConnHandle {
    outbox: Arc<Outbox>,
    _cut: DropGuard,
}

impl ConnHandle {
    /// Queues one frame; it leaves after the next [`ConnHandle::flush`]. False when so much waits already that the peer must be stuck: the
    /// connection is of no more use then.
    pub(crate) fn send(&self, bytes: bytes::Bytes) -> bool {
        self.outbox.push(bytes)
    }

    /// Wakes the writer; called once for all that was queued in one go.
    pub(crate) fn flush(&self) {
        self.outbox.wake();
    }

    /// Bytes that were not yet written to the socket.
    pub(crate) fn queued(&self) -> u64 {
        self.outbox.queued()
    }

    /// Sends what is queued, within a short time, then ends the connection.
    pub(crate) fn close(self) {
        let Self { outbox, _cut } = self;
        outbox.close();
        // The connection ends itself after the rest is sent; cutting it here would lose the rest.
        _cut.disarm();
    }
}

/// What the links need to know.
#[derive(Clone, Debug)]
pub(crate) struct LinkSettings {
    /// How long a connection may be silent before it is taken for dead: some heartbeats and some patience.
    pub(crate) idle: Duration,
    /// How many bytes may wait on one connection.
    pub(crate) queue_bytes: u64,
    /// How many connections a link has at the most.
    pub(crate) connections: u8,
    /// Who the other ends have to be; without it, links are plain TCP.
    pub(crate) tls: Option<Tls>,
}

/// All connections of this member. Dropping it ends them.
pub(crate) struct Links {
    settings: LinkSettings,
    resolver: Arc<dyn PeerResolver>,
    events: Events,
    last: u64,
    /// Where connections run, whoever asks for them.
    runtime: Handle,
    tasks: JoinSet<()>,
}

impl Links {
    /// Begins to accept connections. Events go into `events`.
    pub(crate) fn start(settings: LinkSettings, resolver: Arc<dyn PeerResolver>, listener: TcpListener, events: Events) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, settings.clone(), events.clone()));
        // Even numbers are for dialed connections, odd ones for accepted ones.
        Self { settings, resolver, events, last: 0, runtime: Handle::current(), tasks }
    }

    /// Connects to a member; the outcome is an event.
    pub(crate) fn dial(&mut self, peer: NodeId, name: String) {
        while self.tasks.try_join_next().is_some() {}
        self.last += 2;
        let (conn, settings) = (ConnId(self.last), self.settings.clone());
        let (resolver, events) = (self.resolver.clone(), self.events.clone());
        let dial = async move {
            match connect(&*resolver, &name).await {
                Ok((stream, addr)) => {
                    if !carry(conn, Some(peer), stream, addr, &settings, &events).await {
                        events(LinkEvent::DialFailed { peer, refused: false });
                    }
                }
                Err(failure) => {
                    debug!(peer = name, %failure, "no connection");
                    counter!("holdfast_link_dial_failures_total").increment(1);
                    // The member may have ended; then nobody needs to know.
                    events(LinkEvent::DialFailed { peer, refused: failure.refused() });
                }
            }
        };
        self.tasks.spawn_on(dial, &self.runtime);
    }
}

/// Why a member could not be reached.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error(transparent)]
    Address(#[from] crate::peers::PeerError),
    #[error("no answer from {0} within {DIAL_TIMEOUT:?}")]
    Timeout(SocketAddr),
    #[error("failed to connect to {0}: {1}")]
    Connect(SocketAddr, io::Error),
}

impl DialError {
    /// Whether the peer's machine said that nobody listens there: that is news, silence is not.
    fn refused(&self) -> bool {
        matches!(self, Self::Connect(_, error) if error.kind() == io::ErrorKind::ConnectionRefused)
    }
}

async fn connect(resolver: &dyn PeerResolver, name: &str) -> Result<(TcpStream, SocketAddr), DialError> {
    let addr = resolver.resolve(name).await?;
    let result = match timeout(DIAL_TIMEOUT, TcpStream::connect(addr)).await {
        Ok(result) => result.map_err(|error| DialError::Connect(addr, error)),
        Err(_) => Err(DialError::Timeout(addr)),
    };
    if result.is_err() {
        resolver.forget(name);
    }
    result.map(|stream| (stream, addr))
}

/// Runs a connection until its end; false if TLS did not let it begin.
async fn carry(
    conn: ConnId,
    dialed: Option<NodeId>,
    stream: TcpStream,
    peer: SocketAddr,
    settings: &LinkSettings,
    events: &Events,
) -> bool {
    send_at_once(&stream);
    let Some(tls) = &settings.tls else {
        Connection::new(conn, dialed, stream, settings, events.clone()).run().await;
        return true;
    };
    let (side, stream) = match dialed {
        Some(_) => (Side::Dialed, tls.connect(stream, peer).await),
        None => (Side::Accepted, tls.accept(stream, peer).await),
    };
    let Some(stream) = stream else { return false };
    if let Some(error) = Connection::new(conn, dialed, stream, settings, events.clone()).run().await {
        tls.ended(side, peer, &error);
    }
    true
}

fn send_at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "TCP_NODELAY could not be set; small frames may wait");
    }
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT) {
        debug!(%error, "TCP_NOTSENT_LOWAT could not be set; signs of life may wait behind large frames");
    }
}

/// Accepts connections for ever. Each of them runs in a task of its own, which ends when this one is dropped.
async fn accept(listener: TcpListener, settings: LinkSettings, events: Events) {
    let limit = ACCEPTED * usize::from(settings.connections.max(1));
    let places = Arc::new(Semaphore::new(limit));
    let mut connections = JoinSet::new();
    let mut last = 1;
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: connections in progress have to end first.
                warn!(%error, "failed to accept a connection of a member");
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let Ok(place) = places.clone().try_acquire_owned() else {
            counter!("holdfast_link_refused_total").increment(1);
            debug!(%from, limit, "refused a connection: too many are open");
            continue;
        };
        last += 2;
        let (conn, settings, events) = (ConnId(last), settings.clone(), events.clone());
        connections.spawn(async move {
            let _place = place;
            carry(conn, None, stream, from, &settings, &events).await;
        });
    }
}

fn handle(outbox: &Arc<Outbox>, cut: &CancellationToken) -> ConnHandle {
    ConnHandle { outbox: outbox.clone(), _cut: cut.clone().drop_guard() }
}

#[cfg(test)]
mod tests;
