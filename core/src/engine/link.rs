//! Links: to each member of the view a stream of messages, numbered, kept until acknowledged, and sent again after a reconnect, so that what
//! arrives is in order and exactly once whatever happens to connections (R4). A message is only taken from a member of the view (R5).

use std::collections::VecDeque;

use bytes::Bytes;

use super::broken::BrokenRule;
use super::lease::Promises;
use super::{Engine, Output};
use crate::Millis;
use crate::view::{Member, MemberSet, NodeId, Version, View};
use crate::wire::{self, Frame, Ident, Message, WIRE_VERSIONS};

/// A connection, as the runtime numbers them; a number is never used twice in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// How long a connection may be open without being of use, in milliseconds.
const UNBOUND_LIMIT: Millis = 5_000;

/// The shortest and the longest time between two attempts to connect, in milliseconds.
const DIAL_BACKOFF: (Millis, Millis) = (50, 1_000);

/// The member with the higher place leaves the first attempt to the other, so that there is one connection and not two, in milliseconds.
const DIAL_COURTESY: Millis = 150;

/// The stream to one life of one member.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: Member,
    next: u64,
    unacked: VecDeque<(u64, Bytes)>,
    pub(super) unacked_bytes: u64,
    /// The last message received.
    last: u64,
    /// What the peer knows to have been received.
    last_acked: u64,
    pub(super) conn: Option<ConnId>,
    /// The peer has said on this connection what it has received.
    pub(super) ready: bool,
    last_sent: Millis,
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
    pub(super) promises: Promises,
    pub(super) proof_sought_at: Option<Millis>,
    dialing_since: Option<Millis>,
    dial_at: Millis,
    dial_backoff: Millis,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    dialed: bool,
    opened: Millis,
    peer: Option<Member>,
    /// The version of the view that was last sent on it.
    view_sent: Option<Version>,
    /// The peer has resumed the stream to this incarnation.
    resumed: bool,
}

impl Link {
    pub(super) fn new(peer: Member, now: Millis) -> Link {
        Link {
            peer,
            next: 0,
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            last: 0,
            last_acked: 0,
            conn: None,
            ready: false,
            last_sent: now,
            last_heard: now,
            was_connected: false,
            refused: false,
            proven_dead: false,
            suspected_at: None,
            heard: MemberSet::EMPTY,
            promises: Promises::default(),
            proof_sought_at: None,
            dialing_since: None,
            dial_at: now,
            dial_backoff: DIAL_BACKOFF.0,
        }
    }

    fn acknowledged(&mut self, up_to: u64) {
        while let Some((_, bytes)) = self.unacked.pop_front_if(|(seq, _)| *seq <= up_to) {
            self.unacked_bytes -= bytes.len() as u64;
        }
    }
}

impl Engine {
    /// A connection was opened: dialed after [`Output::Dial`], or accepted.
    pub fn handle_connected(&mut self, now: Millis, conn: ConnId, dialed: bool) {
        self.now = now;
        self.conns.insert(conn, Connection { dialed, opened: now, peer: None, view_sent: None, resumed: false });
        let ident =
            Ident { versions: WIRE_VERSIONS, cluster: self.config.cluster.clone(), member: self.me, pod_uid: self.config.pod_uid.clone() };
        self.send_frame(conn, &Frame::Ident(ident));
        self.send_view(conn);
    }

    /// A connection could not be opened; `refused` if something at the member's address said that nobody listens.
    pub fn handle_dial_failed(&mut self, now: Millis, peer: NodeId, refused: bool) {
        self.now = now;
        let Some(link) = self.links.get_mut(&peer) else { return };
        link.refused = refused && link.conn.is_none();
        link.dialing_since = None;
        link.dial_at = now + link.dial_backoff;
        link.dial_backoff = (link.dial_backoff * 2).min(DIAL_BACKOFF.1);
        self.detect_failures();
    }

    /// A connection is closed.
    pub fn handle_disconnected(&mut self, now: Millis, conn: ConnId) {
        self.now = now;
        self.conns.remove(&conn);
        for link in self.links.values_mut().filter(|link| link.conn == Some(conn)) {
            link.conn = None;
            link.ready = false;
            link.dial_at = now;
            link.dialing_since = None;
        }
        self.dial_due();
    }

    /// Some bytes arrived that are not a whole frame yet: the peer lives.
    pub fn handle_heard(&mut self, now: Millis, conn: ConnId) {
        self.now = now;
        if let Some(link) = self.links.values_mut().find(|link| link.conn == Some(conn)) {
            link.last_heard = now;
        }
    }

