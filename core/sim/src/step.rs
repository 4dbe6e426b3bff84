//! One millisecond after the other, and what falls due in it.

use holdfast_core::engine::{ConnId, SwapOutcome, TICK};
use holdfast_core::{Member, NodeId};

use crate::arbiter::Fate;
use crate::network::Arrival;
use crate::world::{Due, World};

/// How often members read the arbiter of their own accord, in milliseconds.
const REREAD: u64 = 2_000;

impl World {
    /// One millisecond.
    pub(crate) fn step(&mut self) {
        self.now += 1;
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let due = entry.remove();
            self.happen(due);
        }
        let ids: Vec<u64> = self.network.connections.keys().copied().collect();
        for id in ids {
            for side in 0..2 {
                self.deliver(id, side);
            }
        }
        // As the runtime does, in case the arbiter's watch has missed something.
        if self.now.is_multiple_of(REREAD) && self.arbiter.is_up {
            for host in 0..self.hosts.len() {
                let (life, view) = (self.hosts[host].lives, self.arbiter.view().clone());
                let delay = self.draw(20, host, 0).between(1, REREAD);
                self.later(delay, Due::Watch { host, life, view });
            }
        }
        for host in 0..self.hosts.len() {
            let slot = &mut self.hosts[host];
            if slot.paused_until <= self.now && slot.next_tick <= self.now {
                slot.next_tick = self.now + TICK;
                self.with(host, |engine, now| engine.handle_tick(now));
            }
        }
    }

    fn deliver(&mut self, id: u64, side: usize) {
        // A bound, so that one busy pipe does not hold up the others.
        for _ in 0..64 {
            let Some(connection) = self.network.connections.get(&id) else { return };
            let to = connection.ends[1 - side];
            if self.hosts[to].paused_until > self.now {
                return;
            }
            match self.network.arrival(id, side, self.now) {
                Some(Arrival::Frame(frame)) => self.with(to, |engine, now| engine.handle_frame(now, ConnId(id), frame)),
                Some(Arrival::Closed) => self.with(to, |engine, now| engine.handle_disconnected(now, ConnId(id))),
                None => return,
            }
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Dialed { from, life, to } if self.hosts[from].lives == life => self.dialed(from, to),
            Due::Read { host, life } => {
                let is_reached = self.arbiter.is_up && !self.hosts[host].is_blind;
                let view = is_reached.then(|| self.arbiter.view().clone());
                let delay = if view.is_some() { self.draw(21, host, 0).between(1, 15) } else { 300 };
                self.later(delay, Due::ReadAnswer { host, life, view });
            }
            Due::Swap { host, life, expected, view, fate } => {
                let before = self.arbiter.view().clone();
                let fate = if self.arbiter.is_up && !self.hosts[host].is_blind { fate } else { Fate::Lost };
                let outcome = self.arbiter.swap(expected, view, fate);
                self.committed(&before, Some(host));
                let delay = if outcome == SwapOutcome::Unknown { 300 } else { self.draw(22, host, 0).between(1, 15) };
                self.later(delay, Due::SwapAnswer { host, life, outcome });
            }
            Due::ReadAnswer { host, life, view } if self.hosts[host].lives == life => match view {
                Some(view) => self.with(host, |engine, now| engine.handle_register(now, view)),
                None => self.with(host, |engine, now| engine.handle_arbiter_unreachable(now)),
            },
            Due::SwapAnswer { host, life, outcome } if self.hosts[host].lives == life => {
                self.with(host, |engine, now| engine.handle_swap(now, outcome));
            }
            Due::Watch { host, life, view } if self.hosts[host].lives == life && !self.hosts[host].is_blind => {
                self.with(host, |engine, now| engine.handle_watched(now, view));
            }
            Due::Proof { host, life, member } if self.hosts[host].lives == life && self.has_proof(host, member) => {
                self.with(host, |engine, now| engine.handle_proof_of_death(now, member));
            }
            Due::ScanOn { host, life, request, cursor, count } if self.hosts[host].lives == life => {
                self.with(host, |engine, now| engine.scan(now, request, cursor, count));
            }
            Due::Together { life, together } if self.hosts[together.host].lives == life => self.try_together(together),
            _ => {}
        }
    }

    /// The API server tells `host` that a member is dead.
    fn has_proof(&self, host: usize, member: Member) -> bool {
        self.arbiter.is_up && !self.hosts[host].is_blind && !self.is_alive(member)
    }

    fn dialed(&mut self, from: usize, to: usize) {
        let peer = NodeId::new(to as u8).expect("there are few hosts");
        let target = &self.hosts[to];
        if self.network.is_cut(from, to) || target.is_node_down || target.paused_until > self.now {
            return self.with(from, |engine, now| engine.handle_dial_failed(now, peer, false));
        }
        if target.engine.is_none() {
            return self.with(from, |engine, now| engine.handle_dial_failed(now, peer, true));
        }
        let id = self.network.open(from, to);
        self.with(from, |engine, now| engine.handle_connected(now, ConnId(id), true));
        self.with(to, |engine, now| engine.handle_connected(now, ConnId(id), false));
    }
}
