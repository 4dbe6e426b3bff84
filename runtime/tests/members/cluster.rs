//! A cluster for a test: members by place, and the network between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use holdfast_core::{Command, Condition, Expiry, MemberState, NodeId, Place, Reply, engine};
use holdfast_runtime::arbiter::memory::MemoryArbiter;
use holdfast_runtime::member::{Member, MemberSettings, Surroundings};
use holdfast_runtime::place::Locator;
use holdfast_runtime::proof::{Death, ProofError, Prover};
use holdfast_runtime::session::SessionHandle;
use holdfast_runtime::status::{Phase, Status};
use holdfast_runtime::tls::Tls;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use crate::network::Network;

/// Far longer than anything may take; a test that reaches it has hung.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const FAILURE_TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) struct Cluster {
    pub(crate) arbiter: MemoryArbiter,
    pub(crate) network: Network,
    coroner: Coroner,
    pub(crate) members: BTreeMap<u8, Running>,
    starts: u32,
    /// Where members run, as far as they are told.
    places: Places,
    /// What differs from the usual settings.
    tune: fn(&mut engine::Config),
}

pub(crate) struct Running {
    pub(crate) member: Member,
    name: String,
    pub(crate) arbiter: MemoryArbiter,
    pod_uid: String,
}

/// What is said of the places of members, by their number.
type Places = Arc<Mutex<BTreeMap<u8, Place>>>;

/// Tells a member its place, once it is said.
#[derive(Debug)]
struct Told(u8, Places);

impl Locator for Told {
    fn locate(&self) -> BoxFuture<'_, Option<Place>> {
        std::future::ready(self.1.lock().expect("unpoisoned").get(&self.0).cloned()).boxed()
    }
}

/// Knows the pods that are surely dead.
#[derive(Clone, Debug, Default)]
struct Coroner(Arc<Mutex<BTreeSet<String>>>);

impl Prover for Coroner {
    fn seek<'a>(&'a self, _: &'a str, uid: &'a str, _: u64) -> BoxFuture<'a, Result<Option<Death>, ProofError>> {
        let dead = self.0.lock().expect("unpoisoned").contains(uid);
        std::future::ready(Ok(dead.then_some(Death::PodGone))).boxed()
    }
}

impl Cluster {
    pub(crate) async fn start(members: u8) -> Self {
        Self::start_with(members, |_| {}).await
    }

    pub(crate) async fn start_with(members: u8, tune: fn(&mut engine::Config)) -> Self {
        let mut cluster = Self { tune, ..Self::empty() };
        for id in 0..members {
            cluster.add(id).await;
        }
        cluster.settled(members.into()).await;
        cluster
    }

    pub(crate) fn empty() -> Self {
        Self {
            arbiter: MemoryArbiter::new(),
            network: Network::default(),
            coroner: Coroner::default(),
            members: BTreeMap::new(),
            starts: 0,
            places: Places::default(),
            tune: |_| {},
        }
    }

    /// Starts the member at this place, in a new pod.
    pub(crate) async fn add(&mut self, id: u8) {
        self.add_with(id, None).await;
    }

    /// The same, with this certificate.
    pub(crate) async fn add_with(&mut self, id: u8, tls: Option<Tls>) {
        self.starts += 1;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (name, pod_uid) = (format!("shop-{id}"), format!("uid-{}", self.starts));
        self.network.add(&name, listener.local_addr().expect("bound"));
        let mut engine = engine::Config {
            heartbeat_interval: 50,
            failure_timeout: FAILURE_TIMEOUT.as_millis() as u64,
            state_transfer_timeout: 10_000,
            ..engine::Config::new("shop", name.clone(), pod_uid.clone())
        };
        (self.tune)(&mut engine);
        let arbiter = self.arbiter.another_way();
        let settings = MemberSettings { id: NodeId::new(id).expect("a place"), engine };
        let surroundings = Surroundings {
            listener,
            tls,
            arbiter: Arc::new(arbiter.clone()),
            resolver: self.network.seen_by(&name),
            prover: Arc::new(self.coroner.clone()),
            locator: Some(Arc::new(Told(id, self.places.clone()))),
            witness: Arc::new(()),
        };
        let member = Member::start(&settings, surroundings);
        self.members.insert(id, Running { member, name, arbiter, pod_uid });
    }

