//! The client of all measurements: connections that send one request, wait for its reply, check it and send the next. Holdfast and Redis meet the
//! same code.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use holdfast_support::resp::push_request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes of a value.
pub(crate) const VALUE: usize = 1024;

/// Far longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    received: BytesMut,
    request: Vec<u8>,
}

/// How a write is made synchronous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// `SET`, which Holdfast answers when the keeper has it.
    Set,
    /// `SET` and `WAIT 1 0` in one round trip.
    SetAndWait,
    /// `SET`, and after its reply `WAIT 1 0`.
    SetThenWait,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await?.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: BytesMut::with_capacity(64 << 10), request: Vec::new() })
    }

    /// One synchronous write; an error unless it was acknowledged by one copy.
    pub(crate) async fn write(&mut self, form: Form, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
        self.request.clear();
        push_request(&mut self.request, &[b"SET", key, value]);
        match form {
            Form::Set => self.expect(b"+OK\r\n").await,
            Form::SetAndWait => {
                push_request(&mut self.request, &[b"WAIT", b"1", b"0"]);
                self.expect(b"+OK\r\n:1\r\n").await
            }
            Form::SetThenWait => {
                self.expect(b"+OK\r\n").await?;
                self.request.clear();
                push_request(&mut self.request, &[b"WAIT", b"1", b"0"]);
                self.expect(b":1\r\n").await
            }
        }
    }

    /// Sends the request and takes exactly these bytes for an answer.
    async fn expect(&mut self, reply: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(&self.request).await?;
        while self.received.len() < reply.len() {
            anyhow::ensure!(self.stream.read_buf(&mut self.received).await? > 0, "the connection ended");
            if !reply.starts_with(&self.received) {
                break;
            }
        }
        let is_right = self.received == reply;
        let seen = self.received.split();
        anyhow::ensure!(is_right, "expected {:?}, the answer is {:?}", text(reply), text(&seen));
        Ok(())
    }

    /// Sends many writes in one go, and checks the replies; for filling only.
    pub(crate) async fn write_all(&mut self, writes: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> anyhow::Result<()> {
        self.request.clear();
        let mut expected = Vec::new();
        for (key, value) in writes {
            push_request(&mut self.request, &[b"SET", &key, &value]);
            expected.extend_from_slice(b"+OK\r\n");
        }
        self.expect(&expected).await
    }

    /// The value of a key, `None` if there is none.
    pub(crate) async fn get(&mut self, key: &[u8]) -> anyhow::Result<Option<Bytes>> {
        self.request.clear();
        push_request(&mut self.request, &[b"GET", key]);
        self.stream.write_all(&self.request).await?;
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line = text(&self.received[..end]);
                let length = line.strip_prefix('$').and_then(|length| length.parse::<i64>().ok());
                let length = length.with_context(|| format!("the answer to GET is {line:?}"))?;
                let Ok(length) = usize::try_from(length) else {
                    self.received.clear();
                    return Ok(None);
                };
                if self.received.len() >= end + 2 + length + 2 {
                    let value = Bytes::copy_from_slice(&self.received[end + 2..end + 2 + length]);
                    self.received.clear();
                    return Ok(Some(value));
                }
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.received)).await.context("no answer to GET")??;
            anyhow::ensure!(read > 0, "the connection ended");
        }
    }

    /// Asks anything, and returns the bytes that come first.
    pub(crate) async fn tell(&mut self, words: &[&[u8]]) -> anyhow::Result<String> {
        self.request.clear();
        push_request(&mut self.request, words);
        self.stream.write_all(&self.request).await?;
        timeout(PATIENCE, self.stream.read_buf(&mut self.received)).await.context("no answer")??;
        Ok(text(&self.received.split()))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}

/// The keys that one connection writes, and what it last wrote to each: what has to be there in the end.
#[derive(Debug)]
pub(crate) struct Ledger {
    owner: String,
    versions: Vec<u64>,
    /// Writes to each key that were answered by an error since the last acknowledged one: what became of them is not known.
    unknown: Vec<u64>,
    next: usize,
    value: Vec<u8>,
}

impl Ledger {
    /// Keys named for their `owner`.
    pub(crate) fn new(owner: impl Into<String>, keys: usize) -> Self {
        // Bytes without a pattern, as those of an encrypted or compressed session.
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let value = std::iter::repeat_with(|| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as u8
        });
        Self { owner: owner.into(), versions: vec![0; keys], unknown: vec![0; keys], next: 0, value: value.take(VALUE).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.versions.len()
    }

    pub(crate) fn key(&self, n: usize) -> Vec<u8> {
        format!("sess:{}:{n:06}", self.owner).into_bytes()
    }

    /// The value that key `n` got last.
    pub(crate) fn value(&mut self, n: usize) -> &[u8] {
        self.value_of(n, self.versions[n])
    }

    fn value_of(&mut self, n: usize, version: u64) -> &[u8] {
        let head = format!("{}:{n:06}:{version:012};", self.owner);
        self.value[..head.len()].copy_from_slice(head.as_bytes());
        &self.value
    }

    /// The next key to write, which is to get a new value.
    pub(crate) fn advance(&mut self) -> usize {
        let n = self.next;
        self.next = (n + 1) % self.versions.len();
        self.versions[n] += 1;
        n
    }

    /// What became of the last write to key `n`.
    pub(crate) fn answered(&mut self, n: usize, is_acknowledged: bool) {
        self.unknown[n] = if is_acknowledged { 0 } else { self.unknown[n] + 1 };
    }

    /// Reads all keys and compares. Returns how many.
    pub(crate) async fn check(&mut self, connection: &mut Connection) -> anyhow::Result<usize> {
        let mut checked = 0;
        for n in (0..self.len()).filter(|n| self.versions[*n] > 0).collect::<Vec<_>>() {
            let seen = connection.get(&self.key(n)).await?;
            let key = text(&self.key(n));
            anyhow::ensure!(seen.is_some(), "`{key}` was acknowledged and is gone");
            let may_be = self.versions[n] - self.unknown[n]..=self.versions[n];
            let is_right = may_be.into_iter().any(|version| seen.as_deref() == Some(self.value_of(n, version)));
            anyhow::ensure!(is_right, "`{key}` has not the value that was acknowledged last");
            checked += 1;
        }
        Ok(checked)
    }
}

/// A connection and its keys.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) connection: Connection,
    pub(crate) ledger: Ledger,
}

impl User {
    /// Writes the next key. Returns how long it took.
    pub(crate) async fn write(&mut self, form: Form) -> anyhow::Result<Duration> {
        let n = self.ledger.advance();
        let key = self.ledger.key(n);
        let start = Instant::now();
        let outcome = self.connection.write(form, &key, self.ledger.value(n)).await;
        self.ledger.answered(n, outcome.is_ok());
        outcome.map(|()| start.elapsed())
    }
}
