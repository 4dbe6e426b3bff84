//! One connection: reads frames for the engine and writes what waits, until one side ends it. What waits is written in one go, so that a busy
//! connection pays for few system calls and an idle one does not wait.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use holdfast_core::NodeId;
use holdfast_core::engine::ConnId;
use metrics::counter;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::inbox::{Inbox, InboxError};
use super::outbox::{Next, Outbox};
use super::{Events, LinkEvent, LinkSettings, handle};

/// Until the first frame, when the other end may be anybody.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the last frames may take after the engine has closed the connection.
const LINGER: Duration = Duration::from_secs(1);

/// Why a connection ended.
#[derive(Debug, Error)]
enum End {
    #[error("closed by the other end")]
    Eof,
    #[error("closed by this end")]
    Here,
    #[error("failed to read: {0}")]
    Read(io::Error),
    #[error("failed to write: {0}")]
    Write(io::Error),
    #[error("refused what was sent: {0}")]
    Garbage(#[from] InboxError),
    #[error("nothing heard for {0:?}")]
    Silent(Duration),
}

/// A connection over any stream: TCP as it is, or TLS on it.
pub(super) struct Connection<S> {
    conn: ConnId,
    dialed: Option<NodeId>,
    stream: S,
    idle: Duration,
    outbox: Arc<Outbox>,
    cut: CancellationToken,
    events: Events,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(conn: ConnId, dialed: Option<NodeId>, stream: S, settings: &LinkSettings, events: Events) -> Self {
        let outbox = Arc::new(Outbox::new(settings.queue_bytes));
        Self { conn, dialed, stream, idle: settings.idle, outbox, cut: CancellationToken::new(), events }
    }

    /// Reports the connection, carries frames until it ends, and reports the end. If reading failed before the peer had said who it is, that is handed
    /// back: it may be TLS' word that the peer refuses this end.
    pub(super) async fn run(self) -> Option<io::Error> {
        let conn = self.conn;
        let opened = LinkEvent::Opened { conn, dialed: self.dialed.is_some(), handle: handle(&self.outbox, &self.cut) };
        if !(self.events)(opened) {
            return None;
        }
        let (reader, writer) = split(self.stream);
        let mut inbox = Inbox::default();
        let end = tokio::select! {
            end = read(conn, reader, &mut inbox, self.idle, &self.events) => end,
            end = write(writer, &self.outbox) => end,
            () = async { self.outbox.closed().await; sleep(LINGER).await } => End::Here,
            () = self.cut.cancelled() => End::Here,
        };
        debug!(?conn, %end, "connection ended");
        if inbox.greeted() {
            counter!("holdfast_link_ended_total").increment(1);
        }
        if let End::Garbage(_) = end {
            counter!("holdfast_link_garbage_total").increment(1);
        }
        (self.events)(LinkEvent::Closed { conn });
        if let Some(peer) = self.dialed.filter(|_| !inbox.greeted()) {
            (self.events)(LinkEvent::DialFailed { peer, refused: false });
        }
        match end {
            End::Read(error) if !inbox.greeted() => Some(error),
            _ => None,
        }
    }
}

async fn read(conn: ConnId, mut stream: impl AsyncRead + Unpin, inbox: &mut Inbox, idle: Duration, events: &Events) -> End {
    let received = counter!("holdfast_link_received_bytes_total");
    let mut heard = Instant::now();
    // Looks now and then whether anything was heard: a timer for each read would cost more than the read.
    let mut patience = pin!(sleep(GREETING_TIMEOUT));
    loop {
        let limit = if inbox.greeted() { idle } else { GREETING_TIMEOUT };
        tokio::select! {
            biased;
            read = stream.read_buf(inbox.space()) => match read {
                Ok(0) => return End::Eof,
                Ok(length) => received.increment(length as u64),
                Err(error) => return End::Read(error),
            },
            () = &mut patience => {
                if heard.elapsed() >= limit {
                    return End::Silent(limit);
                }
                patience.as_mut().reset(heard + limit);
                continue;
            }
        }
        heard = Instant::now();
        match inbox.take() {
            // Also without a whole frame: part of a long one is a sign of life.
            Ok(frames) => {
                if !events(LinkEvent::Received { conn, frames }) {
                    return End::Here;
                }
            }
            Err(error) => return error.into(),
        }
    }
}

async fn write(mut stream: impl AsyncWrite + Unpin, outbox: &Outbox) -> End {
    let (sent, writes) = (counter!("holdfast_link_sent_bytes_total"), counter!("holdfast_link_writes_total"));
    let mut short = BytesMut::new();
    let result = loop {
        short.clear();
        let Next::Write(long) = outbox.next(&mut short).await else { break stream.shutdown().await };
        let length = (short.len() + long.len()) as u64;
        if let Err(error) = put(&mut stream, &short, &long).await {
            break Err(error);
        }
        outbox.written(length);
        sent.increment(length);
        writes.increment(1);
    };
    match result {
        Ok(()) => End::Here,
        Err(error) => End::Write(error),
    }
}

/// Writes both, in one system call where the stream can do that. A vectored write of a single piece costs the kernel more than a plain one.
async fn put(stream: &mut (impl AsyncWrite + Unpin), short: &[u8], long: &[u8]) -> io::Result<()> {
    match (short, long) {
        (piece, []) | ([], piece) => stream.write_all(piece).await?,
        (short, long) => stream.write_all_buf(&mut Buf::chain(short, long)).await?,
    }
    // TLS may still hold a part of it.
    stream.flush().await
}
