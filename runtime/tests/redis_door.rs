//! The front door as clients meet it: order, limits, and what becomes of those that misbehave.

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_core::engine::NotTogether;
use holdfast_core::{Command, CommandError, Reply, ScanPage};
use holdfast_runtime::broadcast::Broadcast;
use holdfast_runtime::redis::{Counts, Server, Sessions, Settings};
use holdfast_support::resp::request;
use support::client::Client;
use support::memory::Memory;
use support::open;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::broadcast;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const MAX_BYTES: u64 = 1 << 20;

fn memory() -> Memory {
    Memory::new(MAX_BYTES)
}

/// Sessions that never answer.
#[derive(Clone)]
struct Stuck;

impl Sessions for Stuck {
    async fn execute(&self, key: Bytes, _: Command) -> Reply {
        match &key[..] {
            b"stuck" => std::future::pending().await,
            b"lost" => Reply::Error(CommandError::OutcomeUnknown),
            _ => Reply::Int(1),
        }
    }

    async fn execute_together(&self, _: Vec<(Bytes, Command)>, _: &[(Bytes, u128)]) -> Result<Vec<Reply>, NotTogether> {
        Err(NotTogether::Apart)
    }

    async fn scan(&self, _: u64, _: usize) -> Result<ScanPage, CommandError> {
        Err(CommandError::NotJoined)
    }

    fn publish(&self, _: Bytes, _: Bytes) -> Result<(), CommandError> {
        Err(CommandError::NotJoined)
    }

    fn want_notices(&self, _: u16) {}

    fn listen(&self) -> Option<broadcast::Receiver<Broadcast>> {
        None
    }

    fn counts(&self) -> Counts {
        Counts::default()
    }
}

#[tokio::test]
async fn a_pipeline_is_answered_in_order_and_one_key_sees_its_commands_in_order() {
    let mut memory = memory();
    memory.delay = Duration::from_millis(1);
    let door = open(memory, Settings::default()).await;
    let mut client = Client::connect(door.address).await;
    let (mut sent, mut expected) = (Vec::new(), String::new());
    for round in 0..100 {
        let (key, value) = (format!("key{}", round % 7), format!("value{round}"));
        sent.extend(request(&[b"SET", key.as_bytes(), value.as_bytes()]));
        sent.extend(request(&[b"GET", key.as_bytes()]));
        sent.extend(request(&[b"ECHO", value.as_bytes()]));
        sent.extend(request(&[b"EXISTS", key.as_bytes(), b"none"]));
        let bulk = format!("${}\r\n{value}\r\n", value.len());
        expected += &format!("+OK\r\n{bulk}{bulk}:1\r\n");
    }
    sent.extend(request(&[b"QUIT"]));
    client.send(&sent).await;
    assert_eq!(String::from_utf8_lossy(&client.rest().await), expected + "+OK\r\n");
}

#[tokio::test]
async fn commands_on_different_keys_run_side_by_side() {
    let mut memory = memory();
    memory.delay = Duration::from_millis(50);
    let door = open(memory, Settings::default()).await;
    let mut client = Client::connect(door.address).await;
    let begin = Instant::now();
    let sent: Vec<u8> = (0..50).flat_map(|key| request(&[b"SET", format!("key{key}").as_bytes(), b"v"])).collect();
    client.send(&sent).await;
    for _ in 0..50 {
        assert_eq!(client.reply().await, b"+OK\r\n");
    }
    assert!(begin.elapsed() < Duration::from_secs(1), "one after the other takes 2.5 s");
}

#[tokio::test]
async fn an_answer_does_not_wait_for_a_later_command() {
    let door = open(Stuck, Settings::default()).await;
    let mut client = Client::connect(door.address).await;
    client.send(&[request(&[b"DEL", b"a"]), request(&[b"DEL", b"stuck"])].concat()).await;
    assert_eq!(client.reply().await, b":1\r\n");
}

