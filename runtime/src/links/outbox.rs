//! What waits to be written to one connection. Whoever calls the engine never waits here: it is told when the queue is beyond all measure. The writer takes
//! bites of a bounded length, and signs of life go first in each, so that none of them ever waits for more than one bite.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use bytes::{BufMut, Bytes, BytesMut};
use holdfast_core::wire::{HEADER, SEGMENT, first_segment, is_urgent};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How much is written at a time: one whole segment, or as many short frames.
const BITE: usize = HEADER + SEGMENT;

/// Frames up to this length are copied together; longer ones are written as they are.
const COPIED: usize = SEGMENT / 2;

/// A queue of frames with a limit in bytes, and a bell.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    bell: Notify,
    /// Set after `Queue::closed`, for who waits for it.
    closing: CancellationToken,
    limit: u64,
}

#[derive(Debug, Default)]
struct Queue {
    /// Signs of life.
    urgent: VecDeque<Bytes>,
    frames: VecDeque<Bytes>,
    /// Of all that has not been written, what is in the writer's hands included.
    bytes: u64,
    /// The writer has taken the first frame, which says who speaks: nothing goes before that.
    began: bool,
    /// Nothing more is taken.
    closed: bool,
}

/// What the writer is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Write what was put into the buffer, and then this; the next bite may follow without a wait.
    Write(Bytes),
    /// Nothing more will come.
    End,
}

impl Outbox {
    pub(super) fn new(limit: u64) -> Self {
        Self { queue: Mutex::default(), bell: Notify::new(), closing: CancellationToken::new(), limit }
    }

    /// False, and nothing queued, beyond the limit or after [`Outbox::close`].
    pub(super) fn push(&self, frame: Bytes) -> bool {
        let mut queue = self.lock();
        let length = frame.len() as u64;
        // One frame always fits, however large.
        if queue.closed || queue.bytes > 0 && queue.bytes + length > self.limit {
            return false;
        }
        queue.bytes += length;
        if queue.began && is_urgent(&frame) {
            queue.urgent.push_back(frame);
        } else {
            queue.frames.push_back(frame);
        }
        true
    }

    pub(super) fn wake(&self) {
        self.bell.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake();
        self.closing.cancel();
    }

    /// Waits until nothing more will be queued.
    pub(super) async fn closed(&self) {
        self.closing.cancelled().await;
    }

    pub(super) fn queued(&self) -> u64 {
        self.lock().bytes
    }

    /// The next bite, as soon as something waits. Only the writer calls it, with a buffer that it has emptied.
    pub(super) async fn next(&self, short: &mut BytesMut) -> Next {
        loop {
            {
                let mut queue = self.lock();
                let long = queue.bite(short);
                if !short.is_empty() || !long.is_empty() {
                    return Next::Write(long);
                }
                if queue.closed {
                    return Next::End;
                }
            }
            self.bell.notified().await;
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

impl Queue {
    /// Takes what comes next: short frames into `short`, and after them at most one long segment.
    fn bite(&mut self, short: &mut BytesMut) -> Bytes {
        while let Some(frame) = self.urgent.pop_front() {
            short.put_slice(&frame);
        }
        while let Some(frame) = self.frames.front_mut() {
            self.began = true;
            let segment = frame.split_to(first_segment(frame).max(1));
            if frame.is_empty() {
                self.frames.pop_front();
            }
            if segment.len() > COPIED {
                return segment;
            }
            short.put_slice(&segment);
            let next = self.frames.front().map_or(0, |frame| first_segment(frame));
            if short.len() + next > BITE {
                break;
            }
        }
        Bytes::new()
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::MemberSet;
    use holdfast_core::wire::{self, Frame, Message};

    use super::*;

    fn data(length: usize) -> Bytes {
        wire::encode(&Frame::Data { seq: 1, ack: 0, message: Message::Need { key: Bytes::from(vec![7; length]), term: 1 } })
    }

    fn beat(ack: u64) -> Bytes {
        wire::encode(&Frame::Heartbeat { ack, sent: 1, echo: None, lease: 0, asks: false, heard: MemberSet::EMPTY })
    }

    async fn bite(outbox: &Outbox) -> Vec<u8> {
        let mut short = BytesMut::new();
        match outbox.next(&mut short).await {
            Next::Write(long) => [&short[..], &long[..]].concat(),
            Next::End => Vec::new(),
        }
    }

    #[tokio::test]
    async fn all_short_frames_that_wait_are_taken_at_once() {
        let outbox = Outbox::new(1 << 20);
        let frames: Vec<Bytes> = (0..100).map(data).collect();
        frames.iter().for_each(|frame| assert!(outbox.push(frame.clone())));
        assert_eq!(bite(&outbox).await, frames.concat());
    }

    #[tokio::test]
    async fn a_long_frame_leaves_in_bites_and_signs_of_life_go_between() {
        let outbox = Outbox::new(1 << 30);
        let (before, long, after) = (data(10), data(5 << 20), data(20));
        assert!(outbox.push(before.clone()) && outbox.push(long.clone()) && outbox.push(after.clone()));
        let mut rest = Vec::new();
        let mut beats = 0;
        loop {
            let mut bite = bite(&outbox).await;
            assert!(bite.len() <= BITE + 50, "{}", bite.len());
            if beats > 0 {
                assert!(bite.starts_with(&beat(beats)), "a sign of life comes first");
                bite.drain(..beat(beats).len());
            }
            rest.extend(bite);
            if rest.len() == before.len() + long.len() + after.len() {
                break;
            }
            beats += 1;
            outbox.push(beat(beats));
        }
        assert!(beats >= 80);
        assert_eq!(rest, [before, long, after].concat());
    }

    #[tokio::test]
    async fn nothing_goes_before_the_greeting() {
        let outbox = Outbox::new(1 << 20);
        assert!(outbox.push(data(1)) && outbox.push(beat(1)));
        assert_eq!(bite(&outbox).await, [data(1), beat(1)].concat());
    }

    #[tokio::test]
    async fn what_is_being_written_counts_until_it_has_left() {
        let frame = data(6);
        let outbox = Outbox::new(frame.len() as u64 + 1);
        assert!(outbox.push(frame.clone()));
        bite(&outbox).await;
        assert!(!outbox.push(frame.clone()), "the first one is still on its way");
        outbox.written(frame.len() as u64);
        assert!(outbox.push(frame));
    }

    #[test]
    fn one_frame_fits_however_large() {
        let outbox = Outbox::new(10);
        assert!(outbox.push(data(1000)));
        assert!(!outbox.push(data(1)));
    }

    #[tokio::test]
    async fn after_closing_the_rest_is_still_handed_out() {
        let outbox = Outbox::new(100);
        outbox.push(data(3));
        outbox.close();
        assert!(!outbox.push(data(1)));
        assert_eq!(bite(&outbox).await, data(3));
        assert_eq!(outbox.next(&mut BytesMut::new()).await, Next::End);
    }
}
