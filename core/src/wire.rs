//! What members say to each other, and how it looks in bytes. A frame is a length, a checksum and a postcard-encoded [`Frame`]; both numbers are
//! checked before anything is decoded, so that a stray client or a damaged stream ends the connection and nothing else.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::command::{Command, Key, Reply};
use crate::scan::ScanPart;
use crate::value::{Change, Image};
use crate::view::{Member, MemberSet, NodeId, View};

/// The oldest and the newest form of this protocol that this build speaks.
pub const WIRE_VERSIONS: (u16, u16) = (1, 1);

/// The largest encoded frame, in bytes: one value of the largest `sessions.maxBytes` and its key.
pub const MAX_FRAME: usize = 64 << 20;

/// Length and checksum, both big-endian `u32`.
const HEADER: usize = 8;

/// One unit on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// The first frame each way: who speaks.
    Ident(Ident),
    /// The sender's view, sent before anything that was decided in it.
    View(View),
    /// The sender has received everything up to `last` from `to`, this life of the receiver; the rest is to be sent again.
    Resume {
        /// The receiver's incarnation.
        to: u64,
        /// The last message received from it.
        last: u64,
    },
    /// A message in the stream between two incarnations; accepted exactly when its number is one more than the last.
    Data {
        /// Its number, from 1.
        seq: u64,
        /// What it says.
        message: Message,
    },
    /// The sender lives, and has received everything up to `ack`.
    Heartbeat {
        /// The last message received.
        ack: u64,
        /// When it was sent, on the sender's clock, in milliseconds.
        sent: u64,
        /// When the last one was sent that came from the receiver, on the receiver's clock; nothing if none came, or if nothing is promised.
        echo: Option<u64>,
        /// How long from then on no view without the receiver takes effect, in milliseconds.
        lease: u64,
        /// The sender lacks such promises: it wants an answer at once.
        asks: bool,
        /// Whom the sender hears.
        heard: MemberSet,
    },
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ident {
    /// The oldest and the newest wire version it speaks.
    pub versions: (u16, u16),
    /// The cluster it belongs to.
    pub cluster: String,
    /// Its place and incarnation.
    pub member: Member,
    /// The UID of its pod.
    pub pod_uid: String,
}

/// What one member tells another, in order and exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// What the receiver, as a home, needs to know in this epoch (R10).
    Sync {
        /// The epoch it is about.
        epoch: u64,
        /// The sender's term clock.
        clock: u64,
        /// Whether this is the last part.
        last: bool,
        /// The reports.
        reports: Vec<Report>,
    },
    /// Hold this version (R7).
    Put {
        /// The session.
        key: Key,
        /// Its term.
        term: u64,
        /// Its number within the term.
        seq: u64,
        /// How to get there.
        kind: PutKind,
        /// Everybody who holds it, the owner included.
        holders: MemberSet,
    },
    /// This version is held.
    Ack {
        /// The session.
        key: Key,
        /// The term acknowledged.
        term: u64,
        /// The highest number held.
        seq: u64,
    },
    /// A put did not fit what is held: send an image.
    Need {
        /// The session.
        key: Key,
        /// The term of the put.
        term: u64,
    },
    /// Hold it no longer (R8).
    Drop {
        /// The session.
        key: Key,
        /// The owner's term.
        term: u64,
    },
    /// It is no longer held.
    DropAck {
        /// The session.
        key: Key,
        /// The term of the drop.
        term: u64,
    },
    /// Own this session from now on, by consent (R13).
    Handoff {
        /// The session.
        key: Key,
        /// Its new term.
        term: u64,
        /// The term in which the holders have it.
        prior_term: u64,
        /// Its number.
        seq: u64,
        /// Its content.
        image: Option<Image>,
        /// Everybody who holds it, the giver included.
        holders: MemberSet,
        /// How often it has changed hands lately to follow its user.
        moves: u8,
    },
    /// Own this session, which does not exist yet (R12).
    Grant {
        /// The session.
        key: Key,
        /// Its term.
        term: u64,
    },
    /// Own this orphan, of which you hold the best copy (R11).
    Appoint {
        /// The session.
        key: Key,
        /// Its new term.
        term: u64,
        /// The term of the best copy.
        prior_term: u64,
        /// Its number.
        prior_seq: u64,
        /// Everybody who may hold it.
        holders: MemberSet,
    },
    /// The sender owns this session, of which the receiver, its home, has no copy.
    Own {
        /// The session.
        key: Key,
        /// Its term.
        term: u64,
    },
    /// The receiver is known to own this session.
    OwnAck {
        /// The session.
        key: Key,
        /// The term.
        term: u64,
    },
    /// The new owner is active.
    TransferAck {
        /// The session.
        key: Key,
        /// The term of the transfer.
        term: u64,
    },
    /// Run this command for a client of the sender.
    Forward {
        /// The sender's number for it.
        request: u64,
        /// The session.
        key: Key,
        /// The command.
        command: Command,
    },
    /// What came of it.
    Answer {
        /// The receiver's number for it.
        request: u64,
        /// The answer.
        reply: Reply,
    },
    /// Not here: try `hint`, or the home.
    Redirect {
        /// The receiver's number for it.
        request: u64,
        /// Who should know.
        hint: Option<NodeId>,
    },
    /// List keys whose home you are.
    Scan {
        /// The sender's number for it.
        request: u64,
        /// The first position.
        from: u64,
        /// About how many.
        count: u32,
    },
    /// What was listed; nothing when the receiver's view was not settled yet.
    ScanAnswer {
        /// The receiver's number for it.
        request: u64,
        /// The keys.
        part: Option<ScanPart>,
    },
    /// All that the sender owns is held by all that should, in this epoch.
    Confirm {
        /// The epoch.
        epoch: u64,
    },
}