#[tokio::test]
async fn what_failed_is_told_and_the_connection_goes_on() {
    let door = open(Stuck, Settings::default()).await;
    let mut client = Client::connect(door.address).await;
    let unknown = "-UNKNOWN the member that ran this write left the cluster; its outcome is unknown\r\n";
    assert_eq!(client.tell("DEL lost").await, unknown);
    assert_eq!(client.tell("DEL a lost b").await, unknown);
    assert_eq!(client.tell("SCAN 0").await, "-LOADING this member has not joined the cluster yet\r\n");
    assert_eq!(client.tell("DBSIZE").await, "-LOADING this member has not joined the cluster yet\r\n");
    assert!(client.tell("INFO").await.contains("\r\nloading:1\r\n"), "libraries wait for 0");
    assert_eq!(client.tell("NOSUCH").await, "-ERR unknown command 'NOSUCH', with args beginning with: \r\n");
    assert_eq!(client.tell("XLEN a").await, "-ERR unknown command 'XLEN', with args beginning with: 'a' \r\n");
    assert_eq!(client.tell("CLIENT MAINT_NOTIFICATIONS ON").await, "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n");
    assert_eq!(client.tell("PING").await, "+PONG\r\n");
}

#[tokio::test]
async fn a_value_over_the_limit_is_refused_and_the_connection_goes_on() {
    let door = open(memory(), Settings { max_bytes: MAX_BYTES, ..Settings::default() }).await;
    let mut client = Client::connect(door.address).await;
    for length in [MAX_BYTES as usize + 1, MAX_BYTES as usize + 1000, 5 << 20, 20 << 20] {
        let reply = client.ask(&[b"SET", b"k", &vec![b'x'; length]]).await;
        let expected = format!("-ERR value of {length} bytes is larger than sessions.maxBytes, which is 1048576\r\n");
        assert_eq!(String::from_utf8_lossy(&reply), expected);
        assert_eq!(client.tell("GET k").await, "$-1\r\n");
    }
    let largest = vec![b'x'; MAX_BYTES as usize];
    assert_eq!(client.ask(&[b"SET", b"k", &largest]).await, b"+OK\r\n");
    assert_eq!(client.ask(&[b"GET", b"k"]).await.len(), largest.len() + 12);
    let key = vec![b'k'; (16 << 10) + 1];
    assert_eq!(client.ask(&[b"GET", &key]).await, b"-ERR key of 16385 bytes is larger than 16384\r\n");
    let keys: Vec<&[u8]> = std::iter::once(&b"DEL"[..]).chain(std::iter::repeat_n(&key[..1000], 5000)).collect();
    assert!(client.ask(&keys).await.starts_with(b"-ERR request of "));
    assert_eq!(client.tell("PING").await, "+PONG\r\n");
}

