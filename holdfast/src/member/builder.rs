//! How a member is put together.

use std::future::ready;
use std::io;
use std::net::{self, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use holdfast_core::NodeId;
use holdfast_core::engine::Config;
use holdfast_runtime::arbiter::Arbiter;
use holdfast_runtime::member::{self, MemberSettings, Surroundings};
use holdfast_runtime::peers::PeerResolver;
use holdfast_runtime::proof::{Death, ProofError, Prover};
use holdfast_runtime::thread::OwnThread;
use holdfast_runtime::tls::Tls;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Member, Runs};
use crate::events::Bus;

/// How many events may wait for whoever listens, unless it is said otherwise.
pub(super) const EVENTS: usize = 1024;

/// As for a member beside an application.
const DRAIN: Duration = Duration::from_secs(45);

/// Why a member could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// There are only so many places.
    #[error("failed to start member {ordinal}: places go from 0 to 63")]
    Place {
        /// As given.
        ordinal: u8,
    },
    /// A setting that cannot work.
    #[error("failed to start a member: {setting} is {value}, right is {right}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// As given.
        value: u64,
        /// What would be right.
        right: String,
    },
    /// The address is taken, or not one of this machine.
    #[error("failed to listen on {address} for other members")]
    Listen {
        /// As given.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// What a pod has is not there, or not right.
    #[cfg(feature = "kubernetes")]
    #[error("failed to start the member of this pod")]
    Pod(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system refuses a thread.
    #[error("failed to start the thread for sessions")]
    Thread(#[source] io::Error),
}

/// Puts a member together. What is not said is as in a SessionCluster that does not say it.
#[derive(Debug)]
pub struct Builder {
    ordinal: u8,
    config: Config,
    door: Door,
    arbiter: Arc<dyn Arbiter>,
    peers: Arc<dyn PeerResolver>,
    prover: Arc<dyn Prover>,
    tls: Option<Tls>,
    events: usize,
    drain_timeout: Duration,
}

/// Where the other members connect to.
#[derive(Debug)]
pub(crate) enum Door {
    Closed(SocketAddr),
    Open(io::Result<net::TcpListener>),
}

/// Proves nobody's death: then whoever is silent for too long is suspected.
#[derive(Debug)]
struct NoProof;

impl Prover for NoProof {
    fn seek<'a>(&'a self, _: &'a str, _: &'a str, _: u64) -> BoxFuture<'a, Result<Option<Death>, ProofError>> {
        ready(Ok(None)).boxed()
    }
}

impl Builder {
    /// The member of `cluster` with this ordinal: the third one of `shop` has the ordinal 2 and the name `shop-2`. All members of the cluster need the same
    /// register for their view, and have to find each other by their names.
    #[must_use]
    pub fn new(cluster: &str, ordinal: u8, arbiter: Arc<dyn Arbiter>, peers: Arc<dyn PeerResolver>) -> Self {
        // Tells this start from others of the same name.
        let uid = format!("{:032x}", rand::random::<u128>());
        Self {
            ordinal,
            config: Config::new(cluster, format!("{cluster}-{ordinal}"), uid),
            door: Door::Closed((Ipv4Addr::UNSPECIFIED, 4000).into()),
            arbiter,
            peers,
            prover: Arc::new(NoProof),
            tls: None,
            events: EVENTS,
            drain_timeout: DRAIN,
        }
    }

    /// Where the other members connect to; port 4000 of all addresses if nothing is said.
    #[must_use]
    pub fn listen(self, address: SocketAddr) -> Self {
        Self { door: Door::Closed(address), ..self }
    }

    pub(crate) fn door(self, door: Door) -> Self {
        Self { door, ..self }
    }

    /// Lets only members with a certificate in; plain TCP if nothing is said, and then whoever reaches the port reads and writes sessions.
    #[must_use]
    pub fn tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Where proof is sought that a member is dead: it can then be replaced at once. If nothing is said, it is suspected after `failure_timeout`.
    #[must_use]
    pub fn prover(self, prover: Arc<dyn Prover>) -> Self {
        Self { prover, ..self }
    }

    /// Changes how the member replicates: copies, timeouts, limits.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// How many events may wait for whoever listens to them; 1024 if nothing is said. Beyond that the oldest are missed.
    #[must_use]
    pub fn events(self, events: usize) -> Self {
        Self { events, ..self }
    }

