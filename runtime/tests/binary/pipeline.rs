//! A pipeline without an end goes through a process whose memory stays what it is.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use holdfast_support::api_server::ApiServer;
use holdfast_support::free_port;
use holdfast_support::member::{Member, Pod, Surroundings};
use holdfast_support::name_server::NameServer;
use holdfast_support::resp::request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How many commands; another number may be given as HOLDFAST_PIPELINE. Ten million take some minutes without optimisation.
const COMMANDS: usize = 500_000;

/// Sent in one piece.
const PIECE: usize = 1_000;

/// By how much the process may grow, in bytes: what waits to be done, and what waits to be read.
const ROOM: u64 = 48 << 20;

const PATIENCE: Duration = Duration::from_secs(1_200);

fn commands() -> usize {
    std::env::var("HOLDFAST_PIPELINE").ok().map_or(COMMANDS, |count| count.parse().expect("HOLDFAST_PIPELINE is a number"))
}

/// Bytes of memory that a process has.
fn resident(pid: u32) -> u64 {
    let pages = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("it runs");
    pages.split(' ').nth(1).expect("a second field").parse::<u64>().expect("a number") * 4096
}

async fn is_ready(member: &Member) -> bool {
    let Ok(mut stream) = TcpStream::connect(member.redis).await else { return false };
    let mut answer = [0; 5];
    stream.write_all(&request(&[b"GET", b"none"])).await.is_ok() && stream.read_exact(&mut answer).await.is_ok() && answer == *b"$-1\r\n"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_of_any_length_takes_no_memory() {
    let ip = Ipv4Addr::new(127, 84, 1, 1);
    let api = ApiServer::start().await.expect("a free port");
    let replication = free_port(&[ip]).expect("a free port");
    let name_server = NameServer::start(vec![("shop-0".into(), ip)], replication).await.expect("a free port");
    let surroundings = Surroundings { api_server: api.address, name_server: name_server.address, copies: 0, threads: None };
    let pod = Pod { id: 0, uid: "uid-0".into(), ip, replication };
    let member = Member::start(Path::new(env!("CARGO_BIN_EXE_holdfast-runtime")), &pod, surroundings).expect("starts");
    let begin = Instant::now();
    while !is_ready(&member).await {
        assert!(begin.elapsed() < Duration::from_secs(30), "not ready:\n{}", member.log());
        sleep(Duration::from_millis(20)).await;
    }
    let (mut reader, mut writer) = TcpStream::connect(member.redis).await.expect("it listens").into_split();
    let (mut piece, mut replies) = (Vec::new(), Vec::new());
    for session in 0..PIECE / 20 {
        let key = format!("sess:{session}");
        piece.extend(
            [request(&[b"SET", key.as_bytes(), b"v"]), request(&[b"PING"]).repeat(18), request(&[b"GET", key.as_bytes()])].concat(),
        );
        replies.extend([&b"+OK\r\n"[..], &b"+PONG\r\n".repeat(18), b"$1\r\nv\r\n"].concat());
    }
    let (before, pieces) = (resident(member.pid), commands() / PIECE);
    let send = async {
        for _ in 0..pieces {
            writer.write_all(&piece).await.expect("connected");
        }
    };
    let receive = async {
        let (mut received, mut most) = (vec![0; replies.len()], 0);
        for number in 0..pieces {
            reader.read_exact(&mut received).await.expect("connected");
            assert_eq!(received, replies);
            if number % 100 == 0 {
                most = most.max(resident(member.pid));
            }
        }
        most
    };
    let begin = Instant::now();
    let ((), most) = timeout(PATIENCE, async { tokio::join!(send, receive) }).await.expect("in time");
    let grown = most.saturating_sub(before);
    println!("{} commands in {:?}, {} KiB more memory", pieces * PIECE, begin.elapsed(), grown >> 10);
    assert!(grown < ROOM, "{} MiB more after {} commands", grown >> 20, pieces * PIECE);
}
