//! What members say to each other; `segments` has how it looks in bytes.
//!
//! # How this may change
//! A newer and an older runtime work in one cluster, so the bytes of what exists never change; `core/tests/corpus` holds them.
//! - Enums are encoded by position: new variants come after the last one, and none is ever taken out or moved.
//! - Structs and the fields of variants are encoded by order, without names: nothing is added to them, and nothing is taken out. What has to say more becomes
//!   a new variant.
//! - A new variant is only sent on links that speak a version, or to peers that announced a capability, which has it. A link speaks the newest version
//!   that both ends know ([`Ident::version`]); until the other end has introduced itself, its oldest one. Bytes that are left over at the end of a frame are
//!   an error: whoever sent them thought that the other end knows more than it does.
//! - [`Ident`] is read before anything is agreed upon, so it never changes. What it has to say in addition goes into [`Ident::more`], whose
//!   unknown entries are skipped, and into [`Capabilities`], whose unknown bits are.

mod segments;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::{Command, Key, Reply};
use crate::scan::ScanPart;
use crate::value::{Change, Image, Notice};
use crate::view::{Member, MemberSet, NodeId, View};

pub use segments::{Decoder, Encoder, HEADER, MAX_FRAME, SEGMENT, WireError, check_greeting, encode, first_segment, is_urgent};

/// The oldest and the newest form of this protocol that this build speaks.
///
/// 2 has batches, counters, sets and sorted sets, and what is told to many. Whoever holds a session must be able to hold any value, so there is no link of 1.
pub const WIRE_VERSIONS: (u16, u16) = (2, 2);

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
        /// The sender has received everything up to here.
        ack: u64,
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
    /// How many connections it wants at the most.
    pub connections: u8,
    /// What it can read beside the plain form of a version.
    pub capabilities: Capabilities,
    /// What later versions say in addition, by number. Unknown entries are skipped.
    pub more: BTreeMap<u16, Bytes>,
}

/// What a member can read, one bit each. Unknown bits mean nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Frames that are packed by LZ4.
    pub const LZ4: Capabilities = Capabilities(1);

    /// All that this build can read.
    pub const ALL: Capabilities = Capabilities::LZ4;

    /// Whether it has all of `other`.
    pub fn has(self, other: Capabilities) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Frame {
    /// Whether it may overtake others: signs of life may, views and messages keep their order.
    pub fn is_urgent(&self) -> bool {
        matches!(self, Frame::Heartbeat { .. })
    }
}

impl Ident {
    /// The newest version that both its sender and somebody who speaks `own` know; `None` if there is none.
    pub fn version(&self, own: (u16, u16)) -> Option<u16> {
        let newest = self.versions.1.min(own.1);
        (newest >= self.versions.0 && newest >= own.0).then_some(newest)
    }
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
    /// A client of the sender publishes this.
    Publish {
        /// Where.
        channel: Bytes,
        /// What.
        payload: Bytes,
    },
    /// Clients of the sender want notices of these classes.
    Interest {
        /// One bit each.
        classes: u16,
    },
    /// This happened to a session of the sender.
    Notices {
        /// The session.
        key: Key,
        /// What, in order.
        notices: Vec<Notice>,
    },
    /// What the sender holds and may hold.
    Load {
        /// Sessions that it owns.
        sessions: u64,
        /// Memory that its sessions and copies take, in bytes.
        bytes: u64,
        /// How much they may take, in bytes.
        budget: Option<u64>,
    },
}

impl Message {
    /// The session that it is about, if it is about one.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Message::Put { key, .. }
            | Message::Ack { key, .. }
            | Message::Need { key, .. }
            | Message::Drop { key, .. }
            | Message::DropAck { key, .. }
            | Message::Handoff { key, .. }
            | Message::Grant { key, .. }
            | Message::Appoint { key, .. }
            | Message::Own { key, .. }
            | Message::OwnAck { key, .. }
            | Message::TransferAck { key, .. }
            | Message::Forward { key, .. } => Some(key),
            Message::Sync { .. }
            | Message::Answer { .. }
            | Message::Redirect { .. }
            | Message::Scan { .. }
            | Message::ScanAnswer { .. }
            | Message::Confirm { .. }
            | Message::Publish { .. }
            | Message::Interest { .. }
            | Message::Load { .. }
            // It only says what has been; nothing has to be known about the session for that.
            | Message::Notices { .. } => None,
        }
    }
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
