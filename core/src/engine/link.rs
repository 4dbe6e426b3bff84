//! Links: to each member of the view a stream of messages, numbered, kept until acknowledged, and sent again after a reconnect, so that what
//! arrives is in order and exactly once whatever happens to connections (R4). A message is only taken from a member of the view (R5).

use super::broken::BrokenRule;
use super::record::Slot;
use super::stream::{Arrived, Link, Terms};
use super::{Acknowledge, Engine, Output};
use crate::Millis;
use crate::view::{Member, MemberSet, NodeId, Version, View};
use crate::wire::{self, Frame, Message};

/// A connection, as the runtime numbers them; a number is never used twice in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) dialed: bool,
    pub(super) opened: Millis,
    pub(super) peer: Option<Member>,
    /// What was agreed upon with the peer.
    pub(super) terms: Option<Terms>,
    /// The version of the view that was last sent on it.
    view_sent: Option<Version>,
    /// The peer has resumed the stream to this incarnation.
    resumed: bool,
}

impl Connection {
    pub(super) fn new(opened: Millis, dialed: bool) -> Connection {
        Connection { dialed, opened, peer: None, terms: None, view_sent: None, resumed: false }
    }
}

impl Engine {
    /// The link that `conn` is a connection of.
    fn link_of(&mut self, conn: ConnId) -> Option<&mut Link> {
        let peer = self.conns.get(&conn)?.peer?;
        self.links.get_mut(&peer.id).filter(|link| link.lanes.iter().any(|lane| lane.conn == conn))
    }

