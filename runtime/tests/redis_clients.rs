//! Who is connected to the front door, and who has to go: users, idle clients, those that others end, and thousands at once.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use futures::future::join_all;
use holdfast_runtime::redis::{Server, Settings};
use holdfast_support::resp::request;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::client::Client;
use support::memory::Memory;
use support::{open, users};
use tokio_util::sync::CancellationToken;

fn memory() -> Memory {
    Memory::new(1 << 20)
}

#[tokio::test]
async fn nothing_is_done_for_a_stranger() {
    let (users, folder) = users().await;
    let door = open(memory(), Settings { users: Some(users), ..Settings::default() }).await;
    let mut client = Client::connect(door.address).await;
    assert_eq!(client.tell("SET k v").await, "-NOAUTH Authentication required.\r\n");
    // What comes behind in one piece is looked at when it is known who this is.
    client.send(b"AUTH shop other\r\nSET k v\r\nCLIENT LIST\r\nRESET\r\nGET k\r\n").await;
    assert_eq!([client.reply().await, client.reply().await].concat(), b"+OK\r\n+OK\r\n");
    let list = String::from_utf8(client.reply().await).expect("text");
    assert!(list.contains(" user=shop "), "{list}");
    assert_eq!([client.reply().await, client.reply().await].concat(), b"+RESET\r\n-NOAUTH Authentication required.\r\n");
    assert_eq!(client.tell("AUTH secret").await, "+OK\r\n");
    assert_eq!(client.tell("ACL WHOAMI").await, "$7\r\ndefault\r\n");

    // Who is taken away has to go, and others stay.
    let mut shop = Client::connect(door.address).await;
    assert_eq!(shop.tell("AUTH shop other").await, "+OK\r\n");
    let path = folder.path().join("users");
    let lines = std::fs::read_to_string(&path).expect("a file");
    std::fs::write(&path, lines.lines().next().expect("a line")).expect("a file");
    assert_eq!(shop.rest().await, b"");
    assert_eq!(client.tell("GET k").await, "$1\r\nv\r\n");
}

#[tokio::test]
async fn clients_end_each_other_and_themselves() {
    let door = open(memory(), Settings::default()).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(door.address).await;
        let id = client.tell("CLIENT ID").await[1..].trim().to_owned();
        let address = client.stream.local_addr().expect("connected");
        clients.push((client, id, address));
    }
    let mut listener = Client::connect(door.address).await;
    listener.tell("SUBSCRIBE a").await;
    let (mut first, id, _) = clients.remove(0);
    assert_eq!(first.tell(&format!("CLIENT KILL ID {id}")).await, ":0\r\n", "itself is left out");
    assert_eq!(first.tell(&format!("CLIENT KILL ID {}", clients[0].1)).await, ":1\r\n");
    assert_eq!(clients[0].0.rest().await, b"");
    assert_eq!(first.tell(&format!("CLIENT KILL {}", clients[1].2)).await, "+OK\r\n");
    assert_eq!(clients[1].0.rest().await, b"");
    assert_eq!(first.tell(&format!("CLIENT KILL {}", clients[1].2)).await, "-ERR No such client\r\n");
    assert!(first.tell("CLIENT LIST TYPE pubsub").await.contains(" sub=1 "));
    assert_eq!(first.tell("CLIENT KILL TYPE pubsub").await, ":1\r\n");
    assert_eq!(listener.rest().await, b"");
    first
        .send(
            &[request(&[b"CLIENT", b"KILL", b"LADDR", door.address.to_string().as_bytes(), b"SKIPME", b"no"]), request(&[b"PING"])]
                .concat(),
        )
        .await;
    assert_eq!(first.rest().await, b":2\r\n", "it is told, and nothing more is done");
    assert_eq!(clients[2].0.rest().await, b"");
}

/// Sends as fast as it is read, and reads what is answered, in threads of its own. Returns whether its connection ended in time.
fn flood(address: std::net::SocketAddr) -> (std::net::SocketAddr, std::thread::JoinHandle<bool>) {
    let stream = std::net::TcpStream::connect(address).expect("a place");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let (mut reader, from) = (stream.try_clone().expect("a socket"), stream.local_addr().expect("connected"));
    std::thread::spawn(move || {
        let pings = b"PING\r\n".repeat(10_000);
        while (&stream).write_all(&pings).is_ok() {}
    });
    let ended = std::thread::spawn(move || {
        let (mut seen, begun) = (vec![0; 1 << 20], Instant::now());
        while begun.elapsed() < Duration::from_secs(20) {
            match reader.read(&mut seen) {
                Ok(1..) => {}
                Ok(0) => return true,
                Err(error) => return error.kind() == ErrorKind::ConnectionReset,
            }
        }
        let _ = reader.shutdown(std::net::Shutdown::Both);
        false
    });
    (from, ended)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_pauses_is_ended_too() {
    let mut door = open(memory(), Settings::default()).await;
    let (from, killed) = flood(door.address);
    let (_, stopped) = flood(door.address);
    let mut client = Client::connect(door.address).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client.tell(&format!("CLIENT KILL {from}")).await, "+OK\r\n");
    assert!(tokio::task::spawn_blocking(|| killed.join().expect("no panic")).await.expect("no panic"), "by another client");
    door.shutdown.cancel();
    assert!(tokio::task::spawn_blocking(|| stopped.join().expect("no panic")).await.expect("no panic"), "by the end of the member");
    // Not cut off: that would take five seconds.
    let task = std::mem::replace(&mut door.task, tokio::spawn(async {}));
    tokio::time::timeout(Duration::from_secs(4), task).await.expect("in order").expect("no panic");
}