/// How a holder gets to the version of a put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PutKind {
    /// From nothing; `None` is a session that was deleted or never written.
    Image(Option<Image>),
    /// From the version before, in the same term.
    Delta(Change),
    /// The same content, under a new owner.
    Retag {
        /// The term in which it is held.
        term: u64,
        /// The number which it has there.
        seq: u64,
    },
}

/// One line of a [`Message::Sync`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The session.
    pub key: Key,
    /// What the sender is to it.
    pub kind: ReportKind,
    /// Its term there.
    pub term: u64,
    /// Its number there.
    pub seq: u64,
    /// The owner, as the sender knows it.
    pub owner: Member,
    /// The holders, as the sender knows them.
    pub holders: MemberSet,
}

/// What a reporter is to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportKind {
    /// It owns it.
    Owner,
    /// It holds a copy whose owner is not in the view.
    Orphan,
    /// It has given it to a member of the view, which has not confirmed.
    Transfer,
}

/// Why bytes were not a frame.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than [`MAX_FRAME`].
    #[error("refused a frame of {length} bytes, the limit is {MAX_FRAME}")]
    TooLong {
        /// The length announced.
        length: usize,
    },
    /// The checksum differs.
    #[error("refused a frame whose checksum is {actual:08x}, announced was {announced:08x}")]
    Checksum {
        /// What was announced.
        announced: u32,
        /// What was computed.
        actual: u32,
    },
    /// Not an encoded frame.
    #[error("failed to decode a frame")]
    Malformed(#[from] postcard::Error),
}

/// The bytes of `frame`.
pub fn encode(frame: &Frame) -> Bytes {
    let payload = postcard::to_stdvec(frame).expect("frames contain nothing that postcard cannot encode");
    let mut bytes = BytesMut::with_capacity(HEADER + payload.len());
    bytes.put_u32(payload.len() as u32);
    bytes.put_u32(crc32fast::hash(&payload));
    bytes.put_slice(&payload);
    bytes.freeze()
}

/// Takes one frame off the front of `bytes`; `None` if it is not all there yet. After an error the stream is of no more use.
pub fn decode(bytes: &mut BytesMut) -> Result<Option<Frame>, WireError> {
    if bytes.len() < HEADER {
        return Ok(None);
    }
    let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    if length > MAX_FRAME {
        return Err(WireError::TooLong { length });
    }
    if bytes.len() < HEADER + length {
        return Ok(None);
    }
    bytes.advance(4);
    let announced = bytes.get_u32();
    let payload = bytes.split_to(length);
    let actual = crc32fast::hash(&payload);
    if actual != announced {
        return Err(WireError::Checksum { announced, actual });
    }
    Ok(Some(postcard::from_bytes(&payload)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame::Data { seq: 7, message: Message::Need { key: Bytes::from_static(b"sess:1"), term: 3 } }
    }

    #[test]
    fn a_frame_survives_any_split() {
        let bytes = encode(&frame());
        for split in 0..bytes.len() {
            let mut buffer = BytesMut::from(&bytes[..split]);
            assert_eq!(decode(&mut buffer), Ok(None), "split at {split}");
            buffer.extend_from_slice(&bytes[split..]);
            assert_eq!(decode(&mut buffer), Ok(Some(frame())), "split at {split}");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn a_flipped_bit_is_refused() {
        for bit in 0..encode(&frame()).len() * 8 {
            let mut buffer = BytesMut::from(&encode(&frame())[..]);
            buffer[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(decode(&mut buffer), Ok(Some(frame())), "bit {bit}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_anything_is_kept() {
        let mut buffer = BytesMut::from(&b"\xff\xff\xff\xff\0\0\0\0"[..]);
        assert_eq!(decode(&mut buffer), Err(WireError::TooLong { length: 0xffff_ffff }));
    }
}
