//! After a change of members: what this member tells the homes (R10), and what a home makes of all that it was told (R11).

use super::broken::BrokenRule;
use super::home::Pointer;
use super::record::{Slot, slot};
use super::settle::WINDOW;
use super::{Engine, Event, Output};
use crate::placement;
use crate::view::{Member, MemberSet, NodeId, View};
use crate::wire::{Message, Report, ReportKind};

/// How many reports go into one message.
const SYNC_PART: usize = 512;

/// Most sessions are not reported, so that a step is so many times as long.
const REPORT_STEPS: usize = 8;

/// What is reported to each member of a view.
struct Reports(Vec<(NodeId, Vec<Report>)>);

impl Reports {
    fn of(view: &View) -> Reports {
        Reports(view.members.keys().map(|id| (*id, Vec::new())).collect())
    }

    fn add(&mut self, home: Option<NodeId>, report: impl FnOnce() -> Report) {
        if let Some((_, reports)) = self.0.iter_mut().find(|(id, _)| Some(*id) == home) {
            reports.push(report());
        }
    }

    fn take(&mut self, id: NodeId) -> Vec<Report> {
        self.0.iter_mut().find(|(other, _)| *other == id).map(|(_, reports)| std::mem::take(reports)).unwrap_or_default()
    }
}

/// The best surviving copy of an orphan, in the order in which copies are preferred.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Copy {
    term: u64,
    seq: u64,
    preference: usize,
    holder: NodeId,
}

impl Engine {
    /// Reports, some sessions at a time, to every member of the view that was just adopted; what concerns this member itself is kept at once. What has
    /// to be reported does not change meanwhile: orphans stay as they are until all have reported, and a living owner tells all that it does.
    pub(super) fn report_some(&mut self, window: u64) {
        let (Some(view), Some(from)) = (self.current(), self.reporting.filter(|_| self.has_room(window))) else { return };
        let mut reports = Reports::of(&view);
        let layout = &self.layout;
        self.reporting = self.sessions.walk(from, self.step * REPORT_STEPS, |seen| {
            let home = layout.home(seen.position);
            let record = seen.record;
            let kind = match record.is_owned {
                true if home.is_some_and(|home| seen.is_held_by(home)) => return,
                true => ReportKind::Owner,
                false if !view.has(record.owner()) => ReportKind::Orphan,
                false => return,
            };
            let (term, seq, owner, holders) = (record.term, record.seq, record.owner(), seen.holders());
            reports.add(home, || Report { key: seen.slot().1, kind, term, seq, owner, holders });
        });
        if self.reporting.is_none() {
            self.sessions.all_told();
            self.report_transfers(&mut reports);
        }
        for report in reports.take(self.me.id) {
            self.keep_report(self.me, report);
        }
        let (epoch, clock, is_last) = (view.version.epoch, self.clock, self.reporting.is_none());
        for id in view.all().except(self.me.id).iter() {
            let mut reports = reports.take(id);
            while !reports.is_empty() {
                let rest = reports.split_off(reports.len().min(SYNC_PART));
                self.send(id, Message::Sync { epoch, clock, last: false, reports });
                reports = rest;
            }
        }
        if is_last {
            self.release_reports();
        }
    }

    /// What was given away and not confirmed (R13). It comes last: what is given away before has not been reported by its owner.
    fn report_transfers(&mut self, reports: &mut Reports) {
        for (key, transfer) in self.transfers.iter().filter(|_| !self.broken.is(BrokenRule::TransferNotReported)) {
            let (kind, term, owner) = (ReportKind::Transfer, transfer.term, transfer.owner);
            let report = || Report { key: key.clone(), kind, term, seq: 0, owner, holders: MemberSet::EMPTY };
            reports.add(self.layout.home(slot(key).0), report);
        }
        if self.broken.is(BrokenRule::TransferReportedOnce) {
            self.transfers.clear();
        }
    }

    /// Says to all that this was everything.
    pub(super) fn end_reports(&mut self) {
        let Some(view) = self.current() else { return };
        let (epoch, clock) = (view.version.epoch, self.clock);
        for id in view.all().except(self.me.id).iter() {
            self.send(id, Message::Sync { epoch, clock, last: true, reports: Vec::new() });
        }
        self.synced.insert(self.me.id);
        self.check_barrier();
    }

    fn keep_report(&mut self, from: Member, report: Report) {
        self.clock = self.clock.max(report.term);
        self.reports.entry(slot(&report.key)).or_default().push((from, report));
    }

    /// A member reports.
    pub(super) fn handle_sync(&mut self, from: Member, epoch: u64, clock: u64, last: bool, reports: Vec<Report>) {
        self.clock = self.clock.max(clock);
        if self.view.as_ref().is_none_or(|view| view.version.epoch != epoch) {
            return;
        }
        for report in reports {
            self.keep_report(from, report);
        }
        if last {
            self.synced.insert(from.id);
            self.check_barrier();
        }
    }

