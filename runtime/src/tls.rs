//! Mutual TLS on the links between members: both ends show a certificate of one of the authorities in `ca.crt` that names their cluster, or there is
//! no link. TLS 1.3 only, without resumption, so that every connection is checked anew.
//!
//! The files are a mounted Secret, which the kubelet replaces while the member runs. They are read again every few seconds; what is new is used for
//! new connections, and those that stand stay. A set that cannot be used changes nothing.

mod material;
mod peer;
mod refusal;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use metrics::{counter, gauge};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub use material::TlsError;
use material::{Files, Material};
use refusal::Refusals;
pub(crate) use refusal::Side;

/// How often the files are looked at. The kubelet itself takes up to two minutes to bring a changed Secret.
const REREAD: Duration = Duration::from_secs(5);

/// How long a handshake may take, with a peer that may be anybody.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// This member's certificate, and by what it knows the others. Clones share it.
#[derive(Clone, Debug)]
pub struct Tls {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    identity: String,
    current: ArcSwap<Material>,
    /// What the files said when they were last looked at, right or wrong.
    seen: AtomicU64,
    refusals: Refusals,
}

impl Tls {
    /// Reads `tls.crt`, `tls.key` and `ca.crt` in `folder`. Peers have to show a certificate for `identity`, and so does this member.
    ///
    /// # Errors
    /// When a file is missing, or the three do not fit together.
    pub async fn open(folder: &Path, identity: &str) -> Result<Self, TlsError> {
        let files = Files::read(folder).await?;
        let seen = AtomicU64::new(files.digest());
        let material = Material::new(&files, identity)?;
        material.announce("using the certificate for links");
        let inner = Inner {
            folder: folder.to_owned(),
            identity: identity.to_owned(),
            current: ArcSwap::from_pointee(material),
            seen,
            refusals: Refusals::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes up new files as they come, until `closing`.
    pub async fn keep_fresh(&self, closing: CancellationToken) {
        let mut tick = interval(REREAD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while closing.run_until_cancelled(tick.tick()).await.is_some() {
            self.refresh().await;
            gauge!("holdfast_link_certificate_expiry_seconds").set(self.inner.current.load().seconds_left());
        }
    }

    /// Looks at the files once.
    pub async fn refresh(&self) {
        let inner = &*self.inner;
        let read = Files::read(&inner.folder).await;
        let digest = read.as_ref().map_or(0, Files::digest);
        if inner.seen.swap(digest, Ordering::Relaxed) == digest {
            return;
        }
        match read.and_then(|files| Material::new(&files, &inner.identity)) {
            Ok(material) => {
                material.announce("using a new certificate for new links");
                inner.current.store(Arc::new(material));
                counter!("holdfast_link_certificate_reloads_total", "result" => "ok").increment(1);
            }
            // Said once for each content of the files.
            Err(failure) => {
                error!(error = &failure as &dyn std::error::Error, "keeping the last certificate for links: the new files are of no use");
                counter!("holdfast_link_certificate_reloads_total", "result" => "error").increment(1);
            }
        }
    }

    /// Serial number of the certificate that new links use, and those of the authorities that are trusted.
    #[must_use]
    pub fn serials(&self) -> (String, Vec<String>) {
        let current = self.inner.current.load();
        (current.serial.clone(), current.authorities.clone())
    }

    /// The accepting end of a handshake; `None` if the peer was refused, which has been logged and counted.
    pub(crate) async fn accept(&self, stream: TcpStream, from: SocketAddr) -> Option<TlsStream<TcpStream>> {
        let handshake = self.inner.current.load().acceptor.accept(stream);
        self.within_time(handshake, Side::Accepted, from).await.map(TlsStream::from)
    }

    /// The dialing end. That it succeeds does not mean that the peer accepts this end's certificate: if not, the first read fails.
    pub(crate) async fn connect(&self, stream: TcpStream, to: SocketAddr) -> Option<TlsStream<TcpStream>> {
        let nameless = ServerName::try_from("holdfast").expect("a name, which is neither sent nor compared");
        let handshake = self.inner.current.load().connector.connect(nameless, stream);
        self.within_time(handshake, Side::Dialed, to).await.map(TlsStream::from)
    }

    /// A connection ended with this before the peer had said who it is.
    pub(crate) fn ended(&self, side: Side, peer: SocketAddr, error: &io::Error) {
        self.inner.refusals.ended(side, peer, error);
    }

    async fn within_time<S>(&self, handshake: impl Future<Output = io::Result<S>>, side: Side, peer: SocketAddr) -> Option<S> {
        let result = timeout(HANDSHAKE_TIMEOUT, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        result.inspect_err(|error| self.inner.refusals.refused(side, peer, error)).ok()
    }
}

impl Material {
    fn announce(&self, what: &str) {
        gauge!("holdfast_link_certificate_expiry_seconds").set(self.seconds_left());
        info!(serial = self.serial, ends = self.ends, authorities = self.authorities.len(), "{what}");
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
