//! The pretend network: connections that deliver in order, late, or not at all, and break with any part of what was under way lost.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use holdfast_core::wire::{self, Decoder, Frame};

/// One direction of a connection.
#[derive(Default)]
pub(crate) struct Pipe {
    /// What is under way, and when it may arrive at the earliest.
    frames: VecDeque<(u64, Bytes)>,
    /// The sender has closed: the receiver learns so after the last frame, at this time or later.
    closed_at: Option<u64>,
}

/// A connection between two hosts; the pipe `i` carries what host `ends[i]` sends.
pub(crate) struct Connection {
    pub(crate) ends: [usize; 2],
    pub(crate) pipes: [Pipe; 2],
    /// Whether each end still has it open.
    pub(crate) is_open: [bool; 2],
}

/// What comes out of a pipe.
pub(crate) enum Arrival {
    Frame(Frame),
    Closed,
}

/// All connections, and who can reach whom.
pub(crate) struct Network {
    pub(crate) connections: BTreeMap<u64, Connection>,
    next: u64,
    /// `blocked[a][b]`: nothing gets from a to b.
    pub(crate) blocked: Vec<Vec<bool>>,
    /// Extra delay from a to b, in milliseconds.
    pub(crate) slow: Vec<Vec<u64>>,
}

impl Network {
    pub(crate) fn new(hosts: usize) -> Network {
        Network { connections: BTreeMap::new(), next: 1, blocked: vec![vec![false; hosts]; hosts], slow: vec![vec![0; hosts]; hosts] }
    }

    pub(crate) fn is_cut(&self, a: usize, b: usize) -> bool {
        self.blocked[a][b] || self.blocked[b][a]
    }

    pub(crate) fn heal(&mut self) {
        self.blocked.iter_mut().flatten().for_each(|blocked| *blocked = false);
        self.slow.iter_mut().flatten().for_each(|slow| *slow = 0);
    }

    pub(crate) fn open(&mut self, a: usize, b: usize) -> u64 {
        let id = self.next;
        self.next += 1;
        self.connections.insert(id, Connection { ends: [a, b], pipes: Default::default(), is_open: [true, true] });
        id
    }

    /// `host` sends on a connection.
    pub(crate) fn send(&mut self, id: u64, host: usize, bytes: Bytes, arrives: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let side = usize::from(connection.ends[1] == host);
        let pipe = &mut connection.pipes[side];
        if connection.is_open[side] && pipe.closed_at.is_none() {
            // A pipe is first in, first out, but for signs of life.
            let arrives =
                if wire::is_urgent(&bytes) { arrives } else { pipe.frames.back().map_or(arrives, |(last, _)| arrives.max(*last)) };
            let place = pipe.frames.iter().rposition(|(at, _)| *at <= arrives).map_or(0, |before| before + 1);
            pipe.frames.insert(place, (arrives, bytes));
        }
    }

    /// `host` closes: what it sent may still arrive.
    pub(crate) fn close(&mut self, id: u64, host: usize, at: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let side = usize::from(connection.ends[1] == host);
        connection.is_open[side] = false;
        connection.pipes[side].closed_at = Some(at);
        connection.pipes[1 - side] = Pipe::default();
        if !connection.is_open[1 - side] {
            self.connections.remove(&id);
        }
    }

    /// The connections between two hosts.
    pub(crate) fn between(&self, a: usize, b: usize) -> Vec<u64> {
        let joins = |connection: &Connection| connection.ends == [a, b] || connection.ends == [b, a];
        self.connections.iter().filter(|(_, connection)| joins(connection)).map(|(id, _)| *id).collect()
    }

    /// A connection breaks: of what is under way each way, only so many frames may still arrive.
    pub(crate) fn break_off(&mut self, id: u64, keep: [usize; 2], at: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        for (pipe, keep) in connection.pipes.iter_mut().zip(keep) {
            pipe.frames.truncate(keep);
            pipe.closed_at = Some(at);
        }
    }

    /// What arrives at the other end of the pipe `side` now, if anything.
    pub(crate) fn arrival(&mut self, id: u64, side: usize, now: u64) -> Option<Arrival> {
        let connection = self.connections.get_mut(&id)?;
        let [from, to] = [connection.ends[side], connection.ends[1 - side]];
        if self.blocked[from][to] || !connection.is_open[1 - side] {
            return None;
        }
        let pipe = &mut connection.pipes[side];
        match pipe.frames.front() {
            Some((at, _)) if *at <= now => {
                let (_, bytes) = pipe.frames.pop_front()?;
                let frame = Decoder::default().decode(&mut BytesMut::from(&bytes[..])).expect("what was encoded can be decoded");
                Some(Arrival::Frame(frame.expect("frames are sent whole")))
            }
            Some(_) => None,
            None if pipe.closed_at.is_some_and(|at| at <= now) => {
                connection.is_open[1 - side] = false;
                if connection.is_open == [false, false] {
                    self.connections.remove(&id);
                }
                Some(Arrival::Closed)
            }
            None => None,
        }
    }
}
