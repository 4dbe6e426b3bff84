//! What has to hold: at any time, at rest, and in the history of each session.

use std::collections::BTreeSet;

use holdfast_core::engine::{Acknowledge, MemberPhase};
use holdfast_core::{Command, Key, MemberSet, NodeId, View};

use crate::history::{MAX_OPERATIONS, Operation, Verdict, judge_told};
use crate::world::World;

/// How much may wait for one member beyond `queue_bytes`, beside what all sessions take, in bytes: what is no write, such as answers and reports.
const OVER_LIMIT: u64 = 64 << 10;

impl World {
    /// At most one member of the arbiter's view owns a session.
    pub(crate) fn check_owners(&mut self) {
        self.check_expected();
        if !std::mem::take(&mut self.is_touched) {
            return;
        }
        let view = self.arbiter.view();
        let mut violation = None;
        for key in &self.keys {
            let owns = |engine: &&holdfast_core::engine::Engine| {
                let member = engine.member();
                view.has(member) && engine.session(key).is_some_and(|session| session.owner == member)
            };
            let owners = self.engines().filter(owns).count();
            if owners > 1 {
                violation = Some(format!("{owners} owners of {key:?}"));
            }
        }
        violation.into_iter().for_each(|what| self.violate(what));
        if self.now.is_multiple_of(32) {
            self.check_bounds();
        }
    }

    /// Nothing grows without a bound.
    fn check_bounds(&mut self) {
        let content: u64 = 1_200 * self.setup.keys as u64 + 300 * self.setup.crowd as u64;
        let limit = self.setup.queue_bytes;
        let most = self.engines().flat_map(|engine| engine.status().links).map(|link| link.unacked_bytes).max().unwrap_or_default();
        self.stats.most_over_limit = self.stats.most_over_limit.max(most.saturating_sub(limit));
        if most > limit + content + OVER_LIMIT {
            self.violate(format!("{most} bytes wait for one member, though writes are refused from {limit} on"));
        }
        let wrong = self.engines().map(|engine| (engine.load().bytes, engine.recounted_bytes())).find(|(counted, there)| counted != there);
        if let Some((counted, there)) = wrong {
            self.violate(format!("a member counts {counted} bytes of memory, and there are {there}"));
        }
    }

    /// Whether nothing is left to be done anywhere.
    pub(crate) fn is_at_rest(&self) -> bool {
        let view = self.arbiter.view();
        let mut count = 0;
        for status in self.engines().map(|engine| engine.status()) {
            count += 1;
            let host = &self.hosts[usize::from(status.member.id.get())];
            let is_drained = host.is_drained;
            // Who is the last to own anything waits for somebody who can take it.
            let is_last = (is_drained || host.is_finishing) && view.full().len() == 1 && view.is_full(status.member.id);
            let is_placed = match status.phase {
                MemberPhase::Active => !is_drained,
                MemberPhase::Drained => is_drained && status.kept == 0,
                MemberPhase::Draining => is_last,
                _ => false,
            };
            let is_idle = is_placed && status.barrier && status.commands == 0;
            let is_settled = status.unsettled == 0 && status.transfers == 0;
            let is_quiet = status.links.iter().all(|link| link.is_ready && link.unacked_bytes == 0);
            let is_current = status.view.as_ref().is_some_and(|own| own.version == view.version);
            if !(is_idle && is_settled && is_quiet && is_current) {
                return false;
            }
        }
        count == view.members.len() && view.version.sub > 0 && view.budget == view.settled_budget()
    }

