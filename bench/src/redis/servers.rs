//! The servers that are compared, filled alike.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use holdfast_support::redis_server::RedisServer;
use holdfast_support::world::World;

use crate::client::{Connection, VALUE};

/// How many sessions there are while commands are measured: 100 MiB, far more than the caches of a processor hold.
pub(super) const SESSIONS: usize = 100_000;

/// Writes in one go while they are filled.
const BATCH: usize = 64;

/// A server; its process ends when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) pid: u32,
    pub(super) tcp: SocketAddr,
    pub(super) socket: PathBuf,
    _process: Process,
}

#[derive(Debug)]
enum Process {
    Holdfast(#[expect(dead_code, reason = "it is only dropped")] Box<World>),
    Redis(#[expect(dead_code, reason = "it is only dropped")] Box<RedisServer>),
}

impl Server {
    /// A member by itself, that keeps no copies, with so many threads for its clients.
    pub(super) async fn holdfast(threads: u8) -> anyhow::Result<Self> {
        let world = World::single(threads).await?;
        let member = &world.members[&0];
        let (pid, tcp, socket) = (member.pid, member.redis, member.path("redis.sock"));
        Ok(Self { name: named("Holdfast", threads), pid, tcp, socket, _process: Process::Holdfast(Box::new(world)) })
    }

    /// Redis by itself, with so many threads that read and write; commands always run on one.
    pub(super) async fn redis(threads: u8) -> anyhow::Result<Self> {
        let peer = RedisServer::start(&["--io-threads", &threads.to_string(), "--io-threads-do-reads", "yes"]).await?;
        let (pid, tcp, socket) = (peer.pid, peer.address, peer.socket());
        Ok(Self { name: named("Redis", threads), pid, tcp, socket, _process: Process::Redis(Box::new(peer)) })
    }

    /// Writes so many sessions of 1 KiB, under the names that redis-benchmark gives them. Returns the bytes of keys and values.
    pub(super) async fn fill(&self, sessions: usize) -> anyhow::Result<usize> {
        let mut connection = Connection::open(self.tcp).await?;
        let (mut bytes, mut noise) = (0, Noise(0x9E37_79B9_7F4A_7C15));
        for first in (0..sessions).step_by(BATCH) {
            let writes: Vec<_> = (first..sessions.min(first + BATCH)).map(|n| (key(n), noise.value())).collect();
            bytes += writes.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
            connection.write_all(writes.into_iter()).await.with_context(|| format!("cannot fill {}", self.name))?;
        }
        Ok(bytes)
    }

    /// Reads some sessions all over: each has to be there, whole.
    pub(super) async fn check(&self, sessions: usize) -> anyhow::Result<usize> {
        let mut connection = Connection::open(self.tcp).await?;
        let chosen = (0..sessions).step_by(97);
        for n in chosen.clone() {
            let length = connection.get(&key(n)).await?.map(|value| value.len());
            anyhow::ensure!(length == Some(VALUE), "{}: session {n} should have {VALUE} bytes and has {length:?}", self.name);
        }
        Ok(chosen.count())
    }
}

fn named(name: &str, threads: u8) -> String {
    if threads == 1 { name.to_owned() } else { format!("{name}, {threads} threads") }
}

fn key(n: usize) -> Vec<u8> {
    format!("sess:{n:012}").into_bytes()
}

/// Values without a pattern, as those of encrypted or compressed sessions.
struct Noise(u64);

impl Noise {
    fn value(&mut self) -> Vec<u8> {
        std::iter::repeat_with(|| {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0.to_le_bytes()
        })
        .flatten()
        .take(VALUE)
        .collect()
    }
}
