//! The listeners: a TCP port on loopback and a unix socket, one task for each client on one of several threads, a limit on their number, and an end in
//! order.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::Sessions;
use super::bell::Call;
use super::connection::{self, Entered, linger};
use super::context::{Context, Front};
use super::idle::close_idle;
use super::settings::{KEEPALIVE, Settings};
use super::stream;
use crate::broadcast::Broadcast;
use crate::socket::{EVERYBODY, Socket, SocketError};

/// How many clients beyond the limit are told so properly at the same time.
const FAREWELLS: usize = 64;

/// How long accepting rests after it failed, usually because this process has too many files open.
const REST: Duration = Duration::from_millis(100);

/// How long clients have to read their last replies at the end.
const GRACE: Duration = Duration::from_secs(5);

/// Why the front door cannot open.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Whoever reaches the address can read and change every session.
    #[error(
        "HOLDFAST_REDIS_LISTEN: `{0}` is not right: it must be a loopback address such as 127.0.0.1:6379, because there is no password"
    )]
    NotLoopback(SocketAddr),
    /// The TCP port.
    #[error("failed to serve the Redis protocol")]
    Tcp(#[source] anyhow::Error),
    /// The unix socket.
    #[error("failed to serve the Redis protocol on the unix socket `{}` (HOLDFAST_REDIS_SOCKET)", path.display())]
    Socket {
        /// As given.
        path: PathBuf,
        /// Why.
        source: SocketError,
    },
}

/// The front door, open but not attended yet: clients wait until [`Server::run`].
#[derive(Debug)]
pub struct Server {
    front: Arc<Front>,
    tcp: TcpListener,
    socket: Option<Socket>,
    threads: Vec<Handle>,
}

impl Server {
    /// Opens both listeners.
    ///
    /// # Errors
    /// Which could not be opened, and why.
    pub async fn bind(mut settings: Settings) -> Result<Server, ServerError> {
        if !settings.listen.ip().is_loopback() {
            return Err(ServerError::NotLoopback(settings.listen));
        }
        let tcp = holdfast_process::bind("HOLDFAST_REDIS_LISTEN", settings.listen).await.map_err(ServerError::Tcp)?;
        settings.listen = tcp.local_addr().map_err(|error| ServerError::Tcp(error.into()))?;
        let socket = match &settings.socket {
            None => None,
            Some(path) => Some(Socket::bind(path, EVERYBODY).map_err(|source| ServerError::Socket { path: path.clone(), source })?),
        };
        Ok(Server { front: Arc::new(Front::new(settings)), tcp, socket, threads: Vec::new() })
    }

    /// Spreads the connections over these runtimes, beside the one that it runs on.
    #[must_use]
    pub fn across(self, threads: Vec<Handle>) -> Server {
        Server { threads, ..self }
    }

    /// The TCP address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.front.settings.listen
    }

    /// Serves `sessions` until `shutdown`; then requests that have come are answered, and connections closed.
    pub async fn run<S: Sessions>(self, sessions: S, shutdown: CancellationToken) {
        let Server { front, tcp, socket, threads } = self;
        info!(address = %front.settings.listen, socket = ?front.settings.socket, "the Redis protocol is served");
        let distributor = sessions.listen().map(|told| AbortOnDropHandle::new(tokio::spawn(distribute(told, front.clone()))));
        let idle = AbortOnDropHandle::new(tokio::spawn(close_idle(front.clone())));
        let users = AbortOnDropHandle::new(tokio::spawn(follow_users(front.clone())));
        let mut host = Host {
            sessions,
            front,
            threads: std::iter::once(Handle::current()).chain(threads).map(Thread::new).collect(),
            clients: JoinSet::new(),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
        };
        loop {
            let unix = async {
                match &socket {
                    Some(socket) => socket.listener.accept().await,
                    None => std::future::pending().await,
                }
            };
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = host.clients.join_next() => continue,
                accepted = tcp.accept() => accepted.and_then(|(stream, peer)| host.welcome_tcp(stream, peer)),
                accepted = unix => accepted.and_then(|(stream, _)| host.welcome_unix(stream)),
            };
            if let Err(error) = accepted {
                warn!(%error, "failed to accept a client of the Redis protocol; trying again in {REST:?}");
                tokio::time::sleep(REST).await;
            }
        }
        drop((tcp, socket));
        host.front.clients.all().iter().for_each(|client| client.bell.ring(Call::Stop));
        let ended = async { while host.clients.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            warn!(
                left = host.clients.len(),
                "clients of the Redis protocol did not read their last replies within {GRACE:?}; they are cut off"
            );
            host.clients.shutdown().await;
        }
        drop((distributor, idle, users));
    }
}

