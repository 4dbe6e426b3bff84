//! An application that is the member of its pod: processes in the environment that the operator gives them, with a pretend API server and name server around.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use holdfast::{Attribute, Live, Lock, Member, ReplicationLayer, renew_id};
use holdfast_support::api_server::{ApiServer, CLUSTER, kubeconfig};
use holdfast_support::free_port;
use holdfast_support::member::Pod;
use holdfast_support::name_server::NameServer;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};
use tower_sessions::{Session, SessionManagerLayer};

/// Set for a process that is a pod: where its application listens.
const INSIDE: &str = "HOLDFAST_TEST_APPLICATION";

/// Far longer than anything may take; a test that reaches it has hung.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Visits(u32);

impl Attribute for Visits {
    const NAME: &'static str = "visits";
}

/// The application, as it is in a pod: it joins, serves until it is told to end, hands everything over, and leaves.
async fn application(listen: &str) {
    let mut terminate = signal(SignalKind::terminate()).expect("a handler");
    let member = Member::from_env().await.expect("starts");
    member.joined().await.expect("joined");
    let store = member.store();
    let replication = ReplicationLayer::new(&store, SessionManagerLayer::new(store.clone()).with_secure(false))
        .filter("/static/.*")
        .expect("an expression")
        .primary_indicator()
        .lock(Lock::default())
        .expect("long enough");
    let count = async |visits: Live<Visits>| {
        let mut visits = visits.lock();
        visits.0 += 1;
        visits.0.to_string()
    };
    let renew = async |session: Session| renew_id(&session).await.expect("loaded");
    let router = Router::new()
        .route("/", post(count))
        .route("/renew", post(renew))
        .route("/static/style.css", get(|| async {}))
        .layer(replication)
        .route("/ready", get(|| async {}));
    let listener = tokio::net::TcpListener::bind(listen).await.expect("a free port");
    let drain = member.drain();
    let drained = async move {
        terminate.recv().await;
        drain.await.expect("drained");
    };
    axum::serve(listener, router).with_graceful_shutdown(drained).await.expect("served");
    member.leave().await.expect("left in order");
}

struct World {
    api: ApiServer,
    names: NameServer,
    replication: u16,
    net: u8,
}

struct Running {
    process: Child,
    application: SocketAddr,
    admin: SocketAddr,
    folder: tempfile::TempDir,
}

impl World {
    async fn start(members: u8) -> Self {
        // Several of these may run on one machine.
        let net = 1 + (std::process::id() % 80) as u8;
        let ips: Vec<Ipv4Addr> = (0..members).map(|id| ip(net, id)).collect();
        let replication = free_port(&ips).expect("a free port");
        let addresses = (0..members).map(|id| (format!("{CLUSTER}-{id}"), ip(net, id))).collect();
        let names = NameServer::start(addresses, replication).await.expect("starts");
        Self { api: ApiServer::start().await.expect("starts"), names, replication, net }
    }

    fn add(&self, id: u8) -> Running {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("kubeconfig"), kubeconfig(self.api.address)).expect("written");
        let ip = ip(self.net, id);
        let pod = Pod { id, uid: format!("uid-{id}"), ip, replication: self.replication };
        let [application, admin] = free(ip);
        let mut command = pod.command(&std::env::current_exe().expect("this program"), "--exact", folder.path()).expect("a command");
        command
            .args(["an_application_in_its_pod_is_the_member", "--nocapture"])
            .env(INSIDE, application.to_string())
            .env("KUBECONFIG", path("kubeconfig"))
            .env("HOLDFAST_NAMESERVER", self.names.address.to_string())
            .env("HOLDFAST_ADMIN_LISTEN", admin.to_string())
            .stdout(log(&path("out")))
            .stderr(log(&path("log")));
        let process = Command::from(command).kill_on_drop(true).spawn().expect("starts");
        Running { process, application, admin, folder }
    }

    async fn settled(&self, members: usize, running: &[&Running]) {
        let start = Instant::now();
        let is_settled = || self.api.members("Full").len() == members && self.api.members("Leave").is_empty() && self.api.is_settled();
        while !is_settled() {
            assert!(start.elapsed() < PATIENCE, "the view is {}; {}", self.api.shown(), logs(running));
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn ip(net: u8, id: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, net, 77, id + 1)
}

/// All are held until all are known, so that they differ.
fn free<const N: usize>(ip: Ipv4Addr) -> [SocketAddr; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind((ip, 0)).expect("a free port"));
    std::array::from_fn(|n| held[n].local_addr().expect("bound"))
}

fn log(path: &Path) -> Stdio {
    Stdio::from(File::create(path).expect("written"))
}

fn logs(running: &[&Running]) -> String {
    running.iter().map(|running| std::fs::read_to_string(running.folder.path().join("log")).unwrap_or_default()).collect()
}