    /// A frame arrived.
    pub fn handle_frame(&mut self, now: Millis, conn: ConnId, frame: Frame) {
        self.handle_heard(now, conn);
        let Some(connection) = self.conns.get(&conn) else { return };
        if connection.peer.is_none() && !matches!(frame, Frame::Ident(_)) {
            // Whoever does not say who it is has nothing to say, least of all what the view is.
            return self.close(conn);
        }
        match frame {
            Frame::Ident(ident) => self.handle_ident(conn, ident),
            Frame::View(view) => {
                let of_member = self.links.values_mut().find(|link| link.conn == Some(conn));
                let ignored = self.broken.is(BrokenRule::IgnoreShownView) && of_member.is_some();
                if let Some(link) = of_member.filter(|link| !view.has(link.peer)) {
                    link.promises.has_ended = true;
                }
                if !ignored {
                    self.adopt(view);
                }
            }
            Frame::Resume { to, last } => self.handle_resume(conn, to, last),
            Frame::Data { seq, message } => self.handle_data(conn, seq, message),
            Frame::Heartbeat { ack, sent, echo, lease, asks, heard } => {
                if let Some(link) = self.links.values_mut().find(|link| link.conn == Some(conn) && link.ready) {
                    link.acknowledged(ack);
                    link.heard = heard;
                    let from = link.peer;
                    self.handle_promise(from, sent, echo, lease, asks);
                }
            }
        }
    }

    fn handle_ident(&mut self, conn: ConnId, ident: Ident) {
        let (oldest, newest) = ident.versions;
        let speaks = oldest <= WIRE_VERSIONS.1 && newest >= WIRE_VERSIONS.0;
        if !speaks || ident.cluster != self.config.cluster || ident.member.id == self.me.id {
            self.alarm(format!(
                "refused a connection of {:?} of cluster `{}`, which speaks wire versions {oldest} to {newest}",
                ident.member, ident.cluster
            ));
            return self.close(conn);
        }
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        if connection.peer.is_some() {
            return self.close(conn);
        }
        connection.peer = Some(ident.member);
        if let Some(link) = self.links.get_mut(&ident.member.id) {
            link.dialing_since = None;
            let entry = self.view.as_ref().and_then(|view| view.members.get(&ident.member.id));
            if link.peer != ident.member {
                link.dial_at = self.now + DIAL_BACKOFF.1;
                // A container is only started again when its predecessor has ended. What introduces itself late may be the predecessor.
                let is_successor = ident.member.incarnation > link.peer.incarnation || self.broken.is(BrokenRule::PredecessorProvesDeath);
                link.proven_dead |= is_successor && entry.is_some_and(|entry| entry.pod_uid == ident.pod_uid);
            }
        }
        self.bind(conn);
        self.detect_failures();
    }

    /// Makes `conn` the connection of the link to its peer, if there is such a link and no better connection.
    fn bind(&mut self, conn: ConnId) {
        let Some(peer) = self.conns.get(&conn).and_then(|connection| connection.peer) else { return };
        let Some(link) = self.links.get(&peer.id).filter(|link| link.conn != Some(conn)) else { return };
        if link.peer != peer && !self.broken.is(BrokenRule::MixIncarnations) {
            return;
        }
        if let Some(old) = link.conn {
            let is_alive = self.now.saturating_sub(link.last_heard) <= 2 * self.config.heartbeat_interval;
            if is_alive && self.is_dialed_by_lower(old, peer) && !self.is_dialed_by_lower(conn, peer) {
                return self.close(conn);
            }
            self.close(old);
        }
        let now = self.now;
        let Some(link) = self.links.get_mut(&peer.id) else { return };
        link.conn = Some(conn);
        link.ready = false;
        link.refused = false;
        link.was_connected = true;
        link.last_heard = now;
        link.dialing_since = None;
        link.dial_backoff = DIAL_BACKOFF.0;
        let resume = Frame::Resume { to: peer.incarnation, last: link.last };
        self.send_view(conn);
        self.send_frame(conn, &resume);
    }

    fn is_dialed_by_lower(&self, conn: ConnId, peer: Member) -> bool {
        self.conns.get(&conn).is_some_and(|connection| connection.dialed == (self.me.id < peer.id))
    }

    /// Connections of members that are only now in the view.
    pub(super) fn bind_waiting_connections(&mut self) {
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in conns {
            self.bind(conn);
        }
    }

    fn handle_resume(&mut self, conn: ConnId, to: u64, last: u64) {
        let Some(link) = self.links.values_mut().find(|link| link.conn == Some(conn)) else { return };
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        let is_for_me = to == self.me.incarnation || self.broken.is(BrokenRule::MixIncarnations);
        if !is_for_me || connection.resumed {
            return;
        }
        connection.resumed = true;
        link.ready = true;
        let id = link.peer.id;
        if !self.broken.is(BrokenRule::TakeTwice) {
            link.acknowledged(last);
        }
        if self.broken.is(BrokenRule::NoResend) {
            link.acknowledged(u64::MAX);
        }
        let again: Vec<Bytes> = link.unacked.iter().map(|(_, bytes)| bytes.clone()).collect();
        self.send_view(conn);
        for bytes in again {
            self.out(Output::Send { conn, bytes });
        }
        self.beat(id);
    }

