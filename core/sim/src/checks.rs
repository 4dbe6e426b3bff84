//! What has to hold, and when a loss is excused: only while more members failed since all was last protected than the copies can bear.

use holdfast_core::engine::MemberPhase;
use holdfast_core::{Member, NodeId, View};

use crate::history::{MAX_OPERATIONS, Operation, Verdict, judge};
use crate::world::World;

/// Counts failures since the arbiter last showed a settled view.
#[derive(Default)]
pub(crate) struct Failures {
    count: usize,
    /// How many of them were crashes: evictions alone must never lose anything.
    crashes: usize,
    tolerated: usize,
    /// When more failed than the copies can bear, and when all that was left was protected again.
    pub(crate) excused: Vec<(u64, Option<u64>)>,
}

impl Failures {
    fn failed(&mut self, now: u64) {
        self.count += 1;
        if self.count > self.tolerated && self.crashes > 0 {
            self.excused.push((now, None));
        }
    }

    pub(crate) fn crashed(&mut self, member: Member, view: &View, now: u64) {
        if view.has(member) && view.voters().contains(member.id) {
            self.crashes += 1;
            self.failed(now);
        }
    }

    pub(crate) fn evicted(&mut self, before: &View, id: NodeId, now: u64) {
        if before.voters().contains(id) {
            self.failed(now);
        }
    }

    pub(crate) fn committed(&mut self, before: &View, view: &View, alive: &[Member], now: u64) {
        let full = view.full().len();
        if view.version.sub > before.version.sub && view.version.epoch == before.version.epoch {
            self.tolerated = usize::from(view.copies).min(full.saturating_sub(1));
            self.crashes = view.voters().iter().filter_map(|id| view.member(id)).filter(|member| !alive.contains(member)).count();
            self.count = self.crashes;
            self.excused.iter_mut().for_each(|(_, until)| *until = until.or(Some(now)));
        } else if view.voters().len() == before.voters().len() && full < before.full().len() {
            // A member begins to leave: what it held is given away before all is settled again.
            self.tolerated = self.tolerated.min(full.saturating_sub(1));
        }
    }
}

impl World {
    /// At most one member of the arbiter's view owns a session.
    pub(crate) fn check_owners(&mut self) {
        let view = self.arbiter.view().clone();
        for key in self.keys.clone() {
            let owns = |host: &&crate::world::Host| {
                host.engine.as_ref().is_some_and(|engine| {
                    let member = engine.member();
                    view.has(member) && engine.session(&key).is_some_and(|session| session.owner == member)
                })
            };
            let owners = self.hosts.iter().filter(owns).count();
            if owners > 1 {
                self.violate(format!("{owners} owners of {key:?}"));
            }
        }
    }

    /// Whether nothing is left to be done anywhere.
    pub(crate) fn is_at_rest(&self) -> bool {
        let view = self.arbiter.view();
        let running = self.hosts.iter().filter_map(|host| host.engine.as_ref());
        let mut count = 0;
        for status in running.map(|engine| engine.status()) {
            count += 1;
            let is_idle = status.phase == MemberPhase::Active && status.barrier && status.commands == 0;
            let is_settled = status.unsettled == 0 && status.transfers == 0;
            let is_quiet = status.links.iter().all(|link| link.is_ready && link.unacked_bytes == 0);
            let is_current = status.view.as_ref().is_some_and(|own| own.version == view.version);
            if !(is_idle && is_settled && is_quiet && is_current) {
                return false;
            }
        }
        count == view.members.len() && view.version.sub > 0 && view.budget == view.settled_budget()
    }

    /// At rest every session is exactly where it belongs.
    pub(crate) fn check_rest(&mut self) {
        let view = self.arbiter.view().clone();
        for key in self.keys.clone() {
            let mut held = holdfast_core::MemberSet::EMPTY;
            let mut owner = None;
            for engine in self.hosts.iter().filter_map(|host| host.engine.as_ref()) {
                let Some(session) = engine.session(&key) else { continue };
                held.insert(engine.member().id);
                if session.owner == engine.member() {
                    owner = Some((session, engine.member().id));
                }
            }
            let Some((session, owner)) = owner else {
                if !held.is_empty() {
                    self.violate(format!("at rest, {key:?} is held by {held:?} and owned by nobody"));
                }
                continue;
            };
            let position = holdfast_core::placement::position(&key);
            let want = view.want(position, owner);
            let mut should = want;
            should.insert(owner);
            if session.holders != want || held != should {
                let holders = session.holders;
                self.violate(format!("at rest, {key:?} of {owner:?} is held by {held:?}, its owner says {holders:?}, wanted are {want:?}"));
            }
        }
    }

    /// Every answer is explained by one order of operations.
    pub(crate) fn check_history(&mut self) {
        if !self.failures.excused.is_empty() {
            self.stats.excused += 1;
        }
        for key in self.keys.clone() {
            let mut operations: Vec<Operation> =
                self.operations.values().map(|(_, operation)| operation).filter(|operation| operation.key == key).cloned().collect();
            operations.retain(|operation| {
                let is_read = operation.command.as_ref().is_some_and(holdfast_core::Command::is_read_only);
                !(is_read && operation.answered.is_none())
            });
            for (at, until) in self.failures.excused.iter().take(8) {
                operations.push(Operation { key: key.clone(), command: None, invoked: *at, answered: None, reply: None, until: *until });
            }
            if operations.len() > MAX_OPERATIONS {
                self.stats.undecided += 1;
                continue;
            }
            let verdict = judge(&operations);
            self.stats.undecided += u64::from(verdict == Verdict::Undecided);
            if verdict == Verdict::Violated {
                let line = |operation: &Operation| {
                    let (invoked, answered) = (operation.invoked, operation.answered);
                    format!("\n  [{invoked}..{answered:?}] {:?} -> {:?}", operation.command, operation.reply)
                };
                let lines: String = operations.iter().map(line).collect();
                self.violate(format!("{key:?} is not linearizable:{lines}"));
            }
        }
    }
}
