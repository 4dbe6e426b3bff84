//! Actions are carried out here, and written down.

use crate::action::{Action, Pod};
use crate::world::World;

impl World {
    /// Does `action`, if it makes sense now.
    pub(crate) fn perform(&mut self, action: Action) {
        self.script.push((self.now, action));
        if !matches!(action, Action::Ask(..)) {
            self.log(|| format!("{action:?}"));
        }
        match action {
            Action::Start(host, pod) => {
                let new_pod = pod == Pod::New || self.hosts[host].is_node_down;
                self.start(host, new_pod);
            }
            Action::Crash(host) => self.crash(host, false),
            Action::CrashNode(host) => self.crash(host, true),
            Action::Finish(host) => {
                self.hosts[host].is_finishing = true;
                self.with(host, |engine, now| engine.finish(now));
            }
            Action::Drain(host) => {
                self.hosts[host].is_drained = true;
                self.with(host, |engine, now| engine.drain(now));
            }
            Action::Reset(a, b, keep) => {
                for id in self.network.between(a, b) {
                    self.stats.resets += 1;
                    let at = self.now + self.draw(30, a, b).between(0, 20);
                    self.network.break_off(id, keep, at);
                }
            }
            Action::Partition(side) => {
                for a in 0..self.hosts.len() {
                    for b in 0..self.hosts.len() {
                        self.network.blocked[a][b] |= (side >> a & 1) != (side >> b & 1);
                    }
                }
            }
            Action::Cut(from, to) => self.network.blocked[from][to] = true,
            Action::Slow(from, to, millis) => self.network.slow[from][to] = millis,
            Action::Blind(host) => self.hosts[host].is_blind = true,
            Action::HealNetwork => {
                self.network.heal();
                self.hosts.iter_mut().for_each(|host| host.is_blind = false);
            }
            Action::Pause(host, millis) => self.hosts[host].paused_until = self.now + millis,
            Action::ArbiterDown => self.arbiter.is_up = false,
            Action::ArbiterUp => self.arbiter.is_up = true,
            Action::LateSwap(index) => {
                let before = self.arbiter.view().clone();
                if self.arbiter.is_up && self.arbiter.commit_late(index) {
                    self.committed(&before, None);
                }
            }
            Action::Ask(host, key, ask) => {
                self.ask(host, self.keys[key % self.keys.len()].clone(), ask.command());
            }
            Action::Together(host, first, number) => self.begin_together(host, first, number),
            Action::Expect(host, key, within) => {
                let until = self.now + within;
                let request = self.ask(host, self.keys[key % self.keys.len()].clone(), crate::action::Ask::Get.command());
                self.expect(request, until);
            }
            Action::Scan(host, count) => self.scan(host, count, false),
            Action::Copies(copies) => {
                self.copies = Some(copies);
                for host in 0..self.hosts.len() {
                    self.with(host, |engine, now| engine.handle_copies(now, copies));
                }
            }
            Action::Crowd(host) => self.create_crowd(host),
        }
    }
}