    fn handle_data(&mut self, conn: ConnId, seq: u64, message: Message) {
        let Some(connection) = self.conns.get(&conn) else { return };
        let resumed = connection.resumed;
        let Some(link) = self.links.values_mut().find(|link| link.conn == Some(conn)) else {
            if let Some(from) = connection.peer.filter(|_| self.broken.is(BrokenRule::NoFence)) {
                self.receive(from, message);
            }
            // Not a member of this view: it learns so.
            return self.send_view(conn);
        };
        let is_next = seq == link.last + 1
            || (self.broken.is(BrokenRule::TakeTwice) && seq <= link.last)
            || (self.broken.is(BrokenRule::NoResend) && seq > link.last)
            || (self.broken.is(BrokenRule::MixIncarnations) && connection.peer != Some(link.peer));
        if !resumed || !is_next {
            return;
        }
        link.last = link.last.max(seq);
        let from = link.peer;
        self.receive(from, message);
    }

    /// Sends a message to the member at `to`, if there is one in the view.
    pub(super) fn send(&mut self, to: NodeId, message: Message) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&to) else { return };
        link.next += 1;
        let seq = link.next;
        let bytes = wire::encode(&Frame::Data { seq, message });
        link.unacked_bytes += bytes.len() as u64;
        link.unacked.push_back((seq, bytes.clone()));
        if let Some(conn) = link.conn.filter(|_| link.ready) {
            link.last_sent = now;
            self.out(Output::Send { conn, bytes });
        }
    }

    /// Sends a message to exactly this life of a member.
    pub(super) fn send_to(&mut self, to: Member, message: Message) {
        if self.links.get(&to.id).is_some_and(|link| link.peer == to) {
            self.send(to.id, message);
        }
    }

    fn send_frame(&mut self, conn: ConnId, frame: &Frame) {
        self.out(Output::Send { conn, bytes: wire::encode(frame) });
    }

    /// Sends the view on `conn`, unless it was sent already.
    fn send_view(&mut self, conn: ConnId) {
        let Some(view) = self.current() else { return };
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        if connection.view_sent != Some(view.version) {
            connection.view_sent = Some(view.version);
            self.send_frame(conn, &Frame::View((*view).clone()));
        }
    }

    /// Tells everybody that this member, which was leaving, is not in the view any more: its last words.
    pub(super) fn announce_end(&mut self, view: &View) {
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in conns {
            self.send_frame(conn, &Frame::View(view.clone()));
        }
    }

    /// Tells everybody, members or not, what the view is now; before anything that is said in it.
    pub(super) fn announce_view(&mut self, view: &std::sync::Arc<View>) {
        self.out(Output::ViewChanged(std::sync::Arc::clone(view)));
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in conns {
            self.send_view(conn);
        }
    }

    fn close(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
        self.out(Output::Close { conn });
    }

    /// Signs of life, acknowledgements, attempts to connect, and connections that are of no use.
    pub(super) fn tick_links(&mut self) {
        let (now, interval) = (self.now, self.config.heartbeat_interval);
        let asks = self.asks_for_lease();
        let is_due = |link: &Link| {
            let is_due = asks || link.last > link.last_acked || now.saturating_sub(link.last_sent) >= interval;
            (link.ready && is_due).then_some(link.peer.id)
        };
        let due: Vec<NodeId> = self.links.values().filter_map(is_due).collect();
        due.into_iter().for_each(|id| self.beat(id));
        let is_bound = |conn: &ConnId| self.links.values().any(|link| link.conn == Some(*conn));
        let useless = |(conn, connection): (&ConnId, &Connection)| {
            (now.saturating_sub(connection.opened) > UNBOUND_LIMIT && !is_bound(conn)).then_some(*conn)
        };
        let useless: Vec<ConnId> = self.conns.iter().filter_map(useless).collect();
        for conn in useless {
            self.close(conn);
        }
        self.dial_due();
    }

    /// A sign of life.
    pub(super) fn beat(&mut self, id: NodeId) {
        let (now, asks, heard) = (self.now, self.asks_for_lease(), self.heard());
        let (echo, lease) = self.promise(id);
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(conn) = link.conn.filter(|_| link.ready) else { return };
        link.last_acked = link.last;
        link.last_sent = now;
        let ack = link.last;
        self.send_frame(conn, &Frame::Heartbeat { ack, sent: now, echo, lease, asks, heard });
    }

    /// Whom this member hears.
    pub(super) fn heard(&self) -> MemberSet {
        let mut heard: MemberSet =
            self.links.values().filter(|link| link.ready && link.suspected_at.is_none()).map(|link| link.peer.id).collect();
        heard.insert(self.me.id);
        heard
    }

    /// Asks for connections to members to which there is none.
    fn dial_due(&mut self) {
        let (now, me) = (self.now, self.me);
        let Some(view) = self.current() else { return };
        let mut due = Vec::new();
        for (id, link) in &mut self.links {
            let is_overdue = link.dialing_since.is_some_and(|since| now.saturating_sub(since) > UNBOUND_LIMIT);
            if link.conn.is_some() || (link.dialing_since.is_some() && !is_overdue) {
                continue;
            }
            let courtesy = if !link.was_connected && me.id > *id { DIAL_COURTESY } else { 0 };
            if now >= link.dial_at + courtesy {
                link.dialing_since = Some(now);
                due.push(*id);
            }
        }
        for peer in due {
            if let Some(entry) = view.members.get(&peer) {
                self.out(Output::Dial { peer, name: entry.name.clone() });
            }
        }
    }
}
