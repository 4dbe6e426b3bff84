//! The stream to one life of one member, over any number of connections. It is one sequence of numbered messages, whichever connection carries
//! which: what was on a connection that broke is sent again on another one, and what arrives early waits for what comes before it (R4).
//!
//! Views need no numbers of their own: each connection is told each view as soon as it is adopted, so a connection on which a message arrives
//! has brought the view in which the message was sent before it (R5).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::capacity::Load;
use super::lease::Promises;
use super::link::ConnId;
use super::record::Slot;
use super::status::{LaneStatus, LinkCounters};
use crate::Millis;
use crate::view::{Member, MemberSet};
use crate::wire::{Encoder, Frame, Message};

/// So many bytes go on one connection before the next ones go on another: what is said in one go leaves in one write.
pub(super) const STRIPE: u64 = 64 << 10;

/// What a message that waits costs beside its bytes.
const OVERHEAD: u64 = 128;

/// The shortest and the longest time between two attempts to connect, in milliseconds.
pub(super) const DIAL_BACKOFF: (Millis, Millis) = (50, 500);

/// The stream to one life of one member.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: Member,
    /// The number of the last message sent.
    next: u64,
    /// What was sent and not acknowledged, in order; the last one has the number `next`.
    unacked: VecDeque<Sent>,
    pub(super) unacked_bytes: u64,
    /// Messages whose receipt somebody waits for: the number of the message, and the session with its term and number.
    watched: VecDeque<(u64, Slot, u64, u64)>,
    /// The last message received.
    pub(super) last: u64,
    /// Messages received that come after one that has not been.
    early: BTreeMap<u64, (Message, u64)>,
    early_bytes: u64,
    /// What the peer was told to have been received.
    pub(super) last_acked: u64,
    pub(super) lanes: Vec<Lane>,
    /// The lane that was used last, and what went on it since.
    current: usize,
    stripe: u64,
    /// How much goes on one lane before the next.
    pub(super) stripe_size: u64,
    encoder: Encoder,
    /// What both ends agreed upon; the oldest and least until the peer has introduced itself.
    pub(super) terms: Terms,
    pub(super) counters: LinkCounters,
    pub(super) last_heard: Millis,
    /// It was connected at some time.
    pub(super) was_connected: bool,
    /// The last attempt to connect was refused: nobody listens there.
    pub(super) refused: bool,
    /// It is dead beyond doubt.
    pub(super) proven_dead: bool,
    pub(super) suspected_at: Option<Millis>,
    /// Whom the peer hears.
    pub(super) heard: MemberSet,
    /// The classes of notices that the peer wants.
    pub(super) interest: u16,
    /// What the peer holds, and what it was told that this member holds, and when.
    pub(super) load: Load,
    pub(super) told_load: (Load, Millis),
    pub(super) promises: Promises,
    pub(super) proof_sought_at: Option<Millis>,
    pub(super) dialing_since: Option<Millis>,
    pub(super) dial_at: Millis,
    pub(super) dial_backoff: Millis,
}

/// What both ends of a link agreed upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// The wire version that they speak.
    pub(super) version: u16,
    /// How many connections they keep.
    pub(super) connections: u8,
    /// What is sent to the peer may be packed.
    pub(super) packs: bool,
}

/// A connection of a link.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) conn: ConnId,
    /// The peer has said on it what it has received, so the stream may go on.
    pub(super) ready: bool,
    pub(super) last_beat: Millis,
    pub(super) last_heard: Millis,
    /// Sent on it and not acknowledged, in bytes.
    outstanding: u64,
}

/// A message that was sent.
#[derive(Debug)]
struct Sent {
    bytes: Bytes,
    /// The connection that carries it; none if it was lost with its connection, or there has been none yet.
    conn: Option<ConnId>,
    at: Millis,
    /// It has been on a connection.
    was_sent: bool,
}

/// What became of a message that arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// It is the next one; there may be more in [`Link::next_early`].
    Next(Message),
    /// It waits, or was here before.
    Kept,
    /// Too much waits already. It has to be sent again.
    Overflow,
}

