//! A client that sends bytes and returns replies as the bytes they are, so that a test can see what a library would hide.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use holdfast_support::resp::request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.expect("somebody listens");
        stream.set_nodelay(true).expect("a socket");
        Client { stream, received: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("in time").expect("connected");
    }

    /// Sends a request and returns the bytes of its reply.
    pub(crate) async fn ask(&mut self, words: &[&[u8]]) -> Vec<u8> {
        self.send(&request(words)).await;
        self.reply().await
    }

    /// The same for a request without odd bytes, as text.
    pub(crate) async fn tell(&mut self, line: &str) -> String {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        String::from_utf8(self.ask(&words).await).expect("text")
    }

    /// The bytes of the next reply.
    pub(crate) async fn reply(&mut self) -> Vec<u8> {
        loop {
            if let Some(end) = end_of_reply(&self.received, 0) {
                return self.received.drain(..end).collect();
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.received)).await.expect("a reply in time").expect("connected");
            assert!(read > 0, "the connection ended within a reply: {:?}", String::from_utf8_lossy(&self.received));
        }
    }

    /// All bytes until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.received);
        timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("an end in time").expect("an end in order");
        rest
    }
}

/// Where the reply that begins at `at` ends; `None` if it is not complete.
fn end_of_reply(bytes: &[u8], at: usize) -> Option<usize> {
    elements(bytes, at).and_then(|(header, count)| (0..count).try_fold(header.end, |at, _| end_of_reply(bytes, at)))
}

/// The bytes of the reply at `at` without what is in it, and how many replies are in it.
fn elements(bytes: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    let line = at + bytes.get(at..)?.windows(2).position(|end| end == b"\r\n")?;
    let number = || std::str::from_utf8(&bytes[at + 1..line]).expect("a number").parse::<i64>().expect("a number");
    let line_end = line + 2;
    let (end, count) = match bytes[at] {
        b'+' | b'-' | b':' | b'_' | b'#' | b',' => (line_end, 0),
        b'$' | b'=' => (line_end + usize::try_from(number()).map_or(0, |length| length + 2), 0),
        b'*' | b'~' | b'>' => (line_end, usize::try_from(number()).unwrap_or(0)),
        b'%' => (line_end, 2 * usize::try_from(number()).expect("a length")),
        other => panic!("`{}` begins no reply", char::from(other)),
    };
    (end <= bytes.len()).then_some((at..end, count))
}

/// The replies inside of an array, set or map, and its first line.
pub(crate) fn parts(reply: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (header, count) = elements(reply, 0).expect("a reply");
    let (mut parts, mut at) = (Vec::new(), header.end);
    for _ in 0..count {
        let end = end_of_reply(reply, at).expect("a whole reply");
        parts.push(reply[at..end].to_vec());
        at = end;
    }
    (reply[header].to_vec(), parts)
}
