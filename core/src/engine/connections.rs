//! Which connections a link has: who dials, who is let in, and which one gives way when there are too many.
//!
//! A link wants as many connections as both ends allow. The first one is made by whoever gets to it, the member with the lower place first; the others by
//! the member with the lower place, unless they are missing for long. One attempt is under way at a time. When there are too many, those that the lower one
//! made stay, so that both ends give up the same ones.

use super::broken::BrokenRule;
use super::link::{ConnId, Connection};
use super::stream::{DIAL_BACKOFF, Link, Terms};
use super::{Compression, Engine, Output};
use crate::Millis;
use crate::view::{Member, NodeId};
use crate::wire::{Capabilities, Frame, Ident};

/// How long a connection may be open without being of use, in milliseconds.
const UNBOUND_LIMIT: Millis = 5_000;

/// The member with the higher place leaves the first attempt to the other, so that there is one connection and not two, in milliseconds.
const DIAL_COURTESY: Millis = 150;

/// It leaves all further ones to the other for so long, in milliseconds.
const MORE_COURTESY: Millis = 1_000;

/// How long after the loss of one of several connections the next one is made, in milliseconds.
const MORE_DELAY: Millis = 200;

impl Engine {
    /// A connection was opened: dialed after [`Output::Dial`], or accepted.
    pub fn handle_connected(&mut self, now: Millis, conn: ConnId, dialed: bool) {
        self.now = now;
        self.conns.insert(conn, Connection::new(now, dialed));
        let ident = Ident {
            versions: self.versions,
            cluster: self.config.cluster.clone(),
            member: self.me,
            pod_uid: self.config.pod_uid.clone(),
            connections: self.config.connections.max(1),
            capabilities: Capabilities::ALL,
            more: Default::default(),
        };
        self.send_frame(conn, &Frame::Ident(ident));
    }

    /// A connection could not be opened; `refused` if something at the member's address said that nobody listens.
    pub fn handle_dial_failed(&mut self, now: Millis, peer: NodeId, refused: bool) {
        self.now = now;
        let Some(link) = self.links.get_mut(&peer) else {
            self.membership.approach.dial_failed(now, peer, refused);
            if refused {
                self.note_dead(peer);
            }
            return;
        };
        link.refused = refused && !link.is_connected();
        link.dialing_since = None;
        link.dial_at = now + link.dial_backoff;
        link.dial_backoff = (link.dial_backoff * 2).min(DIAL_BACKOFF.1);
        self.detect_failures();
    }

    /// A connection is closed.
    pub fn handle_disconnected(&mut self, now: Millis, conn: ConnId) {
        self.now = now;
        self.let_go(conn);
        self.dial_due();
    }

    /// Closes a connection from this end.
    pub(super) fn close(&mut self, conn: ConnId) {
        self.out(Output::Close { conn });
        self.let_go(conn);
    }

    /// Forgets a connection; what was on it goes on the others of its link.
    fn let_go(&mut self, conn: ConnId) {
        let now = self.now;
        let Some(peer) = self.conns.remove(&conn).and_then(|connection| connection.peer) else { return };
        let Some(link) = self.links.get_mut(&peer.id) else { return };
        if link.detach(conn) {
            if link.is_connected() {
                link.dial_at = link.dial_at.max(now + MORE_DELAY);
            } else {
                link.dial_at = now;
                link.dialing_since = None;
            }
            self.resend(peer.id);
        }
    }

    /// Sends what is on no connection.
    pub(super) fn resend(&mut self, peer: NodeId) {
        let again = self.links.get_mut(&peer).map(Link::resend).unwrap_or_default();
        for (conn, bytes) in again {
            self.out(Output::Send { conn, bytes });
        }
    }

    pub(super) fn handle_ident(&mut self, conn: ConnId, ident: Ident) {
        let (oldest, newest) = ident.versions;
        let Some(version) = ident.version(self.versions).filter(|_| ident.cluster == self.config.cluster && ident.member.id != self.me.id)
        else {
            let (own_oldest, own_newest) = self.versions;
            self.alarm(format!(
                "refused a connection of {:?} of cluster `{}`, which speaks wire versions {oldest} to {newest}; this is {:?} of cluster `{}`, which speaks {own_oldest} to {own_newest}",
                ident.member, ident.cluster, self.me, self.config.cluster
            ));
            return self.close(conn);
        };
        let packs = self.config.compression == Compression::Lz4 && ident.capabilities.has(Capabilities::LZ4);
        let connections = ident.connections.min(self.config.connections).max(1);
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        if connection.peer.is_some() {
            return self.close(conn);
        }
        connection.peer = Some(ident.member);
        connection.terms = Some(Terms { version, connections, packs });
        self.membership.approach.met(self.now, ident.member.id);
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
        self.send_view(conn);
        self.bind(conn);
        self.detect_failures();
    }