impl Link {
    pub(super) fn new(peer: Member, now: Millis, terms: Terms, counters: LinkCounters) -> Link {
        Link {
            peer,
            next: 0,
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            watched: VecDeque::new(),
            last: 0,
            early: BTreeMap::new(),
            early_bytes: 0,
            last_acked: 0,
            lanes: Vec::new(),
            current: 0,
            stripe: 0,
            stripe_size: STRIPE,
            encoder: Encoder::default(),
            terms,
            counters,
            last_heard: now,
            was_connected: false,
            refused: false,
            proven_dead: false,
            suspected_at: None,
            heard: MemberSet::EMPTY,
            interest: 0,
            load: Load::default(),
            told_load: Default::default(),
            promises: Promises::default(),
            proof_sought_at: None,
            dialing_since: None,
            dial_at: now,
            dial_backoff: DIAL_BACKOFF.0,
        }
    }

    /// Whether there is any connection.
    pub(super) fn is_connected(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// Whether the stream flows.
    pub(super) fn is_ready(&self) -> bool {
        self.lanes.iter().any(|lane| lane.ready)
    }

    /// The connection on which the peer was heard last.
    pub(super) fn liveliest(&self) -> Option<ConnId> {
        self.lanes.iter().filter(|lane| lane.ready).max_by_key(|lane| lane.last_heard).map(|lane| lane.conn)
    }

    pub(super) fn lane(&mut self, conn: ConnId) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.conn == conn)
    }

    /// Something came, on this connection.
    pub(super) fn heard(&mut self, now: Millis, conn: ConnId) {
        if let Some(lane) = self.lane(conn) {
            lane.last_heard = now;
            self.last_heard = now;
        }
    }

    /// Silence until now counts for nothing.
    pub(super) fn forgive_silence(&mut self, now: Millis) {
        self.last_heard = now;
        self.lanes.iter_mut().for_each(|lane| lane.last_heard = now);
    }

    /// One more connection, which is not ready yet.
    pub(super) fn attach(&mut self, now: Millis, conn: ConnId) {
        self.lanes.push(Lane { conn, ready: false, last_beat: now, last_heard: now, outstanding: 0 });
    }

    /// A connection is gone, and what was on it may be. False if it was not one of this link.
    pub(super) fn detach(&mut self, conn: ConnId) -> bool {
        let before = self.lanes.len();
        self.lanes.retain(|lane| lane.conn != conn);
        self.unacked.iter_mut().filter(|sent| sent.conn == Some(conn)).for_each(|sent| sent.conn = None);
        self.lanes.len() < before
    }

    /// Numbers a message and keeps it; returns what to send where, if there is a connection for it.
    pub(super) fn push(&mut self, now: Millis, message: Message) -> Option<(ConnId, Bytes)> {
        self.next += 1;
        let frame = Frame::Data { seq: self.next, ack: self.last, message };
        let bytes = self.encoder.encode(&frame, self.terms.packs);
        let conn = self.place(bytes.len() as u64);
        self.counters.sent += 1;
        self.counters.sent_bytes += bytes.len() as u64;
        self.unacked_bytes += bytes.len() as u64;
        self.unacked.push_back(Sent { bytes: bytes.clone(), conn, at: now, was_sent: conn.is_some() });
        if conn.is_some() {
            self.last_acked = self.last;
        }
        conn.map(|conn| (conn, bytes))
    }

    /// What is on no connection, with the connection on which to send it now; empty while there is none.
    pub(super) fn resend(&mut self) -> Vec<(ConnId, Bytes)> {
        let mut again = Vec::new();
        for index in 0..self.unacked.len() {
            if self.unacked[index].conn.is_some() {
                continue;
            }
            let Some(conn) = self.place(self.unacked[index].bytes.len() as u64) else { return again };
            let sent = &mut self.unacked[index];
            sent.conn = Some(conn);
            self.counters.resent += u64::from(std::mem::replace(&mut sent.was_sent, true));
            again.push((conn, sent.bytes.clone()));
        }
        again
    }

    /// The connection for so many bytes: the one used before, until it has had its share; then the one with the least to do.
    fn place(&mut self, length: u64) -> Option<ConnId> {
        let goes_on = self.lanes.get(self.current).is_some_and(|lane| lane.ready) && self.stripe < self.stripe_size;
        if !goes_on {
            let ready = self.lanes.iter().enumerate().filter(|(_, lane)| lane.ready);
            self.current = ready.min_by_key(|(_, lane)| lane.outstanding)?.0;
            self.stripe = 0;
        }
        self.stripe += length;
        let lane = &mut self.lanes[self.current];
        lane.outstanding += length;
        Some(lane.conn)
    }

    /// The peer has received everything up to this number.
    pub(super) fn acknowledged(&mut self, now: Millis, up_to: u64) {
        let first = self.next - self.unacked.len() as u64 + 1;
        for _ in first..=up_to.min(self.next) {
            let Some(sent) = self.unacked.pop_front() else { return };
            let length = sent.bytes.len() as u64;
            self.unacked_bytes -= length;
            if let Some(lane) = sent.conn.and_then(|conn| self.lane(conn)) {
                lane.outstanding -= length;
            }
            self.counters.acknowledged(now.saturating_sub(sent.at));
        }
    }

    /// Somebody waits for the receipt of the message that was pushed last, which has this number.
    pub(super) fn watch(&mut self, slot: &Slot, term: u64, seq: u64) -> u64 {
        self.watched.push_back((self.next, slot.clone(), term, seq));
        self.next
    }

    /// A message that was watched, and is received.
    pub(super) fn next_receipt(&mut self) -> Option<(u64, Slot, u64, u64)> {
        let received = self.next - self.unacked.len() as u64;
        self.watched.pop_front_if(|(number, ..)| *number <= received)
    }

    /// A message came. It may be a copy, or come before one that was sent earlier on another connection.
    pub(super) fn arrived(&mut self, seq: u64, message: Message, limit: u64) -> Arrived {
        if seq <= self.last || self.early.contains_key(&seq) {
            self.counters.duplicates += 1;
            return Arrived::Kept;
        }
        if seq == self.last + 1 {
            self.last = seq;
            self.counters.received += 1;
            return Arrived::Next(message);
        }
        let size = postcard::serialize_with_flavor(&message, postcard::ser_flavors::Size::default());
        let size = size.expect("messages contain nothing that postcard cannot encode") as u64 + OVERHEAD;
        // One always fits, however large.
        if !self.early.is_empty() && self.early_bytes + size > limit {
            self.counters.overflows += 1;
            return Arrived::Overflow;
        }
        self.early_bytes += size;
        self.early.insert(seq, (message, size));
        Arrived::Kept
    }

    /// Whether a message that comes now comes before one that was sent earlier, and for the first time.
    pub(super) fn is_ahead(&self, seq: u64) -> bool {
        seq > self.last + 1 && !self.early.contains_key(&seq)
    }

    /// The next message, if it came early.
    pub(super) fn next_early(&mut self) -> Option<Message> {
        let (message, size) = self.early.remove(&(self.last + 1))?;
        self.last += 1;
        self.early_bytes -= size;
        self.counters.received += 1;
        Some(message)
    }

    /// The link ends; what the peer has not acknowledged, it may never have received.
    pub(super) fn end(self) -> LinkCounters {
        LinkCounters { not_transferred: self.counters.not_transferred + self.unacked.len() as u64, ..self.counters }
    }

    pub(super) fn unacked_frames(&self) -> usize {
        self.unacked.len()
    }

    pub(super) fn early_frames(&self) -> usize {
        self.early.len()
    }

    pub(super) fn early_bytes(&self) -> u64 {
        self.early_bytes
    }

    pub(super) fn lane_statuses(&self, now: Millis) -> Vec<LaneStatus> {
        let status = |lane: &Lane| LaneStatus {
            conn: lane.conn,
            is_ready: lane.ready,
            unacked_bytes: lane.outstanding,
            silent: now.saturating_sub(lane.last_heard),
        };
        self.lanes.iter().map(status).collect()
    }
}

#[cfg(test)]
mod tests;