    /// Some bytes arrived that are not a whole frame yet: the peer lives.
    pub fn handle_heard(&mut self, now: Millis, conn: ConnId) {
        self.now = now;
        if let Some(link) = self.link_of(conn) {
            link.heard(now, conn);
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
                let broken = self.broken.is(BrokenRule::IgnoreShownView);
                let of_member = self.link_of(conn);
                let ignored = broken && of_member.is_some();
                if let Some(link) = of_member.filter(|link| !view.has(link.peer)) {
                    link.promises.has_ended = true;
                }
                if !ignored {
                    self.adopt(view);
                }
            }
            Frame::Resume { to, last } => self.handle_resume(conn, to, last),
            Frame::Data { seq, ack, message } => self.handle_data(conn, seq, ack, message),
            Frame::Heartbeat { ack, sent, echo, lease, asks, heard } => {
                let resumed = connection.resumed;
                if let Some(link) = self.link_of(conn).filter(|_| resumed) {
                    link.acknowledged(now, ack);
                    link.heard = heard;
                    let from = link.peer;
                    self.handle_promise(from, sent, echo, lease, asks);
                    self.take_receipts(from.id);
                }
            }
        }
    }

    fn handle_resume(&mut self, conn: ConnId, to: u64, last: u64) {
        let (now, me, broken) = (self.now, self.me, self.broken);
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        let is_for_me = to == me.incarnation || broken.is(BrokenRule::MixIncarnations);
        let Some(peer) = connection.peer.filter(|_| is_for_me && !connection.resumed) else { return };
        let Some(link) = self.links.get_mut(&peer.id) else { return };
        let Some(lane) = link.lane(conn) else { return };
        lane.ready = true;
        connection.resumed = true;
        if !broken.is(BrokenRule::TakeTwice) {
            link.acknowledged(now, last);
        }
        if broken.is(BrokenRule::NoResend) {
            link.acknowledged(now, u64::MAX);
        }
        self.send_view(conn);
        self.resend(peer.id);
        self.beat_on(peer.id, conn);
        self.take_receipts(peer.id);
    }

    fn handle_data(&mut self, conn: ConnId, seq: u64, ack: u64, message: Message) {
        let (now, limit, broken) = (self.now, self.config.queue_bytes, self.broken);
        let Some(connection) = self.conns.get(&conn) else { return };
        let (speaker, resumed) = (connection.peer, connection.resumed);
        let Some(link) = self.link_of(conn) else {
            if let Some(from) = speaker.filter(|_| broken.is(BrokenRule::NoFence)) {
                self.receive(from, message);
            }
            // Not a member of this view: it learns so.
            return self.send_view(conn);
        };
        if !resumed {
            return;
        }
        let from = link.peer;
        let is_forced = (broken.is(BrokenRule::TakeTwice) && seq <= link.last)
            || (broken.is(BrokenRule::NoResend) && seq > link.last)
            || (broken.is(BrokenRule::MixIncarnations) && speaker != Some(from));
        if is_forced {
            link.last = link.last.max(seq);
            return self.receive(from, message);
        }
        link.acknowledged(now, ack);
        if broken.is(BrokenRule::TakeOutOfOrder) && link.is_ahead(seq) {
            let nothing = Message::Confirm { epoch: 0 };
            let _ = link.arrived(seq, nothing, u64::MAX);
            return self.receive(from, message);
        }
        let arrived = link.arrived(seq, message, limit);
        self.take_receipts(from.id);
        match arrived {
            Arrived::Next(message) => self.receive(from, message),
            Arrived::Kept => return,
            // What it still carries is sent again on the others, or on the next one.
            Arrived::Overflow => return self.close(conn),
        }
        while let Some(message) = self.links.get_mut(&from.id).filter(|link| link.peer == from).and_then(Link::next_early) {
            self.receive(from, message);
        }
    }

    /// Sends a message to the member at `to`, if there is one in the view.
    pub(super) fn send(&mut self, to: NodeId, message: Message) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&to) else { return };
        if let Some((conn, bytes)) = link.push(now, message) {
            self.out(Output::Send { conn, bytes });
        }
    }

    /// Somebody waits for the receipt of the message about a session that was just sent to `to`; its number, if there is such a member.
    pub(super) fn watch_receipt(&mut self, to: NodeId, slot: &Slot, term: u64, seq: u64) -> Option<u64> {
        self.links.get_mut(&to).map(|link| link.watch(slot, term, seq))
    }

    /// Answers those who wait for receipts.
    fn take_receipts(&mut self, id: NodeId) {
        while let Some((number, slot, term, seq)) = self.links.get_mut(&id).and_then(Link::next_receipt) {
            self.handle_receipt(id, number, &slot, term, seq);
        }
    }

    /// Says what was received, where senders wait for it.
    pub(super) fn send_receipts(&mut self) {
        if self.config.acknowledge == Acknowledge::Received {
            let due = |link: &Link| (link.is_ready() && link.last > link.last_acked).then_some(link.peer.id);
            let due: Vec<NodeId> = self.links.values().filter_map(due).collect();
            due.into_iter().for_each(|id| self.beat(id));
        }
    }

    /// Sends a message to exactly this life of a member.
    pub(super) fn send_to(&mut self, to: Member, message: Message) {
        if self.links.get(&to.id).is_some_and(|link| link.peer == to) {
            self.send(to.id, message);
        }
    }

    pub(super) fn send_frame(&mut self, conn: ConnId, frame: &Frame) {
        self.out(Output::Send { conn, bytes: wire::encode(frame) });
    }

    /// Sends the view on `conn`, unless it was sent already or nobody has introduced himself there yet.
    pub(super) fn send_view(&mut self, conn: ConnId) {
        let Some(view) = self.current() else { return };
        let Some(connection) = self.conns.get_mut(&conn).filter(|connection| connection.peer.is_some()) else { return };
        if connection.view_sent != Some(view.version) {
            connection.view_sent = Some(view.version);
            self.send_frame(conn, &Frame::View((*view).clone()));
        }
    }

    /// Tells everybody that this member, which was leaving, is not in the view any more: its last words.
    pub(super) fn announce_end(&mut self, view: &View) {
        let known = |(conn, connection): (&ConnId, &Connection)| connection.peer.is_some().then_some(*conn);
        let conns: Vec<ConnId> = self.conns.iter().filter_map(known).collect();
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

    /// Begins a link. The counters of the one before go on.
    pub(super) fn begin_link(&mut self, peer: Member) {
        let counters = self.ended_links.remove(&peer.id).unwrap_or_default();
        let mut link = Link::new(peer, self.now, self.first_terms(), counters);
        link.stripe_size = self.stripe;
        self.links.insert(peer.id, link);
        self.tell_interest(peer.id);
    }

    /// What a link that ended has done.
    pub(super) fn keep_counters(&mut self, link: Link) {
        self.ended_links.insert(link.peer.id, link.end());
    }

    /// Signs of life, acknowledgements, attempts to connect, and connections that are of no use.
    pub(super) fn tick_links(&mut self) {
        let (now, interval) = (self.now, self.config.heartbeat_interval);
        let asks = self.asks_for_lease();
        let mut due = Vec::new();
        for (id, link) in &self.links {
            // One connection is enough to tell what was received, but each has to be heard of.
            let mut is_pressing = asks || link.last > link.last_acked;
            for lane in link.lanes.iter().filter(|lane| lane.ready) {
                if std::mem::take(&mut is_pressing) || now.saturating_sub(lane.last_beat) >= interval {
                    due.push((*id, lane.conn));
                }
            }
        }
        due.into_iter().for_each(|(id, conn)| self.beat_on(id, conn));
        self.close_useless();
        self.dial_due();
    }

    /// A sign of life, on whichever connection is best.
    pub(super) fn beat(&mut self, id: NodeId) {
        if let Some(conn) = self.links.get(&id).and_then(Link::liveliest) {
            self.beat_on(id, conn);
        }
    }

    fn beat_on(&mut self, id: NodeId, conn: ConnId) {
        let (now, asks, heard) = (self.now, self.asks_for_lease(), self.heard());
        let (echo, lease) = self.promise(id);
        let Some(link) = self.links.get_mut(&id) else { return };
        link.last_acked = link.last;
        let ack = link.last;
        let Some(lane) = link.lane(conn).filter(|lane| lane.ready) else { return };
        lane.last_beat = now;
        self.send_frame(conn, &Frame::Heartbeat { ack, sent: now, echo, lease, asks, heard });
    }

    /// Whom this member hears.
    pub(super) fn heard(&self) -> MemberSet {
        let mut heard: MemberSet =
            self.links.values().filter(|link| link.is_ready() && link.suspected_at.is_none()).map(|link| link.peer.id).collect();
        heard.insert(self.me.id);
        heard
    }
}