/// Closes the connections of users that are no more, or whose passwords have changed.
async fn follow_users(front: Arc<Front>) {
    let Some(users) = &front.settings.users else { return };
    users
        .keep_fresh(|may_stay| {
            for client in front.clients.all() {
                if client.state().user.as_deref().is_some_and(|user| !may_stay(user)) {
                    client.end();
                }
            }
        })
        .await;
}

/// Hands what is told to many to the clients that listen.
async fn distribute(mut told: broadcast::Receiver<Broadcast>, front: Arc<Front>) {
    loop {
        match told.recv().await {
            Ok(Broadcast::Published { channel, payload }) => front.subscriptions.deliver(&channel, &payload),
            Ok(Broadcast::Noticed { key, notice }) => front.notify.tell(&key, notice, &front.subscriptions),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                front.statistics.missed.increment(missed);
                warn!(missed, "clients missed what was published: this member had too much to do");
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// A thread for connections, and one reference more than it has of them.
struct Thread {
    handle: Handle,
    load: Arc<()>,
}

impl Thread {
    fn new(handle: Handle) -> Thread {
        Thread { handle, load: Arc::new(()) }
    }
}

/// Who takes care of clients.
struct Host<S> {
    sessions: S,
    front: Arc<Front>,
    threads: Vec<Thread>,
    clients: JoinSet<()>,
    farewells: Arc<Semaphore>,
}

impl<S: Sessions> Host<S> {
    fn welcome_tcp(&mut self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        // Replies leave in one write each batch; without this the last part of a batch would wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        // A client whose machine is gone would stay for ever.
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let local = stream.local_addr().unwrap_or(self.front.settings.listen);
        let stream = stream.into_std()?;
        self.welcome(stream.into(), peer.to_string(), local.to_string(), false);
        Ok(())
    }

    fn welcome_unix(&mut self, stream: UnixStream) -> io::Result<()> {
        let path = self.front.settings.socket.as_deref().unwrap_or("".as_ref()).display();
        let address = format!("{path}:0");
        let stream = stream.into_std()?;
        self.welcome(stream.into(), address.clone(), address, true);
        Ok(())
    }

    fn welcome(&mut self, socket: OwnedFd, address: String, local: String, unix: bool) {
        let statistics = &self.front.statistics;
        let now = self.front.clock.load(Relaxed);
        let Some(client) = self.front.clients.enter(address, local, unix, self.front.subscriptions.mailbox(), now) else {
            statistics.rejected.fetch_add(1, Relaxed);
            statistics.rejections.increment(1);
            // Told for as long as it does not cost much; a flood beyond that is only closed.
            if let Ok(place) = self.farewells.clone().try_acquire_owned() {
                self.spawn(async move {
                    let _place = place;
                    let Ok((mut reader, mut writer)) = stream::split(socket) else { return };
                    if writer.write_all(b"-ERR max number of clients reached\r\n").await.is_ok() {
                        linger(&mut reader, &mut writer).await;
                    }
                });
            }
            return;
        };
        statistics.accepted.fetch_add(1, Relaxed);
        statistics.connected.increment(1.0);
        let entered = Entered(self.front.clone(), client.clone());
        let context = Context { sessions: self.sessions.clone(), front: self.front.clone(), client };
        self.spawn(async move {
            let _entered = entered;
            match stream::split(socket) {
                Ok((reader, writer)) => connection::serve(context, reader, writer).await,
                Err(error) => warn!(%error, "a client of the Redis protocol cannot be served"),
            }
        });
    }

    /// On the thread that has the fewest.
    fn spawn(&mut self, client: impl Future<Output = ()> + Send + 'static) {
        let Some(thread) = self.threads.iter().min_by_key(|thread| Arc::strong_count(&thread.load)) else { return };
        let load = thread.load.clone();
        let client = async move {
            let _load = load;
            client.await;
        };
        self.clients.spawn_on(client, &thread.handle);
    }
}