#[tokio::test]
async fn a_small_request_does_not_make_a_huge_answer() {
    let door = open(memory(), Settings::default()).await;
    let mut client = Client::connect(door.address).await;
    assert_eq!(client.ask(&[b"HSET", b"h", b"f", &vec![b'x'; 1 << 20][..1 << 19]]).await, b":1\r\n");
    let repeat = |begin: &[&'static str], word: &'static str, times: usize| {
        let words: Vec<&[u8]> = begin.iter().copied().chain(std::iter::repeat_n(word, times)).map(str::as_bytes).collect();
        request(&words)
    };
    for (sent, answer) in [
        (repeat(&["HMGET", "h"], "f", 100_000), "-ERR the values are more than 67108864 bytes"),
        (repeat(&["COMMAND", "INFO"], "get", 100_000), "-ERR more than 1000 names"),
        (repeat(&["CONFIG", "GET"], "*", 100_000), "-ERR more than 64 patterns"),
        (repeat(&["CLIENT", "LIST", "ID"], "1", 100_000), "$"),
    ] {
        client.send(&sent).await;
        let reply = client.reply().await;
        assert!(reply.starts_with(answer.as_bytes()) && reply.len() < 1000, "{}", String::from_utf8_lossy(&reply[..reply.len().min(200)]));
    }
    client.send(&repeat(&["HMGET", "h", "g"], "f", 3)).await;
    let reply = client.reply().await;
    assert!(reply.starts_with(b"*4\r\n$-1\r\n$524288\r\n") && reply.len() > 3 << 19);
}

#[tokio::test]
async fn a_transaction_of_few_bytes_does_not_make_a_huge_answer() {
    let door = open(memory(), Settings::default()).await;
    let mut client = Client::connect(door.address).await;
    assert_eq!(client.ask(&[b"SET", b"k", &vec![b'x'; 1 << 20]]).await, b"+OK\r\n");
    assert_eq!(client.ask(&[b"SET", b"l", &vec![b'x'; 1 << 20]]).await, b"+OK\r\n");
    let before = resident();
    for (commands, limit) in
        [(&["GET k"][..], 20), (&["GET k", "GET l"], 40), (&["GET k", "PING", "GET l", "ECHO a"], 66), (&["CLIENT LIST"], 66)]
    {
        assert_eq!(client.tell("MULTI").await, "+OK\r\n");
        let sent = commands.iter().flat_map(|line| request(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())).collect::<Vec<_>>();
        for _ in 0..3000 / commands.len() {
            client.send(&sent).await;
            for _ in commands {
                assert_eq!(client.reply().await, b"+QUEUED\r\n");
            }
        }
        client.send(&request(&[b"EXEC"])).await;
        let length = client.reply().await.len();
        assert!(length < limit << 20, "{} MiB for {commands:?}", length >> 20);
    }
    // What is known before waits with the commands.
    assert_eq!(client.tell("MULTI").await, "+OK\r\n");
    client.send(&[&request(&[b"COMMAND"]).repeat(20_000)[..], &request(&[b"EXEC"])].concat()).await;
    let mut last = Vec::new();
    for _ in 0..=20_000 {
        last = client.reply().await;
    }
    assert_eq!(last, b"-EXECABORT Transaction discarded because of previous errors.\r\n");
    let grown = resident().saturating_sub(before);
    assert!(grown < 400 << 20, "{} MiB were taken", grown >> 20);
}

#[tokio::test]
async fn a_refused_client_learns_why_although_it_is_still_sending() {
    let door = open(memory(), Settings::default()).await;
    let mut client = Client::connect(door.address).await;
    let mut sent = request(&[b"SET", b"k", b"v"]);
    sent.extend_from_slice(b"*1000000000\r\n");
    sent.extend(vec![b'x'; 4 << 20]);
    client.send(&sent).await;
    assert_eq!(client.rest().await, b"+OK\r\n-ERR Protocol error: invalid multibulk length\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_pings_may_be_sent_before_the_first_reply_is_read() {
    let door = open(memory(), Settings::default()).await;
    let mut client = Client::connect(door.address).await;
    client.send(&request(&[b"PING"]).repeat(1_000_000)).await;
    let mut replies = vec![0; 7_000_000];
    timeout(Duration::from_secs(30), client.stream.read_exact(&mut replies)).await.expect("in time").expect("connected");
    assert_eq!(replies, b"+PONG\r\n".repeat(1_000_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_stopped_and_harms_no_other() {
    let memory = memory();
    let door = open(memory, Settings::default()).await;
    let mut other = Client::connect(door.address).await;
    let value = vec![b'x'; 1 << 20];
    for key in 0..64_u8 {
        assert_eq!(other.ask(&[b"SET", &[key], &value]).await, b"+OK\r\n");
    }
    let before = resident();
    let mut greedy = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect(door.address).await;
        // Each asks for 2 GB.
        let sent: Vec<u8> = (0..64).flat_map(|key| request(&[b"GET", &[key]])).collect::<Vec<_>>().repeat(32);
        let writing = timeout(Duration::from_millis(300), client.stream.write_all(&sent)).await;
        greedy.push((client, writing));
        assert_eq!(other.tell("PING").await, "+PONG\r\n");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    // 64 MiB for all together, one value more for each, and what allocators round up.
    let grown = resident().saturating_sub(before);
    assert!(grown < 200 << 20, "{} MiB are kept for clients that do not read", grown >> 20);
}

#[tokio::test]
async fn a_client_that_takes_nothing_for_a_minute_is_closed() {
    let door = open(memory(), Settings::default()).await;
    let mut client = Client::connect(door.address).await;
    assert_eq!(client.ask(&[b"SET", b"k", &vec![b'x'; 1 << 20]]).await, b"+OK\r\n");
    client.send(&request(&[b"GET", b"k"]).repeat(100)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    let mut taken = Vec::new();
    // What the kernels hold comes, then the end, in order or not.
    let _ = timeout(Duration::from_secs(10), client.stream.read_to_end(&mut taken)).await.expect("an end");
    assert!(taken.len() < 50 << 20, "{} bytes came", taken.len());
}

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    pages.split(' ').nth(1).expect("a second field").parse::<u64>().expect("a number") * 4096
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let door = open(memory(), Settings { max_clients: 2, ..Settings::default() }).await;
    let mut first = Client::connect(door.address).await;
    let mut second = Client::connect(door.address).await;
    assert_eq!(first.tell("PING").await, "+PONG\r\n");
    assert_eq!(second.tell("PING").await, "+PONG\r\n");
    let mut third = Client::connect(door.address).await;
    third.send(&request(&[b"HELLO", b"3"])).await;
    assert_eq!(third.rest().await, b"-ERR max number of clients reached\r\n");
    assert!(first.tell("INFO stats").await.contains("rejected_connections:1\r\n"));
    drop(second);
    let begin = Instant::now();
    loop {
        let mut next = Client::connect(door.address).await;
        next.send(&request(&[b"PING"])).await;
        if next.reply().await == b"+PONG\r\n" {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "the place is not given back");
    }
}

#[tokio::test]
async fn a_browser_gets_no_answer() {
    let door = open(memory(), Settings::default()).await;
    let mut client = Client::connect(door.address).await;
    client.send(b"POST / HTTP/1.1\r\nHost: 127.0.0.1:6379\r\n\r\nSET k v\r\n").await;
    let mut rest = Vec::new();
    // The connection may be reset, as unread bytes are dropped.
    let _ = client.stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!(Client::connect(door.address).await.tell("GET k").await, "$-1\r\n");
}

#[tokio::test]
async fn the_unix_socket_serves_the_same_sessions() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("redis.sock");
    let door = open(memory(), Settings { socket: Some(path.clone()), ..Settings::default() }).await;
    assert_eq!(Client::connect(door.address).await.tell("SET k v").await, "+OK\r\n");
    let mut stream = tokio::net::UnixStream::connect(&path).await.expect("a socket");
    stream.write_all(b"GET k\r\nCLIENT INFO\r\nQUIT\r\n").await.expect("connected");
    let mut replies = String::new();
    timeout(Duration::from_secs(5), stream.read_to_string(&mut replies)).await.expect("in time").expect("an end in order");
    assert!(replies.starts_with("$1\r\nv\r\n") && replies.contains(" flags=U ") && replies.ends_with("+OK\r\n"), "{replies}");
    door.shutdown.cancel();
    timeout(Duration::from_secs(5), async {
        while !door.task.is_finished() {
            tokio::task::yield_now().await
        }
    })
    .await
    .expect("an end");
    assert!(!path.exists(), "the socket goes with the server");
}

#[tokio::test]
async fn at_the_end_requests_that_came_are_answered() {
    let mut memory = memory();
    memory.delay = Duration::from_millis(200);
    let door = open(memory, Settings::default()).await;
    let mut idle = Client::connect(door.address).await;
    let mut busy = Client::connect(door.address).await;
    busy.send(&[request(&[b"SET", b"a", b"1"]), request(&[b"SET", b"a", b"2"])].concat()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    door.shutdown.cancel();
    assert_eq!(busy.rest().await, b"+OK\r\n+OK\r\n");
    assert_eq!(idle.rest().await, b"");
}

#[tokio::test]
async fn a_client_that_stops_sending_still_gets_its_answers() {
    let mut memory = memory();
    memory.delay = Duration::from_millis(50);
    let door = open(memory, Settings::default()).await;
    let mut client = Client::connect(door.address).await;
    client.send(&[request(&[b"SET", b"a", b"1"]), request(&[b"GET", b"a"]), b"*1\r\n$4\r\nPI".to_vec()].concat()).await;
    client.stream.shutdown().await.expect("connected");
    assert_eq!(client.rest().await, b"+OK\r\n$1\r\n1\r\n");
}

#[tokio::test]
async fn an_address_in_use_a_public_one_or_a_missing_folder_is_named() {
    let public = Server::bind(Settings { listen: ([0, 0, 0, 0], 0).into(), ..Settings::default() }).await.expect_err("public");
    assert!(public.to_string().contains("`0.0.0.0:0` is not right: it must be a loopback address"), "{public}");
    let door = open(memory(), Settings::default()).await;
    let taken = Server::bind(Settings { listen: door.address, ..Settings::default() }).await.expect_err("taken");
    let text = format!("{:#}", anyhow::Error::from(taken));
    assert!(text.contains("HOLDFAST_REDIS_LISTEN") && text.contains(&door.address.to_string()) && text.contains("in use"), "{text}");
    let listen = ([127, 0, 0, 1], 0).into();
    let missing = Server::bind(Settings { listen, socket: Some("/nonexistent/redis.sock".into()), ..Settings::default() })
        .await
        .expect_err("missing");
    let text = format!("{:#}", anyhow::Error::from(missing));
    assert!(text.contains("HOLDFAST_REDIS_SOCKET") && text.contains("the folder `/nonexistent` is not there"), "{text}");
}

#[tokio::test]
async fn idle_connections_stay() {
    let server = Server::bind(Settings { listen: ([127, 0, 0, 1], 0).into(), ..Settings::default() }).await.expect("a free port");
    let address = server.address();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(server.run(memory(), shutdown.clone()));
    let mut client = Client::connect(address).await;
    assert_eq!(client.tell("PING").await, "+PONG\r\n");
    // Half of a request is no reason to hurry either.
    client.send(b"*1\r\n$4\r\nPI").await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(86_400)).await;
    tokio::time::resume();
    client.send(b"NG\r\n").await;
    assert_eq!(client.reply().await, b"+PONG\r\n");
    drop(client);
    shutdown.cancel();
    task.await.expect("an end in order");
}

#[tokio::test]
async fn a_pause_makes_clients_wait_and_who_goes_meanwhile_is_forgotten() {
    let door = open(memory(), Settings::default()).await;
    let (mut one, mut two) = (Client::connect(door.address).await, Client::connect(door.address).await);
    assert_eq!(one.tell("CLIENT PAUSE 60000 WRITE").await, "+OK\r\n");
    assert_eq!(two.tell("GET k").await, "$-1\r\n", "reads go on");
    two.send(b"SET k 1\r\nGET k\r\nNOSUCH\r\n").await;
    let mut three = Client::connect(door.address).await;
    for line in ["MULTI", "GET k"] {
        three.tell(line).await;
    }
    assert_eq!(three.tell("EXEC").await, "*1\r\n$-1\r\n", "it only reads, and nothing was written");
    let mut four = Client::connect(door.address).await;
    four.send(b"CLIENT SETNAME four\r\nSET gone 1\r\n").await;
    while !one.tell("CLIENT LIST").await.contains("name=four") {}
    drop(four);
    while one.tell("CLIENT LIST").await.contains("name=four") {}
    assert_eq!(one.tell("CLIENT UNPAUSE").await, "+OK\r\n");
    for reply in ["+OK\r\n", "$1\r\n1\r\n", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n"] {
        assert_eq!(String::from_utf8_lossy(&two.reply().await), reply);
    }
    assert_eq!(one.tell("CLIENT PAUSE 300").await, "+OK\r\n");
    assert_eq!(two.tell("NOSUCH").await, "-ERR unknown command 'NOSUCH', with args beginning with: \r\n", "nothing is carried out");
    let began = Instant::now();
    assert_eq!(two.tell("PING").await, "+PONG\r\n");
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    assert_eq!(one.tell("EXISTS gone").await, ":0\r\n");
}

#[tokio::test]
async fn a_random_key_is_one_that_exists() {
    let door = open(memory(), Settings::default()).await;
    let mut client = Client::connect(door.address).await;
    assert_eq!(client.tell("RANDOMKEY").await, "$-1\r\n");
    client.tell("MSET a 1 b 1 c 1").await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        seen.insert(client.tell("RANDOMKEY").await);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["$1\r\na\r\n", "$1\r\nb\r\n", "$1\r\nc\r\n"]);
}
