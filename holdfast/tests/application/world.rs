//! Three members, each with the application on a port of its own, and browsers.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use holdfast::parts::{Config, MemoryArbiter};
use holdfast::{LeaveError, Loopback, Member, Store};
use reqwest::cookie::{CookieStore, Jar};
use reqwest::header::HeaderValue;
use reqwest::{Client, Response, StatusCode, Url};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::app;

/// Far longer than anything may take; a test that reaches it has hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longer than any drain here takes.
const DRAIN: Duration = Duration::from_secs(5);

const IDLE: Duration = Duration::from_secs(600);

pub(crate) struct World {
    cluster: Loopback,
    pub(crate) members: BTreeMap<u8, Running>,
}

pub(crate) struct Running {
    pub(crate) member: Member,
    pub(crate) port: u16,
    server: Server,
}

/// The application on one port; dropping it ends it.
struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|member| app::router(member, IDLE).expect("right settings")).await
    }

    /// With another application.
    pub(crate) async fn with(application: impl Fn(&Member) -> Router) -> Self {
        Self::tuned(|_| {}, application).await
    }

    /// With members that replicate in another way, too.
    pub(crate) async fn tuned(tune: impl Fn(&mut Config), application: impl Fn(&Member) -> Router) -> Self {
        let mut world = Self { cluster: Loopback::new("shop"), members: BTreeMap::new() };
        for ordinal in 0..3 {
            let member = world.cluster.member(ordinal).configure(quick).configure(&tune).drain_timeout(DRAIN).start().expect("starts");
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let port = listener.local_addr().expect("bound").port();
            let router = application(&member);
            let server = Server(tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") }));
            world.members.insert(ordinal, Running { member, port, server });
        }
        world.settled(3).await;
        world
    }

    pub(crate) fn store(&self, ordinal: u8) -> Store {
        self.members[&ordinal].member.store()
    }

    /// Ends a member as a crash of its process would.
    pub(crate) fn kill(&mut self, ordinal: u8) {
        drop(self.members.remove(&ordinal).expect("runs"));
    }

    /// Ends a member as its process would that is told to.
    pub(crate) async fn leave(&mut self, ordinal: u8) -> Result<(), LeaveError> {
        let Running { member, server, .. } = self.members.remove(&ordinal).expect("runs");
        let left = member.leave().await;
        drop(server);
        left
    }

    pub(crate) fn arbiter(&self) -> MemoryArbiter {
        self.cluster.arbiter()
    }

    /// Waits until so many members are in the view and all is protected.
    pub(crate) async fn settled(&self, members: usize) {
        let register = self.cluster.arbiter();
        eventually(|| {
            let view = register.view();
            view.full().len() == members
                && view.members.len() == members
                && view.version.sub > 0
                && self.members.values().all(|running| running.member.status().view.is_some_and(|adopted| adopted.version == view.version))
        })
        .await;
    }

    /// How many messages all members have sent to others.
    pub(crate) async fn messages(&self) -> u64 {
        let mut sent = 0;
        for running in self.members.values() {
            sent += running.member.control().links().await.expect("runs").iter().map(|link| link.counters.sent).sum::<u64>();
        }
        sent
    }

    /// The member that owns the session of this browser.
    pub(crate) async fn owner(&self, browser: &Browser) -> u8 {
        let key = format!("sess:{}", browser.id().expect("a session"));
        for (ordinal, running) in &self.members {
            let session = running.member.control().session(key.clone().into()).await.expect("runs");
            if session.is_some_and(|session| session.owner.id.get() == *ordinal) {
                return *ordinal;
            }
        }
        panic!("nobody owns {key}");
    }
}

/// Failures are noticed soon.
fn quick(config: &mut Config) {
    config.heartbeat_interval = 50;
    config.failure_timeout = 500;
}

/// A user's browser, with its cookies.
#[derive(Clone)]
pub(crate) struct Browser {
    client: Client,
    jar: std::sync::Arc<Jar>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        let jar = std::sync::Arc::new(Jar::default());
        Self { client: Client::builder().cookie_provider(jar.clone()).build().expect("a client"), jar }
    }

    /// Another browser that has the same session cookie now.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        copy.jar.set_cookies(
            &mut [HeaderValue::from_str(&format!("id={}; Path=/", self.id().expect("a session"))).expect("text")].iter(),
            &site(),
        );
        copy
    }

    /// The id in its session cookie.
    pub(crate) fn id(&self) -> Option<String> {
        let cookies = self.jar.cookies(&site())?;
        cookies.to_str().ok()?.split("; ").find_map(|cookie| cookie.strip_prefix("id=")).map(str::to_owned)
    }

    pub(crate) async fn get(&self, world: &World, ordinal: u8, path: &str) -> Response {
        let url = format!("http://127.0.0.1:{}{path}", world.members[&ordinal].port);
        timeout(PATIENCE, self.client.get(url).send()).await.expect("in time").expect("an answer")
    }

    /// A POST, with all of its reply.
    pub(crate) async fn send(&self, world: &World, ordinal: u8, path: &str) -> Response {
        let url = format!("http://127.0.0.1:{}{path}", world.members[&ordinal].port);
        timeout(PATIENCE, self.client.post(url).send()).await.expect("in time").expect("an answer")
    }

    pub(crate) async fn post(&self, world: &World, ordinal: u8, path: &str) -> StatusCode {
        self.send(world, ordinal, path).await.status()
    }

    pub(crate) async fn cart(&self, world: &World, ordinal: u8) -> Vec<String> {
        let response = self.get(world, ordinal, "/cart").await;
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.expect("a list")
    }

    pub(crate) async fn add(&self, world: &World, ordinal: u8, item: &str) {
        assert_eq!(self.post(world, ordinal, &format!("/cart/{item}")).await, StatusCode::OK);
    }
}

/// A cookie is of a host, whatever the port.
fn site() -> Url {
    Url::parse("http://127.0.0.1/").expect("a constant")
}

pub(crate) async fn eventually(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "it did not come about");
        sleep(Duration::from_millis(5)).await;
    }
}
