//! Replies on their way to a client. Some clients send a whole pipeline before they read the first reply, so there has to be room; but a client that
//! does not read must not fill the memory, so most of the room is shared by all connections, and without room no further command begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::{Buf, BytesMut};

use super::context::Front;
use super::frame::Protocol;
use super::frame::Value;

/// What each connection has for itself; replies of a usual pipeline fit, and leave in one write.
const OWN: usize = 64 << 10;

/// The steps in which more is taken from the pool.
const STEP: usize = 256 << 10;

/// The most that one connection holds. One reply may go beyond.
const MOST: usize = 16 << 20;

/// What all connections share, in bytes.
const POOL: usize = 64 << 20;

/// The shared room.
#[derive(Debug)]
pub(crate) struct Pool {
    left: AtomicUsize,
}

impl Default for Pool {
    fn default() -> Pool {
        Pool { left: AtomicUsize::new(POOL) }
    }
}

impl Pool {
    fn take(&self, bytes: usize) -> bool {
        self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Relaxed);
    }
}

/// Replies of one connection that are not sent yet.
pub(crate) struct Output {
    /// What is to be sent.
    pub(crate) bytes: BytesMut,
    taken: usize,
    front: Arc<Front>,
}

impl Output {
    pub(crate) fn new(front: Arc<Front>) -> Output {
        Output { bytes: BytesMut::new(), taken: 0, front }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends a reply.
    pub(crate) fn push(&mut self, value: &Value, protocol: Protocol) {
        if matches!(value, Value::Error(_)) {
            self.front.statistics.errors.increment(1);
        }
        value.encode(protocol, &mut self.bytes);
    }

    /// Whether there is room for the reply to one more command.
    pub(crate) fn has_room(&mut self) -> bool {
        while self.bytes.len() >= OWN + self.taken {
            if self.bytes.len() >= MOST || !self.front.pool.take(STEP) {
                return false;
            }
            self.taken += STEP;
        }
        true
    }

    /// So many bytes were sent: takes them off, and gives back what is not needed any more.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        if self.bytes.is_empty() {
            self.front.pool.give_back(std::mem::take(&mut self.taken));
            // A connection keeps a buffer as large as its usual pipelines, not as its largest reply ever.
            if self.bytes.capacity() > OWN {
                self.bytes = BytesMut::new();
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.front.pool.give_back(self.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;

    fn output(front: &Arc<Front>, length: usize) -> Output {
        let mut output = Output::new(front.clone());
        output.bytes.resize(length, 0);
        output
    }

    #[test]
    fn slow_readers_share_a_bounded_room() {
        let front = Arc::new(Front::new(Settings::default()));
        let mut slow: Vec<Output> = Vec::new();
        loop {
            let mut output = output(&front, MOST - 1);
            let room = output.has_room();
            slow.push(output);
            if !room {
                break;
            }
            assert!(slow.len() < 100, "no limit");
        }
        assert_eq!(slow.len(), POOL / MOST + 1);
        assert!(output(&front, OWN - 1).has_room(), "others still have their own");
        let mut sent = slow.remove(0);
        sent.sent(sent.bytes.len());
        assert!(output(&front, MOST - 1).has_room(), "what is sent is given back");
        slow.clear();
        (0..POOL / MOST).for_each(|_| slow.push(output(&front, MOST - 1)));
        assert!(slow.iter_mut().all(Output::has_room), "and what a connection had that ended");
    }

    #[test]
    fn one_connection_has_a_limit_of_its_own() {
        let front = Arc::new(Front::new(Settings::default()));
        let mut output = output(&front, MOST);
        assert!(!output.has_room());
        output.sent(output.bytes.len());
        assert!(output.has_room() && output.bytes.capacity() <= OWN);
    }
}
