//! A cluster inside one process: members over loopback, and a register for their view in memory. For the tests of an application, which can start three of
//! them and let one fail; and for one that runs alone.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use holdfast_runtime::arbiter::memory::MemoryArbiter;
use holdfast_runtime::peers::{PeerError, PeerResolver};

use crate::member::{Builder, Door};

/// Where members find each other, and agree on who they are. Clones share it.
#[derive(Clone, Debug)]
pub struct Loopback {
    cluster: String,
    arbiter: MemoryArbiter,
    addresses: Addresses,
}

/// By the names of members.
#[derive(Clone, Debug, Default)]
struct Addresses(Arc<Mutex<BTreeMap<String, SocketAddr>>>);

impl Loopback {
    /// A cluster without members.
    #[must_use]
    pub fn new(cluster: &str) -> Self {
        Self { cluster: cluster.to_owned(), arbiter: MemoryArbiter::new(), addresses: Addresses::default() }
    }

    /// The member with this ordinal, on a free port of loopback. One that has been dropped can be started anew.
    #[must_use]
    pub fn member(&self, ordinal: u8) -> Builder {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        if let Ok(address) = listener.as_ref().map_err(drop).and_then(|listener| listener.local_addr().map_err(drop)) {
            self.addresses.0.lock().expect(UNBROKEN).insert(format!("{}-{ordinal}", self.cluster), address);
        }
        let builder = Builder::new(&self.cluster, ordinal, Arc::new(self.arbiter.clone()), Arc::new(self.addresses.clone()));
        builder.door(Door::Open(listener))
    }

    /// The register, to take it away for a while.
    #[must_use]
    pub fn arbiter(&self) -> MemoryArbiter {
        self.arbiter.clone()
    }
}

const UNBROKEN: &str = "nothing panics while it is held";

impl PeerResolver for Addresses {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<SocketAddr, PeerError>> {
        let known = self.0.lock().expect(UNBROKEN).get(name).copied();
        let address = known.ok_or_else(|| PeerError::Lookup { name: name.to_owned(), reason: "it was never started".to_owned() });
        ready(address).boxed()
    }

    /// An address here changes only when a member is started anew.
    fn forget(&self, _: &str) {}
}