/// Counts a visit of this browser, and says the number.
async fn visit(browser: &Client, running: &Running) -> String {
    let response = browser.post(format!("http://{}/", running.application)).send().await.expect("an answer");
    response.error_for_status().expect("a visit").text().await.expect("text")
}

async fn ready(browser: &Client, running: &Running) {
    let start = Instant::now();
    while browser.get(format!("http://{}/ready", running.application)).send().await.is_err() {
        assert!(start.elapsed() < PATIENCE, "not ready; {}", logs(&[running]));
        sleep(Duration::from_millis(20)).await;
    }
}

/// Browsers keep a session at whatever address, as behind a gateway.
async fn cookie_of(browser: &Client, running: &Running) -> String {
    let response = browser.post(format!("http://{}/", running.application)).send().await.expect("an answer");
    let cookie = response.headers()["set-cookie"].to_str().expect("text");
    cookie.split(';').next().expect("a pair").to_owned()
}

fn with_cookie(cookie: &str) -> Client {
    let headers = [(reqwest::header::COOKIE, cookie.parse().expect("text"))].into_iter().collect();
    Client::builder().default_headers(headers).build().expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_in_its_pod_is_the_member() {
    if let Ok(listen) = std::env::var(INSIDE) {
        return application(&listen).await;
    }
    let world = World::start(3).await;
    let mut running = [world.add(0), world.add(1), world.add(2)];
    world.settled(3, &running.each_ref()).await;
    let nobody = Client::new();
    for one in &running {
        ready(&nobody, one).await;
    }

    // A session, through all three.
    let cookie = cookie_of(&nobody, &running[0]).await;
    let browser = with_cookie(&cookie);
    assert_eq!(visit(&browser, &running[1]).await, "2");
    assert_eq!(visit(&browser, &running[2]).await, "3");
    for path in ["livez", "readyz", "startedz"] {
        let probe = nobody.get(format!("http://{}/{path}", running[0].admin)).send().await.expect("an answer");
        assert!(probe.status().is_success(), "{path}");
    }
    the_layer_counts(&browser, &running).await;

    // A crash.
    running[0].process.kill().await.expect("killed");
    assert_eq!(visit(&browser, &running[1]).await, "4");
    world.settled(2, &running.each_ref()).await;

    // An end in order: everything is handed over, and the process ends by itself.
    let pid = i32::try_from(running[1].process.id().expect("runs")).expect("a number");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).expect("told to end");
    let end = running[1].process.wait().await.expect("ends");
    assert!(end.success(), "{}", logs(&running.each_ref()));
    assert_eq!(world.api.members("Full"), [format!("{CLUSTER}-2")]);
    assert_eq!(visit(&browser, &running[2]).await, "5");
}

/// After a session was made at the first member, and was changed once at each of the others.
async fn the_layer_counts(browser: &Client, running: &[Running; 3]) {
    let nobody = Client::new();
    browser.get(format!("http://{}/static/style.css", running[0].application)).send().await.expect("an answer");
    let another = with_cookie(&cookie_of(&nobody, &running[2]).await);
    another.post(format!("http://{}/renew", running[2].application)).send().await.expect("an answer");
    for (one, lines) in running.iter().zip([
        &[
            "holdfast_views_adopted_total ",
            r#"holdfast_layer_requests_total{filtered="false"} 1"#,
            r#"holdfast_layer_requests_total{filtered="true"} 1"#,
            r#"holdfast_layer_write_seconds_count{kind="create"} 1"#,
        ][..],
        &[
            r#"holdfast_layer_write_seconds_count{kind="change"} 1"#,
            "holdfast_layer_lock_seconds_count 1",
            r#"holdfast_layer_primary_total{primary="#,
        ],
        &[
            r#"holdfast_layer_requests_total{filtered="false"} 3"#,
            r#"holdfast_layer_write_seconds_count{kind="create"} 2"#,
            "holdfast_layer_id_changes_total 1",
        ],
    ]) {
        let metrics = nobody.get(format!("http://{}/metrics", one.admin)).send().await.expect("an answer").text().await.expect("text");
        for line in lines {
            assert!(metrics.contains(line), "{line} is not in\n{metrics}");
        }
    }
}

#[tokio::test]
async fn a_missing_variable_is_named() {
    // Whoever runs the tests is in no pod.
    if std::env::var_os("HOLDFAST_CLUSTER").is_some() {
        return;
    }
    let error = Member::from_env().await.expect_err("no environment");
    let source = std::error::Error::source(&error).expect("a reason").to_string();
    assert!(source.contains("HOLDFAST_CLUSTER") && source.contains("HOLDFAST_POD_NAME"), "{source}");
}