    /// Says in which zone a member runs.
    pub(crate) fn say_zone(&self, id: u8, zone: &str) {
        let place = Place { zone: zone.to_owned(), domain: String::new() };
        self.places.lock().expect("unpoisoned").insert(id, place);
    }

    /// The owner of a session, and everybody who has a copy, as the members themselves say.
    pub(crate) async fn holders(&self, key: Bytes) -> (NodeId, BTreeSet<u8>) {
        let (mut owner, mut holders) = (None, BTreeSet::new());
        for (id, running) in &self.members {
            if let Some(session) = running.member.control().session(key.clone()).await.expect("answers") {
                owner = Some(session.owner.id);
                holders.insert(*id);
            }
        }
        (owner.expect("somebody holds it"), holders)
    }

    /// Ends a member as SIGKILL would: its sockets close, and nobody listens any more.
    pub(crate) fn kill(&mut self, id: u8) {
        let running = self.members.remove(&id).expect("runs");
        self.network.remove(&running.name);
        self.coroner.0.lock().expect("unpoisoned").insert(running.pod_uid.clone());
    }

    /// The same, but nobody can prove it.
    pub(crate) fn lose(&mut self, id: u8) {
        let running = self.members.remove(&id).expect("runs");
        self.network.remove(&running.name);
    }

    /// Cuts a member off, from the others and the arbiter, without telling anybody; or connects it again.
    pub(crate) fn cut_off(&self, id: u8, is_cut: bool) {
        self.network.set_silent(&self.members[&id].name, is_cut);
        self.members[&id].arbiter.set_cut(is_cut);
    }

    pub(crate) fn sessions(&self, id: u8) -> SessionHandle {
        self.members[&id].member.sessions()
    }

    pub(crate) fn status(&self, id: u8) -> Status {
        self.members[&id].member.control().status().borrow().clone()
    }

    /// Waits until the register shows so many Full members, nobody else, everything protected, and all of them know it.
    pub(crate) async fn settled(&self, members: usize) {
        let done = || {
            let view = self.arbiter.view();
            let formed = view.full().len() == members && view.members.len() == members && view.version.sub > 0;
            formed
                && view.full().iter().all(|id| {
                    self.members.get(&id.get()).is_some_and(|running| {
                        let control = running.member.control();
                        let status = control.status().borrow().clone();
                        status.phase == Phase::Accepting && status.view.is_some_and(|adopted| adopted.version == view.version)
                    })
                })
        };
        let seen = || format!("{:?}", self.arbiter.view());
        eventually(done, seen).await;
    }

    pub(crate) async fn wait_for(&self, id: u8, condition: impl Fn(&Status) -> bool) {
        let mut status = self.members[&id].member.control().status();
        let result = timeout(PATIENCE, status.wait_for(|status| condition(status))).await;
        assert!(result.is_ok(), "member {id} did not get there: {:?}", self.status(id));
    }

    pub(crate) fn state(&self, id: u8) -> Option<MemberState> {
        self.arbiter.view().state(NodeId::new(id).expect("a place"))
    }
}

pub(crate) async fn eventually(condition: impl Fn() -> bool, seen: impl Fn() -> String) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "did not come about: {}", seen());
        sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn key(n: usize) -> Bytes {
    Bytes::from(format!("sess:{n}"))
}

pub(crate) fn set(value: impl Into<Bytes>) -> Command {
    Command::Set { value: value.into(), expiry: Expiry::Never, condition: Condition::Always, return_old: false }
}

pub(crate) fn text(value: &str) -> Reply {
    Reply::Bytes(Bytes::copy_from_slice(value.as_bytes()))
}