    /// Makes `conn` a connection of the link to its peer, if there is such a link, and room or a connection that gives way.
    fn bind(&mut self, conn: ConnId) {
        let Some(connection) = self.conns.get(&conn) else { return };
        let (Some(peer), Some(terms)) = (connection.peer, connection.terms) else { return };
        let Some(link) = self.links.get(&peer.id) else { return };
        let is_of_peer = link.peer == peer || self.broken.is(BrokenRule::MixIncarnations);
        if !is_of_peer || link.lanes.iter().any(|lane| lane.conn == conn) {
            return;
        }
        if link.lanes.len() >= usize::from(terms.connections) {
            match self.to_give_way(link, conn) {
                Some(old) => self.close(old),
                None => return self.close(conn),
            }
        }
        let now = self.now;
        let Some(link) = self.links.get_mut(&peer.id) else { return };
        link.attach(now, conn);
        link.terms = terms;
        link.refused = false;
        link.was_connected = true;
        link.last_heard = now;
        link.dialing_since = None;
        link.dial_at = now;
        link.dial_backoff = DIAL_BACKOFF.0;
        let resume = Frame::Resume { to: peer.incarnation, last: link.last };
        self.send_view(conn);
        self.send_frame(conn, &resume);
    }

    /// The connection of a full link that makes place for a new one; `None` if the new one has to go.
    fn to_give_way(&self, link: &Link, new: ConnId) -> Option<ConnId> {
        let silent = |lane: &&super::stream::Lane| self.now.saturating_sub(lane.last_heard) > 2 * self.config.heartbeat_interval;
        let is_lower = |conn: ConnId| self.is_dialed_by_lower(conn, link.peer);
        let longest_silent = || link.lanes.iter().min_by_key(|lane| lane.last_heard);
        let of_higher = || link.lanes.iter().filter(|lane| !is_lower(lane.conn)).min_by_key(|lane| lane.last_heard);
        let lane = longest_silent().filter(silent).or_else(of_higher).or_else(|| longest_silent().filter(|_| is_lower(new)));
        lane.map(|lane| lane.conn)
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

    /// Ends connections that are of no use: of nobody in the view for long, or silent while the same member is heard on another one.
    pub(super) fn close_useless(&mut self) {
        let (now, config) = (self.now, &self.config);
        let mut useless = Vec::new();
        for (conn, connection) in &self.conns {
            let link = connection.peer.and_then(|peer| self.links.get(&peer.id));
            let lane = link.and_then(|link| link.lanes.iter().find(|lane| lane.conn == *conn).map(|lane| (link, lane)));
            let is_useless = match lane {
                None => now.saturating_sub(connection.opened) > UNBOUND_LIMIT,
                Some((link, lane)) => {
                    now.saturating_sub(lane.last_heard) > config.failure_timeout
                        && now.saturating_sub(link.last_heard) <= 2 * config.heartbeat_interval
                }
            };
            if is_useless {
                useless.push(*conn);
            }
        }
        for conn in useless {
            self.close(conn);
        }
    }

    /// Asks for connections to members to which there are too few, or none on which anything comes: what a network has swallowed for long, TCP tries again
    /// only after as long again.
    pub(super) fn dial_due(&mut self) {
        let (now, me, failure_timeout) = (self.now, self.me, self.config.failure_timeout);
        let Some(view) = self.current() else { return };
        let mut due = Vec::new();
        for (id, link) in &mut self.links {
            let is_overdue = link.dialing_since.is_some_and(|since| now.saturating_sub(since) > UNBOUND_LIMIT);
            let is_silent = link.is_connected() && now.saturating_sub(link.last_heard) > failure_timeout;
            let is_full = link.lanes.len() >= usize::from(link.terms.connections) && !is_silent;
            if is_full || (link.dialing_since.is_some() && !is_overdue) {
                continue;
            }
            let courtesy = match (me.id > *id, link.is_connected(), link.was_connected) {
                (true, true, _) if !is_silent => MORE_COURTESY,
                (true, true, _) | (true, false, false) => DIAL_COURTESY,
                _ => 0,
            };
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

    /// What a link speaks before its peer has introduced itself: what everybody can read.
    pub(super) fn first_terms(&self) -> Terms {
        Terms { version: self.versions.0, connections: 1, packs: false }
    }
}