    /// At rest every session is exactly where it belongs, and nothing waits anywhere.
    pub(crate) fn check_rest(&mut self) {
        let view = self.arbiter.view().clone();
        for key in self.keys.iter().chain(&self.crowd).cloned().collect::<Vec<_>>() {
            let mut held = MemberSet::EMPTY;
            let mut owner = None;
            for engine in self.engines() {
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
            let want = view.layout().want(position, owner);
            let mut should = want;
            should.insert(owner);
            if session.holders != want || held != should {
                let holders = session.holders;
                self.violate(format!("at rest, {key:?} of {owner:?} is held by {held:?}, its owner says {holders:?}, wanted are {want:?}"));
            }
            if let Some(what) = self.spread_too_little(&view, should, want) {
                self.violate(format!("at rest, {key:?} of {owner:?} is held by {should:?}: {what}"));
            }
            if !self.setup.follows && view.layout().home(position) != Some(owner) {
                self.violate(format!("at rest, {key:?} is owned by {owner:?} and belongs to its home"));
            }
            if session.size.is_none() {
                self.violate(format!("at rest, {key:?} is still remembered though it was deleted"));
            }
        }
        let waiting = self.engines().map(|engine| (engine.member(), engine.queues())).find(|(_, queues)| !queues.is_empty());
        if let Some((member, queues)) = waiting {
            self.violate(format!("at rest, something waits at {member:?}: {queues:?}"));
        }
        let lost = self.created.iter().find(|key| !self.is_live(key)).cloned();
        if let Some(key) = lost.filter(|_| self.failures.excused.is_empty()) {
            self.violate(format!("{key:?} of the crowd is lost"));
        }
    }

    /// What is wrong with where copies are: each is in another domain, or zone where there are no domains, as long as there are any.
    fn spread_too_little(&self, view: &View, held: MemberSet, keepers: MemberSet) -> Option<String> {
        let (groups, what) = if self.setup.domains > 0 { (self.setup.domains, "domains") } else { (self.setup.zones, "zones") };
        if groups == 0 {
            return None;
        }
        let of = |set: MemberSet| {
            let group = |id: NodeId| {
                let place = self.setup.place(id.get().into());
                if self.setup.domains > 0 { place.domain } else { place.zone }
            };
            set.iter().map(group).collect::<BTreeSet<_>>().len()
        };
        let (have, could) = (of(held), of(view.full().union(held)).min(keepers.len() + 1));
        (have < could).then(|| format!("these are {have} {what}, and could be {could}"))
    }

    /// Whether some member owns a session with content.
    fn is_live(&self, key: &Key) -> bool {
        let owns = |engine: &holdfast_core::engine::Engine| {
            engine.session(key).is_some_and(|session| session.owner == engine.member() && session.size.is_some())
        };
        self.engines().any(owns)
    }

    /// At rest a scan lists exactly what there is.
    pub(crate) fn check_listed(&mut self, host: usize, listed: &BTreeSet<Key>) {
        let live: BTreeSet<Key> = self.keys.iter().chain(&self.crowd).filter(|key| self.is_live(key)).cloned().collect();
        if live != *listed {
            let (missing, wrong): (Vec<_>, Vec<_>) = (live.difference(listed).collect(), listed.difference(&live).collect());
            self.violate(format!("at rest, a scan at host {host} does not list {missing:?}, and lists {wrong:?}, which are not there"));
        }
    }

    /// Every answer is explained by one order of operations.
    pub(crate) fn check_history(&mut self) {
        if !self.failures.excused.is_empty() {
            self.stats.excused += 1;
        }
        if self.is_lossy {
            self.stats.lossy += 1;
            return;
        }
        let told_after = Some(self.last_failure).filter(|_| self.setup.acknowledge == Acknowledge::Applied);
        for key in self.keys.clone() {
            let operations = self.history(&key);
            self.stats.longest_history = self.stats.longest_history.max(operations.len() as u64);
            if operations.len() > MAX_OPERATIONS {
                self.stats.undecided += 1;
                continue;
            }
            let verdict = judge_told(&operations, self.rested, told_after);
            self.stats.undecided += u64::from(verdict == Verdict::Undecided);
            if verdict == Verdict::Violated {
                let lines: String = operations.iter().map(|operation| format!("\n  {operation}")).collect();
                self.violate(format!("{key:?} is not linearizable:{lines}"));
            }
        }
    }

    /// All that clients did to a session, and the losses that are excused.
    pub(crate) fn history(&self, key: &Key) -> Vec<Operation> {
        let is_useless_read =
            |operation: &Operation| operation.answered.is_none() && operation.command.as_ref().is_some_and(Command::is_read_only);
        let of_key = self.operations.values().filter(|operation| operation.key == *key && !is_useless_read(operation));
        let mut operations: Vec<Operation> = of_key.cloned().collect();
        let first = operations.iter().map(|operation| operation.invoked).min().unwrap_or_default();
        for excuse in self.failures.excused.iter().filter(|excuse| first < excuse.older_than) {
            operations.push(Operation::loss(key.clone(), excuse.at, excuse.until, excuse.older_than));
        }
        for excuse in &self.failures.set_back {
            operations.push(Operation::set_back(key.clone(), excuse.at, excuse.until, excuse.older_than));
        }
        operations.sort_by_key(|operation| operation.invoked);
        operations
    }
}
