//! Three processes become a cluster, lose one by SIGKILL or find it frozen, let another go in order, and every session is still there.

use std::net::Ipv4Addr;
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use holdfast_api::names;
use holdfast_support::api_server::ApiServer;
use holdfast_support::free_port;
use holdfast_support::member::{Member, Pod, Surroundings};
use holdfast_support::name_server::NameServer;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

const BINARY: &str = env!("CARGO_BIN_EXE_holdfast-runtime");

/// What each test writes first.
const SESSIONS: usize = 90;

/// A takeover may take so much longer, beyond its limit on a machine that does nothing else, as reading all sessions takes when nothing has happened:
/// the members then wait for the processor as often as the reader does.
const BUSY: u32 = 10;

const PATIENCE: Duration = Duration::from_secs(30);

/// Addresses of no other test; all members use the same port, as pods do.
fn ip(test: u8, id: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 83, test, id + 1)
}

/// A cluster of three, and the world around it.
struct Three {
    processes: Vec<Process>,
    api: ApiServer,
    _name_server: NameServer,
}

impl Three {
    /// Ready, with [`SESSIONS`] sessions that were written at all of them.
    async fn start(test: u8) -> Self {
        let api = ApiServer::start().await.expect("a free port");
        let replication = free_port(&[0, 1, 2].map(|id| ip(test, id))).expect("a free port");
        let names = (0..3).map(|id| (format!("shop-{id}"), ip(test, id))).collect();
        let name_server = NameServer::start(names, replication).await.expect("a free port");
        let surroundings = Surroundings { api_server: api.address, name_server: name_server.address, copies: 1, threads: None };
        let start = |id| {
            let pod = Pod { id, uid: format!("uid-{id}"), ip: ip(test, id), replication };
            Process(Member::start(Path::new(BINARY), &pod, surroundings).expect("starts"))
        };
        let processes: Vec<Process> = (0..3).map(start).collect();
        for process in &processes {
            process.ready().await;
        }
        for n in 0..SESSIONS {
            let mut redis = processes[n % 3].redis().await;
            redis.set_ex::<_, _, ()>(format!("sess:{n}"), format!("v{n}"), 600).await.expect("acknowledged");
        }
        Self { processes, api, _name_server: name_server }
    }
}

/// One of them.
struct Process(Member);

impl Deref for Process {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.0
    }
}

impl Process {
    async fn probe(&self, path: &str) -> Option<u16> {
        let mut stream = TcpStream::connect(self.admin).await.ok()?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    }

    async fn ready(&self) {
        let start = Instant::now();
        while self.probe("/readyz").await != Some(200) {
            assert!(start.elapsed() < PATIENCE, "not ready:\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn redis(&self) -> MultiplexedConnection {
        let client = redis::Client::open(format!("redis+unix://{}", self.path("redis.sock").display())).expect("a URL");
        // The client's own limit of half a second is shorter than the time that a failover may take.
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        client.get_multiplexed_async_connection_with_config(&config).await.expect("the front door is open")
    }

    async fn drain(&self) -> (Option<i32>, String) {
        let mut command = Command::new(BINARY);
        command.arg("drain").env_clear().env("HOLDFAST_ADMIN_SOCKET", self.path("admin.sock")).kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await.expect("ends").expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn signal(&self, signal: &str) {
        let pid = self.pid.to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await.expect("runs");
        assert!(sent.success());
    }

    /// As the kubelet does once the application has ended.
    async fn terminate(&mut self) -> Option<i32> {
        self.signal("-TERM").await;
        timeout(PATIENCE, self.0.ended()).await.expect("ends").expect("ends")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_live_as_one_cluster_and_lose_nothing() {
    let Three { mut processes, api, _name_server } = Three::start(11).await;
    for process in &processes {
        assert_eq!(process.probe("/startedz").await, Some(200));
        assert_eq!(process.probe("/livez").await, Some(200));
        assert_eq!(process.probe("/v1/view").await, Some(401));
        assert_eq!(process.probe("/metrics").await, Some(200));
    }
    for id in 0..3 {
        let told = api.annotation(&names::links_annotation(id)).expect("each says how its links are");
        assert_eq!(told, format!(r#"{{"podUID":"uid-{id}","encrypted":false}}"#));
    }

    let calm = timed_check(&processes[0]).await;
    processes[1].0.kill().await.expect("killed");
    let took = timed_check(&processes[0]).await;
    let limit = Duration::from_secs(1) + BUSY * calm;
    assert!(took < limit, "took over within {took:?}, and not {limit:?}; {calm:?} before:\n{}", processes[0].log());
    assert!(!api.members("Full").contains(&"shop-1".to_owned()), "{}", processes[0].log());

    let (code, out) = processes[2].drain().await;
    assert_eq!(code, Some(0), "{out}\n{}", processes[2].log());
    assert!(out.ends_with("drained\n"), "{out}");
    assert_eq!(api.members("Leave"), ["shop-2"]);
    assert_eq!(processes[2].probe("/readyz").await, Some(503));
    check(&processes[2]).await;
    let start = Instant::now();
    assert_eq!(processes[2].terminate().await, Some(0), "{}", processes[2].log());
    assert!(start.elapsed() < Duration::from_secs(6), "ended after {:?}:\n{}", start.elapsed(), processes[2].log());
    assert_eq!((api.members("Full"), api.members("Leave")), (vec!["shop-0".to_owned()], Vec::new()));
    assert!(!processes[2].path("redis.sock").exists() && !processes[2].path("admin.sock").exists(), "sockets are cleaned up");

    check(&processes[0]).await;
    for process in &processes {
        assert!(!process.log().contains("ERROR"), "{}", process.log());
    }
    assert_eq!(processes[0].terminate().await, Some(0), "{}", processes[0].log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_process_is_replaced_and_joins_again_when_it_thaws() {
    let Three { processes, api, _name_server } = Three::start(12).await;
    let calm = timed_check(&processes[0]).await;
    processes[1].signal("-STOP").await;
    let took = timed_check(&processes[0]).await;
    let limit = Duration::from_millis(3500) + BUSY * calm;
    assert!(took < limit, "took over within {took:?}, and not {limit:?}; {calm:?} before:\n{}", processes[0].log());
    assert_eq!(api.members("Full"), ["shop-0", "shop-2"]);
    sleep(Duration::from_secs(1)).await;
    processes[1].signal("-CONT").await;
    let start = Instant::now();
    while api.members("Full").len() < 3 {
        assert!(start.elapsed() < PATIENCE, "did not join again:\n{}", processes[1].log());
        sleep(Duration::from_millis(20)).await;
    }
    processes[1].ready().await;
    check(&processes[1]).await;
    for process in &processes {
        assert!(!process.log().contains("ERROR"), "{}", process.log());
    }
    assert!(!processes[1].log().contains("a member is suspected"), "its own silence was held against others:\n{}", processes[1].log());
}

/// How long it takes to see that all sessions are there.
async fn timed_check(process: &Process) -> Duration {
    let start = Instant::now();
    check(process).await;
    start.elapsed()
}

/// All sessions are there.
async fn check(process: &Process) {
    let mut redis = process.redis().await;
    for n in 0..SESSIONS {
        let value: String = redis.get(format!("sess:{n}")).await.expect("an answer");
        assert_eq!(value, format!("v{n}"));
    }
}