#[tokio::test]
async fn replies_can_be_switched_off() {
    let door = open(memory(), Settings::default()).await;
    let mut client = Client::connect(door.address).await;
    let lines = "CLIENT REPLY SKIP\r\nSET k 1\r\nGET k\r\nCLIENT REPLY OFF\r\nINCR k\r\nNOSUCH\r\nCLIENT REPLY SKIP\r\nINCR k\r\nINCR k\r\n\
                 CLIENT REPLY ON\r\nGET k\r\nCLIENT REPLY OFF\r\nRESET\r\nPING\r\nQUIT\r\n";
    client.send(lines.as_bytes()).await;
    assert_eq!(String::from_utf8_lossy(&client.rest().await), "$1\r\n1\r\n+OK\r\n$1\r\n4\r\n+RESET\r\n+PONG\r\n+OK\r\n");
}

#[tokio::test]
async fn idle_clients_are_closed_if_that_is_wanted() {
    let server =
        Server::bind(Settings { listen: ([127, 0, 0, 1], 0).into(), timeout: 100, ..Settings::default() }).await.expect("a free port");
    let (address, shutdown) = (server.address(), CancellationToken::new());
    let task = tokio::spawn(server.run(memory(), shutdown.clone()));
    let (mut idle, mut half, mut listener) =
        (Client::connect(address).await, Client::connect(address).await, Client::connect(address).await);
    assert_eq!(idle.tell("CONFIG GET timeout").await, "*2\r\n$7\r\ntimeout\r\n$3\r\n100\r\n");
    half.send(b"*1\r\n$4\r\nPI").await;
    listener.tell("SUBSCRIBE a").await;
    let pass = async |seconds| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    pass(60).await;
    assert_eq!(idle.tell("PING").await, "+PONG\r\n");
    pass(60).await;
    assert_eq!(half.rest().await, b"", "half of a request is not enough");
    assert_eq!(idle.tell("PING").await, "+PONG\r\n");
    pass(102).await;
    assert_eq!(idle.rest().await, b"");
    let mut late = Client::connect(address).await;
    pass(60).await;
    assert_eq!(late.tell("PING").await, "+PONG\r\n", "its time begins when it comes");
    let mut other = Client::connect(address).await;
    assert_eq!(other.tell("CONFIG SET timeout 0").await, "+OK\r\n");
    pass(10_000).await;
    assert_eq!(other.tell("PUBLISH a b").await, ":1\r\n");
    listener.reply().await;
    shutdown.cancel();
    drop((late, other, listener));
    task.await.expect("an end in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_clients_are_served_at_once() {
    const CLIENTS: usize = 5_000;
    // Both ends are here.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most.min(1 << 20), most).expect("within what is allowed");
    assert!(most >= 2 * CLIENTS as u64 + 100, "{most} open files are too few for this test");
    let door = open(memory(), Settings::default()).await;
    let before = resident();
    let mut clients = Vec::with_capacity(CLIENTS);
    for number in 0..CLIENTS {
        let mut client = Client::connect(door.address).await;
        // The queue of those that are not accepted yet is not endless.
        if number % 100 == 0 {
            assert_eq!(client.tell("PING").await, "+PONG\r\n");
        }
        clients.push(client);
    }
    let begin = Instant::now();
    for round in 0..2 {
        let each = clients.iter_mut().enumerate().map(|(number, client)| async move {
            let (key, value) = (format!("sess:{number}"), format!("value {round}"));
            assert_eq!(client.ask(&[b"SET", key.as_bytes(), value.as_bytes()]).await, b"+OK\r\n");
            assert_eq!(client.ask(&[b"GET", key.as_bytes()]).await, format!("$7\r\n{value}\r\n").as_bytes());
        });
        join_all(each).await;
    }
    let (took, taken) = (begin.elapsed(), resident().saturating_sub(before) / CLIENTS as u64);
    assert!(clients[0].tell("INFO clients").await.contains("connected_clients:5000\r\n"));
    assert!(took < Duration::from_secs(60), "took {took:?}");
    // Of which the client of this test takes a part.
    assert!(taken < 64 << 10, "{taken} bytes for each connection");
}

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    pages.split(' ').nth(1).expect("a second field").parse::<u64>().expect("a number") * 4096
}