    /// How long the drain may take; 45 seconds if nothing is said. Below what the platform gives a process that is told to end.
    #[must_use]
    pub fn drain_timeout(self, drain_timeout: Duration) -> Self {
        Self { drain_timeout, ..self }
    }

    /// Starts it. It joins by itself; [`Member::joined`] says when it has.
    ///
    /// # Errors
    /// When a setting cannot work, or the system refuses the port or a thread.
    pub fn start(self) -> Result<Member, StartError> {
        let id = NodeId::new(self.ordinal).ok_or(StartError::Place { ordinal: self.ordinal })?;
        check(&self.config, self.events)?;
        let listener = self.door.open()?;
        let data = OwnThread::start("data").map_err(StartError::Thread)?;
        let bus = Arc::new(Bus::new(self.events));
        let ack_timeout = Duration::from_millis(self.config.ack_timeout);
        // What is made from here on lives on that thread.
        let entered = data.handle().enter();
        if let Some(tls) = self.tls.clone() {
            data.handle().spawn(async move { tls.keep_fresh(CancellationToken::new()).await });
        }
        let surroundings = Surroundings {
            listener: TcpListener::from_std(listener).map_err(StartError::Thread)?,
            tls: self.tls,
            arbiter: self.arbiter,
            resolver: self.peers,
            prover: self.prover,
            locator: None,
            witness: bus.clone(),
        };
        let member = member::Member::start(&MemberSettings { id, engine: self.config }, surroundings);
        drop(entered);
        let (sessions, control) = (member.sessions(), member.control());
        let runs = Runs::Bare { member, _thread: data };
        Ok(Member { sessions, control, bus, ack_timeout, drain_timeout: self.drain_timeout, runs })
    }
}

impl Door {
    fn open(self) -> Result<net::TcpListener, StartError> {
        let (address, listener) = match self {
            Self::Closed(address) => (address, net::TcpListener::bind(address)),
            Self::Open(listener) => ((Ipv4Addr::LOCALHOST, 0).into(), listener),
        };
        let listen = |source| StartError::Listen { address, source };
        let listener = listener.map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        Ok(listener)
    }
}

/// What a SessionCluster's resource would refuse.
fn check(config: &Config, events: usize) -> Result<(), StartError> {
    let wrong = |setting, value, right: String| Err(StartError::Setting { setting, value, right });
    if config.copies > 63 {
        return wrong("copies", config.copies.into(), "from 0 to 63".to_owned());
    }
    if config.ack_timeout < 100 {
        return wrong("ack_timeout", config.ack_timeout, "at least 100 ms".to_owned());
    }
    if config.heartbeat_interval < 10 {
        return wrong("heartbeat_interval", config.heartbeat_interval, "at least 10 ms".to_owned());
    }
    if config.failure_timeout < 4 * config.heartbeat_interval {
        let right = format!("at least 4 times heartbeat_interval, so {} ms", 4 * config.heartbeat_interval);
        return wrong("failure_timeout", config.failure_timeout, right);
    }
    if config.queue_bytes < 2 * config.max_bytes {
        return wrong("queue_bytes", config.queue_bytes, format!("at least twice max_bytes, so {}", 2 * config.max_bytes));
    }
    if events == 0 {
        return wrong("events", 0, "at least 1".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loopback;

    fn refused(builder: Builder) -> String {
        builder.start().expect_err("cannot work").to_string()
    }

    #[test]
    fn a_setting_that_cannot_work_says_what_is_right() {
        let member = || Loopback::new("shop").member(1);
        let error = refused(member().configure(|config| config.failure_timeout = 900));
        assert_eq!(error, "failed to start a member: failure_timeout is 900, right is at least 4 times heartbeat_interval, so 1000 ms");
        let error = refused(member().configure(|config| config.max_bytes = 64 << 20));
        assert_eq!(error, "failed to start a member: queue_bytes is 67108864, right is at least twice max_bytes, so 134217728");
        assert_eq!(refused(Loopback::new("shop").member(64)), "failed to start member 64: places go from 0 to 63");
        assert_eq!(refused(member().events(0)), "failed to start a member: events is 0, right is at least 1");
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("bound");
        let error = refused(Loopback::new("shop").member(0).listen(address));
        assert_eq!(error, format!("failed to listen on {address} for other members"));
    }
}