    /// Once everybody has reported, joiners included: nothing is unknown any more, and orphans find new owners.
    pub(super) fn check_barrier(&mut self) {
        let Some(view) = self.current() else { return };
        let awaited = match () {
            () if self.broken.is(BrokenRule::BarrierWithoutJoiners) => view.voters(),
            () if self.broken.is(BrokenRule::TakeoverBeforeBarrier) => MemberSet::EMPTY,
            () => view.all(),
        };
        if self.barrier || !self.synced.covers(awaited) {
            return;
        }
        self.barrier = true;
        self.note_barrier();
        self.unbroken = vec![self.layout.full()];
        self.old_pointers.clear();
        self.resolved = Some((0, 0));
        let waiting: Vec<Slot> = self.homeq.keys().map(slot).filter(|slot| self.is_home(slot.0)).collect();
        for slot in waiting {
            self.resolve_now(&slot);
            self.release_home_queue(&slot);
        }
        self.resolve_some(WINDOW);
    }

    /// Finds out who owns the next sessions that members have reported, some at a time: whoever is asked for goes first anyway.
    pub(super) fn resolve_some(&mut self, window: u64) {
        let Some(view) = self.current().filter(|_| self.resolved.is_some()) else { return };
        for _ in 0..self.step {
            let Some(slot) = self.reports.keys().next().filter(|_| self.has_room(window)).cloned() else { break };
            self.resolve_now(&slot);
        }
        if self.reports.is_empty()
            && let Some((taken, appointed)) = self.resolved.take()
        {
            self.out(Output::Event(Event::BarrierPassed { epoch: view.version.epoch, taken, appointed }));
        }
    }

    /// Whether no more than `window` bytes wait for any member that is heard.
    pub(super) fn has_room(&self, window: u64) -> bool {
        !self.links.values().any(|link| link.unacked_bytes > window && link.suspected_at.is_none())
    }

    /// Finds out who owns a session before anything else happens to it.
    pub(super) fn resolve_now(&mut self, slot: &Slot) {
        let Some(view) = self.current().filter(|_| self.resolved.is_some()) else { return };
        let Some(reports) = self.reports.remove(slot) else { return };
        let owner = self.resolve(&view, slot, reports);
        if let Some((taken, appointed)) = self.resolved.as_mut() {
            match owner {
                Some(owner) if owner == self.me => *taken += 1,
                Some(_) => *appointed += 1,
                None => {}
            }
        }
    }

    /// Finds out who owns a session, and appoints somebody if nobody does any more.
    fn resolve(&mut self, view: &View, slot: &Slot, reports: Vec<(Member, Report)>) -> Option<Member> {
        let held = self.sessions.get(slot).map(|record| (record.term, record.owner()));
        let mut live: Option<(u64, Member)> = self.pointers.get(slot).map(|pointer| (pointer.term, pointer.owner));
        let mut top = self.clock;
        let mut best: Option<Copy> = None;
        let mut holders = MemberSet::EMPTY;
        let mut see_live = |term: u64, owner: Member| {
            if view.has(owner) && live.is_none_or(|(known, _)| term > known) {
                live = Some((term, owner));
            }
        };
        if let Some((term, owner)) = held {
            top = top.max(term);
            see_live(term, owner);
        }
        for (from, report) in &reports {
            top = top.max(report.term);
            if report.kind != ReportKind::Orphan {
                see_live(report.term, report.owner);
                continue;
            }
            let preference = usize::from(crate::view::MAX_MEMBERS) - placement::rank(view.all(), slot.0, from.id);
            let copy = Copy { term: report.term, seq: report.seq, preference, holder: from.id };
            best = if self.broken.is(BrokenRule::TakeLowest) { best.or(Some(copy)).min(Some(copy)) } else { best.max(Some(copy)) };
            holders = holders.union(report.holders);
            holders.insert(from.id);
        }
        if let Some((term, owner)) = live
            && best.is_none_or(|best| term > best.term)
        {
            if held.is_none_or(|(held, _)| held < term) && self.pointers.get(slot).is_none_or(|pointer| pointer.term < term) {
                self.pointers.insert(slot.clone(), Pointer { term, owner });
            }
            return None;
        }
        let best = best?;
        let term = top + 1;
        self.clock = term;
        let holders = holders.and(view.all()).except(best.holder);
        let prior = (best.term, best.seq);
        let owner = view.member(best.holder)?;
        if owner == self.me {
            self.handle_appoint(None, slot, term, prior, holders);
        } else {
            self.appoint(slot, owner, term, prior, holders);
        }
        Some(owner)
    }
}
