//! A cluster of pretend members with one or two gateways before it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use holdfast_api::{AffinitySource, AffinitySourceType};
use holdfast_gateway::credentials::Credentials;
use holdfast_gateway::director::{Director, Event};
use holdfast_gateway::gateway::Gateway;
use holdfast_gateway::intent::Intent;
use holdfast_gateway::limits::Limits;
use holdfast_gateway::table::endpoint::Endpoint;
use holdfast_gateway::{admin, serve};
use holdfast_process::health::Health;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::User;
use crate::member::Member;

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The members, and the gateway that most tests use.
pub(crate) struct World {
    pub(crate) members: Vec<Arc<Member>>,
    pub(crate) intent: Intent,
    pub(crate) door: Door,
    folder: tempfile::TempDir,
    limits: Limits,
}

/// One gateway.
pub(crate) struct Door {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) health: Health,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) server: Option<JoinHandle<()>>,
    ended: CancellationToken,
}

/// Limits that keep the tests short, in the proportions of the real ones.
pub(crate) fn limits() -> Limits {
    Limits {
        silence: Duration::from_millis(600),
        safe_heard: Duration::from_millis(300),
        unsafe_heard: Duration::from_millis(150),
        connect: Duration::from_millis(300),
        reconnect_grace: Duration::from_millis(100),
        control_backoff: Duration::from_millis(200),
        probe: Duration::from_millis(30),
        hold: Duration::from_secs(2),
        lame_duck: Duration::from_millis(200),
        finish: Duration::from_secs(3),
        ..Limits::default()
    }
}

impl World {
    pub(crate) async fn start(members: usize) -> Self {
        Self::with(members, limits()).await
    }

    pub(crate) async fn with(members: usize, limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("token"), TOKEN).expect("written");
        let control_port = u16::try_from(20_000 + rand::random_range(0..30_000)).expect("a port");
        let mut started = Vec::new();
        for ordinal in 0..members {
            started.push(Member::start(&format!("shop-{ordinal}"), address(), control_port).await);
        }
        let intent = Intent {
            generation: 3,
            sources: vec![AffinitySource { type_: AffinitySourceType::Cookie, name: "sessionid".to_owned() }],
            admin_port: control_port,
            ..Intent::default()
        };
        let door = Door::open(folder.path(), &limits, &intent).await;
        let world = Self { members: started, intent, door, folder, limits };
        world.list_all().await;
        if members > 0 {
            world.until(|table| table.members.iter().all(|member| member.control == "Live")).await;
        }
        world
    }

    /// A second gateway for the same members.
    pub(crate) async fn another_door(&self) -> Door {
        let door = Door::open(self.folder.path(), &self.limits, &self.intent).await;
        door.list(&self.members.iter().map(|member| endpoint(member)).collect::<Vec<_>>()).await;
        door.until(|table| table.members.len() == self.members.len() && table.members.iter().all(|member| member.control != "Unknown"))
            .await;
        door
    }

    pub(crate) async fn list_all(&self) {
        self.door.list(&self.members.iter().map(|member| endpoint(member)).collect::<Vec<_>>()).await;
    }

    pub(crate) fn user(&self) -> User {
        User::new(self.door.addr)
    }

    /// A user bound to this member.
    pub(crate) fn user_of(&self, route: &str) -> User {
        User::with(self.door.addr, "holdfast-route", route)
    }

    pub(crate) async fn until(&self, happened: impl Fn(&Table) -> bool) -> Table {
        self.door.until(happened).await
    }
}

impl Door {
    async fn open(folder: &std::path::Path, limits: &Limits, intent: &Intent) -> Self {
        let health = Health::new();
        let gateway = Gateway::new("shop", limits.clone());
        let credentials = Credentials::new(folder.join("token"));
        let (events, received) = mpsc::channel(16);
        let (shutdown, ended) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(Director::new(gateway.clone(), credentials.clone(), health.clone()).run(received, ended.clone()));
        events.send(Event::Intent(intent.clone())).await.expect("a director");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (listener, admin) = (TcpListener::bind(any).await.expect("a port"), TcpListener::bind(any).await.expect("a port"));
        let (addr, admin_addr) = (listener.local_addr().expect("bound"), admin.local_addr().expect("bound"));
        tokio::spawn(holdfast_process::serve(admin, admin::table(gateway.clone(), credentials), ended.clone()));
        let server = tokio::spawn(serve::serve(gateway, listener, shutdown.clone()));
        Self { addr, admin: admin_addr, health, events, shutdown, server: Some(server), ended }
    }

    pub(crate) async fn list(&self, endpoints: &[Endpoint]) {
        self.events.send(Event::Endpoints(endpoints.to_vec())).await.expect("a director");
    }

    pub(crate) async fn table(&self) -> Table {
        let mut user = User::new(self.admin);
        let request = http::Request::get("/table").header("authorization", format!("Bearer {TOKEN}"));
        let answer = user.try_send(request.body(Default::default()).expect("a request")).await.expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_slice(&answer.body).expect("a table")
    }

    /// Waits until the table is as it should be.
    pub(crate) async fn until(&self, happened: impl Fn(&Table) -> bool) -> Table {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let table = self.table().await;
            if happened(&table) {
                return table;
            }
            assert!(Instant::now() < end, "it never happened: {table:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.ended.cancel();
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

/// What `GET /table` says, as far as the tests look.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Table {
    pub(crate) generation: u64,
    pub(crate) members: Vec<Row>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    pub(crate) route: String,
    pub(crate) control: String,
    pub(crate) tier: String,
    pub(crate) ejected: bool,
    pub(crate) outstanding: u64,
}

impl Table {
    pub(crate) fn row(&self, route: &str) -> &Row {
        self.members.iter().find(|row| row.route == route).expect("in the table")
    }

    pub(crate) fn tier(&self, route: &str) -> &str {
        &self.row(route).tier
    }
}

/// A ready endpoint of a member.
pub(crate) fn endpoint(member: &Member) -> Endpoint {
    Endpoint {
        pod: member.name.clone(),
        uid: member.uid.lock().expect("lock").clone(),
        addr: member.app_addr,
        ready: true,
        serving: true,
        terminating: false,
    }
}

/// A loopback address that no other test of this machine is likely to use.
fn address() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (own, count) = (std::process::id(), NEXT.fetch_add(1, SeqCst));
    let byte = |value: u32| u8::try_from(value % 250 + 1).expect("below 251");
    IpAddr::from([127, byte(own), byte(own / 250 + count / 250), byte(count)])
}
