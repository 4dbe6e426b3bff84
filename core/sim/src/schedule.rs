//! What goes wrong, when, and what clients do meanwhile; then everything is healed, and has to come to rest.

use bytes::Bytes;
use holdfast_core::{Command, Condition, Expiry, Key};

use crate::world::World;

/// How long a healed cluster may take to come to rest, in milliseconds.
const REST_WITHIN: u64 = 30_000;

/// How often each thing happens in a run, in parts of 100,000 for each millisecond. Each run draws its own (swarm testing).
struct Weights {
    operation: u64,
    crash: u64,
    node_crash: u64,
    restart: u64,
    reset: u64,
    partition: u64,
    cut: u64,
    heal: u64,
    slow: u64,
    pause: u64,
    arbiter: u64,
    late_swap: u64,
    leave: u64,
    start: u64,
    /// How many crashes at the most.
    crashes: u64,
}

impl World {
    fn draw_weights(&mut self) -> Weights {
        let mut draw = |base: u64| {
            let factor = self.rng.pick(&[0, 0, 1, 1, 2, 4]);
            base * factor
        };
        Weights {
            operation: 0,
            crash: draw(40),
            node_crash: draw(15),
            restart: draw(150).max(100),
            reset: draw(150),
            partition: draw(20),
            cut: draw(20),
            heal: 120,
            slow: draw(40),
            pause: draw(40),
            arbiter: draw(20),
            late_swap: 200,
            leave: draw(25),
            start: draw(60).max(40),
            crashes: self.rng.pick(&[0, 1, 1, 2, 3, 6]),
        }
    }

    pub(crate) fn run(&mut self) -> Result<(), String> {
        let mut weights = self.draw_weights();
        let length = self.rng.between(1_500, 9_000);
        let operations = self.rng.between(10, 70);
        weights.operation = operations * 100_000 / length;
        let at_start = self.rng.between(1, self.hosts.len() as u64) as usize;
        for host in 0..at_start {
            self.start(host, true);
        }
        for _ in 0..length {
            self.step();
            self.disturb(&weights, operations);
            self.check_owners();
            self.check()?;
        }
        self.heal()?;
        self.check_history();
        self.check()
    }

    fn happens(&mut self, weight: u64) -> bool {
        weight > 0 && self.rng.below(100_000) < weight
    }

    fn any_host(&mut self) -> usize {
        self.rng.below(self.hosts.len() as u64) as usize
    }

    fn disturb(&mut self, weights: &Weights, operations: u64) {
        let (host, other) = (self.any_host(), self.any_host());
        let runs = self.hosts[host].engine.is_some();
        let is_awake = self.hosts[host].paused_until <= self.now();
        if runs && is_awake && self.stats.operations < operations && self.happens(weights.operation) {
            self.operate(host);
        }
        let is_burst = self.now() < self.burst_until && self.stats.operations < operations + 50;
        if runs && is_awake && is_burst && self.rng.chance(12) {
            self.operate(host);
        }
        if runs && self.stats.crashes < weights.crashes && self.happens(weights.crash) {
            self.crash(host, false);
        }
        if runs && self.stats.crashes < weights.crashes && self.happens(weights.node_crash) {
            self.crash(host, true);
        }
        if !runs && self.hosts[host].is_wanted && self.happens(weights.restart) {
            let new_pod = self.hosts[host].is_node_down || self.rng.chance(30);
            self.start(host, new_pod);
        }
        if !runs && !self.hosts[host].is_wanted && self.happens(weights.start) {
            self.start(host, true);
        }
        if runs && !self.hosts[host].is_finishing && self.happens(weights.leave) {
            self.log(|| format!("{host} is to leave"));
            self.hosts[host].is_finishing = true;
            self.with(host, |engine, now| engine.finish(now));
        }
        if self.happens(weights.reset) {
            self.reset_one();
        }
        if self.happens(weights.partition) {
            let side = self.rng.below(1 << self.hosts.len());
            self.log(|| format!("PARTITION {side:b}"));
            for a in 0..self.hosts.len() {
                for b in 0..self.hosts.len() {
                    self.network.blocked[a][b] |= (side >> a & 1) != (side >> b & 1);
                }
            }
        }
        if host != other && self.happens(weights.cut) {
            let both = self.rng.chance(50);
            self.log(|| format!("CUT {host} to {other}{}", if both { " and back" } else { "" }));
            self.network.blocked[host][other] = true;
            self.network.blocked[other][host] |= both;
        }
        if self.happens(weights.heal) {
            self.network.heal();
        }
        if host != other && self.happens(weights.slow) {
            self.network.slow[host][other] = self.rng.between(50, 600);
        }
        if runs && self.happens(weights.pause) {
            let until = self.now() + self.rng.between(50, 1_500);
            self.log(|| format!("PAUSE {host} until {until}"));
            self.hosts[host].paused_until = until;
        }
        if self.happens(weights.arbiter) {
            self.arbiter.is_up = false;
        }
        if !self.arbiter.is_up && self.happens(weights.heal) {
            self.arbiter.is_up = true;
        }
        if self.arbiter.is_up && self.happens(weights.late_swap) {
            self.commit_late();
        }
    }

