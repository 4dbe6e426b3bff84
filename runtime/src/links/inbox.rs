//! Cuts the incoming bytes of one connection into frames. Nothing is set aside for a frame before its bytes are there, and the other end has to say
//! who it is, in a short frame, before anything else is taken from it.

use bytes::BytesMut;
use holdfast_core::wire::{self, Decoder, Frame, WireError};
use thiserror::Error;

/// The first frame names a cluster, a pod and some numbers.
const FIRST_FRAME: usize = 2048;

/// What to read at a time.
const CHUNK: usize = 64 << 10;

/// Why what came in is of no use.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum InboxError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the first frame does not say who speaks")]
    NoGreeting,
}

/// The bytes of one connection that are not a whole frame yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    buffer: BytesMut,
    decoder: Decoder,
    greeted: bool,
}

impl Inbox {
    /// Where to read into.
    pub(super) fn space(&mut self) -> &mut BytesMut {
        self.buffer.reserve(if self.greeted { CHUNK } else { FIRST_FRAME });
        &mut self.buffer
    }

    /// Whether a first frame has been read.
    pub(super) fn greeted(&self) -> bool {
        self.greeted
    }

    /// All whole frames, in order.
    pub(super) fn take(&mut self) -> Result<Vec<Frame>, InboxError> {
        let mut frames = Vec::new();
        loop {
            if !self.greeted {
                wire::check_greeting(&self.buffer, FIRST_FRAME)?;
            }
            let Some(frame) = self.decoder.decode(&mut self.buffer)? else { return Ok(frames) };
            if !self.greeted && !matches!(frame, Frame::Ident(_)) {
                return Err(InboxError::NoGreeting);
            }
            self.greeted = true;
            frames.push(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::wire::{Capabilities, Ident, WIRE_VERSIONS};
    use holdfast_core::{Member, MemberSet, NodeId};

    use super::*;

    fn greeting() -> Frame {
        let member = Member { id: NodeId::new(1).expect("a place"), incarnation: 7 };
        Frame::Ident(Ident {
            versions: WIRE_VERSIONS,
            cluster: "c".repeat(40),
            member,
            pod_uid: "u".repeat(36),
            connections: 1,
            capabilities: Capabilities::ALL,
            more: Default::default(),
        })
    }

    fn heartbeat(ack: u64) -> Frame {
        Frame::Heartbeat { ack, sent: 1, echo: None, lease: 0, asks: false, heard: MemberSet::EMPTY }
    }

    fn feed(inbox: &mut Inbox, bytes: &[u8]) -> Result<Vec<Frame>, InboxError> {
        inbox.space().extend_from_slice(bytes);
        inbox.take()
    }

    #[test]
    fn frames_come_out_whole_and_in_order() {
        let mut frames = vec![greeting()];
        frames.extend((1..=3).map(heartbeat));
        let bytes: Vec<u8> = frames.iter().flat_map(wire::encode).collect();
        let mut inbox = Inbox::default();
        let mut out = Vec::new();
        for piece in bytes.chunks(5) {
            out.extend(feed(&mut inbox, piece).expect("right"));
        }
        assert_eq!(out, frames);
    }

    #[test]
    fn a_stranger_is_noticed_by_the_first_bytes() {
        assert!(feed(&mut Inbox::default(), b"GET / HTTP/1.1\r\n").is_err());
        assert!(feed(&mut Inbox::default(), &[0xff; 8]).is_err());
        assert!(feed(&mut Inbox::default(), &[3, 0, 16, 0]).is_err(), "a long first frame");
        assert!(feed(&mut Inbox::default(), &[11, 0, 0, 16]).is_err(), "a sign of life");
    }

    #[test]
    fn nothing_is_taken_from_a_stranger_that_does_not_introduce_itself() {
        let frame = wire::encode(&Frame::Resume { to: 1, last: 1 });
        assert_eq!(feed(&mut Inbox::default(), &frame), Err(InboxError::NoGreeting));
    }

    #[test]
    fn garbage_after_the_first_frame_ends_it_too() {
        let mut inbox = Inbox::default();
        feed(&mut inbox, &wire::encode(&greeting())).expect("right");
        assert!(feed(&mut inbox, &[0xff; 64]).is_err());
    }
}
