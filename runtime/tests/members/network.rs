//! The network between members: a TCP proxy for each direction in which one may dial another, so that a test can tear connections or let a member
//! fall silent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use holdfast_runtime::peers::{PeerError, PeerResolver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::sleep;

/// After so long, whoever makes a connection gives up.
const HANDSHAKE: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, Default)]
pub(crate) struct Network(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Where members listen, and whether they live.
    members: BTreeMap<String, (SocketAddr, bool)>,
    proxies: BTreeMap<(String, SocketAddr), Proxy>,
    silent: BTreeSet<String>,
    parted: BTreeSet<String>,
}

impl Network {
    pub(crate) fn add(&self, name: &str, addr: SocketAddr) {
        self.state().members.insert(name.to_owned(), (addr, true));
    }

    /// Whoever dials this member from now on finds nobody.
    pub(crate) fn remove(&self, name: &str) {
        if let Some((_, lives)) = self.state().members.get_mut(name) {
            *lives = false;
        }
    }

    /// Tears all connections from and to a member; new ones can be made at once.
    pub(crate) fn tear(&self, name: &str) {
        self.state().proxies.values().filter(|proxy| proxy.concerns(name)).for_each(Proxy::tear);
    }

    /// From now on nothing gets through from and to this member, and nobody is told; or everything does again.
    pub(crate) fn set_silent(&self, name: &str, silent: bool) {
        let mut state = self.state();
        if silent {
            state.silent.insert(name.to_owned());
        } else {
            state.silent.remove(name);
        }
        for proxy in state.proxies.values() {
            proxy.silent.send_replace(state.silent.iter().any(|name| proxy.concerns(name)));
        }
    }

    /// As [`Network::set_silent`], but as a network does it that throws packets away: no connection can be made, and those that there were stay silent when
    /// it is over, since TCP sends again only after as long as it has waited.
    pub(crate) fn part(&self, name: &str, parted: bool) {
        if parted {
            self.state().parted.insert(name.to_owned());
        } else {
            let mut state = self.state();
            state.parted.remove(name);
            state.proxies.values().filter(|proxy| proxy.concerns(name)).for_each(Proxy::leave);
        }
        self.set_silent(name, parted);
    }

    /// The network as this member sees it.
    pub(crate) fn seen_by(&self, name: &str) -> Arc<dyn PeerResolver> {
        Arc::new(Seen { network: self.clone(), from: name.to_owned() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("unpoisoned")
    }

    async fn way(&self, from: &str, to: &str) -> Option<SocketAddr> {
        let (target, lives) = self.state().members.get(to).copied()?;
        if !lives {
            return Some(target);
        }
        let key = (from.to_owned(), target);
        if let Some(proxy) = self.state().proxies.get(&key) {
            return Some(proxy.addr);
        }
        let proxy = Proxy::start([from.to_owned(), to.to_owned()], target).await;
        let mut state = self.state();
        proxy.silent.send_replace(state.silent.iter().any(|name| proxy.concerns(name)));
        Some(state.proxies.entry(key).or_insert(proxy).addr)
    }
}

#[derive(Debug)]
struct Seen {
    network: Network,
    from: String,
}

impl PeerResolver for Seen {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<SocketAddr, PeerError>> {
        async move {
            let is_parted = [&self.from, name].into_iter().any(|end| self.network.state().parted.contains(end));
            if is_parted {
                sleep(HANDSHAKE).await;
                return Err(PeerError::Lookup { name: name.to_owned(), reason: "no answer".to_owned() });
            }
            let way = self.network.way(&self.from, name).await;
            way.ok_or_else(|| PeerError::Lookup { name: name.to_owned(), reason: "no such pod".to_owned() })
        }
        .boxed()
    }

    fn forget(&self, _: &str) {}
}

#[derive(Debug)]
struct Proxy {
    ends: [String; 2],
    addr: SocketAddr,
    silent: watch::Sender<bool>,
    /// Of the connections that there are: nothing will ever come through again.
    left: Arc<Mutex<Arc<AtomicBool>>>,
    open: Arc<Mutex<Vec<AbortHandle>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    async fn start(ends: [String; 2], target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let (silent, hush) = watch::channel(false);
        let open: Arc<Mutex<Vec<AbortHandle>>> = Arc::default();
        let left: Arc<Mutex<Arc<AtomicBool>>> = Arc::default();
        let (tasks, is_left) = (open.clone(), left.clone());
        let accepting = tokio::spawn(async move {
            loop {
                let (inside, _) = listener.accept().await.expect("accepts");
                // Nobody behind it: the connection ends at once.
                let Ok(outside) = TcpStream::connect(target).await else { continue };
                // As the members do: otherwise a small frame waits here for the acknowledgement of the one before.
                for stream in [&inside, &outside] {
                    stream.set_nodelay(true).expect("a TCP socket");
                }
                let ((from_a, to_a), (from_b, to_b)) = (inside.into_split(), outside.into_split());
                let left = is_left.lock().expect("unpoisoned").clone();
                let forth = tokio::spawn(carry(from_a, to_b, hush.clone(), left.clone()));
                let back = tokio::spawn(carry(from_b, to_a, hush.clone(), left));
                tasks.lock().expect("unpoisoned").extend([forth.abort_handle(), back.abort_handle()]);
            }
        });
        Self { ends, addr, silent, left, open, accepting }
    }

    fn concerns(&self, name: &str) -> bool {
        self.ends.iter().any(|end| end == name)
    }

    fn leave(&self) {
        let left = std::mem::take(&mut *self.left.lock().expect("unpoisoned"));
        left.store(true, Ordering::Relaxed);
    }

    fn tear(&self) {
        self.open.lock().expect("unpoisoned").drain(..).for_each(|task| task.abort());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.tear();
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut silent: watch::Receiver<bool>, left: Arc<AtomicBool>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let wakes = silent.wait_for(|silent| !silent).await.is_ok();
        if left.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if !wakes || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