    fn commit_late(&mut self) {
        let before = self.arbiter.view().clone();
        let index = self.rng.below(1 << 16) as usize;
        if self.arbiter.commit_late(index) {
            self.committed(&before, None);
        }
    }

    fn reset_one(&mut self) {
        let ids: Vec<u64> = self.network.connections.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = self.rng.pick(&ids);
        self.stats.resets += 1;
        let keep = [self.rng.below(5) as usize, self.rng.below(5) as usize];
        let at = self.now() + self.rng.between(0, 20);
        self.log(|| format!("RESET connection {id}"));
        self.network.break_off(id, keep, at);
    }

    /// A client does something: strings on most sessions, fields on the last one.
    fn operate(&mut self, host: usize) {
        let index = self.rng.below(self.keys.len() as u64) as usize;
        let key: Key = self.keys[index].clone();
        let value = Bytes::from(format!("v{}", self.stats.operations));
        let condition = self.rng.pick(&[Condition::Always, Condition::Always, Condition::IfAbsent, Condition::IfPresent]);
        let field = Bytes::from_static(self.rng.pick(&["a", "b"]).as_bytes());
        let is_hash = index == 2;
        let command = match (self.rng.below(10), is_hash) {
            (0..=3, false) => Command::Set { value, expiry: Expiry::Never, condition, return_old: self.rng.chance(20) },
            (4, false) => Command::GetDel,
            (5..=6, _) => Command::Delete,
            (_, false) => Command::Get,
            (0..=3, true) => Command::HashSet { fields: vec![(field, value)] },
            (4, true) => Command::HashDelete { fields: vec![field] },
            (_, true) => Command::HashGetAll,
        };
        self.ask(host, key, command);
    }

    /// Ends all faults, waits for rest, and has every member read every session.
    pub(crate) fn heal(&mut self) -> Result<(), String> {
        self.log(|| "HEAL".into());
        self.is_healing = true;
        self.network.heal();
        self.arbiter.is_up = true;
        for host in 0..self.hosts.len() {
            self.hosts[host].paused_until = 0;
            if self.hosts[host].is_wanted && self.hosts[host].engine.is_none() {
                let new_pod = self.hosts[host].is_node_down;
                self.start(host, new_pod);
            }
        }
        self.come_to_rest()?;
        if self.hosts.iter().all(|host| host.engine.is_none()) {
            return Ok(());
        }
        for host in 0..self.hosts.len() {
            if self.hosts[host].engine.is_some() {
                for key in self.keys.clone() {
                    let is_hash = self.keys.iter().position(|other| *other == key) == Some(2);
                    self.ask(host, key, if is_hash { Command::HashGetAll } else { Command::Get });
                }
            }
        }
        self.come_to_rest()?;
        self.check_rest();
        self.check()
    }

    pub(crate) fn come_to_rest(&mut self) -> Result<(), String> {
        let until = self.now() + REST_WITHIN;
        let mut quiet = 0;
        while quiet < 100 {
            self.step();
            self.check_owners();
            self.check()?;
            quiet = if self.is_at_rest() { quiet + 1 } else { 0 };
            let nobody_left = self.hosts.iter().all(|host| host.engine.is_none());
            if nobody_left {
                return Ok(());
            }
            if self.now() > until {
                let statuses: String =
                    self.hosts.iter().filter_map(|host| host.engine.as_ref()).map(|engine| format!("\n  {:?}", engine.status())).collect();
                return Err(format!("does not come to rest; the arbiter shows {:?}{statuses}", self.arbiter.view()));
            }
        }
        Ok(())
    }
}
