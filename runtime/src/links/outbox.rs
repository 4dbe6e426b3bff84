//! What waits to be written to one connection. The engine's task never waits here: it is told when the queue is beyond all measure.

use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A queue of frames with a limit in bytes, and a bell.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    bell: Notify,
    closed: CancellationToken,
    limit: u64,
}

#[derive(Debug, Default)]
struct Queue {
    frames: Vec<Bytes>,
    /// Of all frames that have not been written, those in the writer's hands included.
    bytes: u64,
}

/// What the writer is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Write these frames, in this order.
    Write(Vec<Bytes>),
    /// Nothing more will come.
    End,
}

impl Outbox {
    pub(super) fn new(limit: u64) -> Self {
        Self { queue: Mutex::default(), bell: Notify::new(), closed: CancellationToken::new(), limit }
    }

    /// False, and nothing queued, beyond the limit or after [`Outbox::close`].
    pub(super) fn push(&self, frame: Bytes) -> bool {
        let mut queue = self.lock();
        let length = frame.len() as u64;
        // One frame always fits, however large.
        if self.closed.is_cancelled() || queue.bytes > 0 && queue.bytes + length > self.limit {
            return false;
        }
        queue.bytes += length;
        queue.frames.push(frame);
        true
    }

    pub(super) fn wake(&self) {
        self.bell.notify_one();
    }

    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    /// Waits until nothing more will be queued.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    pub(super) fn queued(&self) -> u64 {
        self.lock().bytes
    }

    /// Everything that waits, as soon as something does. Only the writer calls it.
    pub(super) async fn next(&self) -> Next {
        loop {
            {
                let mut queue = self.lock();
                if !queue.frames.is_empty() {
                    return Next::Write(std::mem::take(&mut queue.frames));
                }
                if self.closed.is_cancelled() {
                    return Next::End;
                }
            }
            tokio::select! {
                () = self.bell.notified() => {}
                () = self.closed() => {}
            }
        }
    }

    /// So many bytes have left.
    pub(super) fn written(&self, bytes: u64) {
        self.lock().bytes -= bytes;
    }

    /// Nothing panics while this is held.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Bytes {
        Bytes::from(vec![7; length])
    }

    #[tokio::test]
    async fn all_that_waits_is_taken_at_once() {
        let outbox = Outbox::new(100);
        assert!(outbox.push(frame(1)) && outbox.push(frame(2)));
        assert_eq!(outbox.next().await, Next::Write(vec![frame(1), frame(2)]));
    }

    #[tokio::test]
    async fn what_is_being_written_counts_until_it_has_left() {
        let outbox = Outbox::new(10);
        assert!(outbox.push(frame(6)));
        outbox.next().await;
        assert!(!outbox.push(frame(6)), "6 are still on their way");
        outbox.written(6);
        assert!(outbox.push(frame(6)));
    }

    #[test]
    fn one_frame_fits_however_large() {
        let outbox = Outbox::new(10);
        assert!(outbox.push(frame(1000)));
        assert!(!outbox.push(frame(1)));
    }

    #[tokio::test]
    async fn after_closing_the_rest_is_still_handed_out() {
        let outbox = Outbox::new(10);
        outbox.push(frame(3));
        outbox.close();
        assert!(!outbox.push(frame(1)));
        assert_eq!(outbox.next().await, Next::Write(vec![frame(3)]));
        assert_eq!(outbox.next().await, Next::End);
    }
}
