//! After a change of members: what this member tells the homes (R10), and what a home makes of all that it was told (R11).

use super::broken::BrokenRule;
use super::home::Pointer;
use super::record::{Slot, slot};
use super::{Engine, Event, Output};
use crate::command::Key;
use crate::placement;
use crate::view::{Member, MemberSet, NodeId, View};
use crate::wire::{Message, Report, ReportKind};

/// How many reports go into one message.
const SYNC_PART: usize = 512;

/// How many sessions find their owner in one tick.
const RESOLVE_STEP: usize = 2048;

/// The best surviving copy of an orphan, in the order in which copies are preferred.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Copy {
    term: u64,
    seq: u64,
    preference: usize,
    holder: NodeId,
}

impl Engine {
    /// Reports to every member of a view that was just adopted; those to this member itself are kept at once.
    pub(super) fn send_reports(&mut self, view: &View) {
        let mut by_home: Vec<(NodeId, Vec<Report>)> = view.members.keys().map(|id| (*id, Vec::new())).collect();
        let mut place = |home: Option<NodeId>, report: Report| {
            if let Some((_, reports)) = by_home.iter_mut().find(|(id, _)| Some(*id) == home) {
                reports.push(report);
            }
        };
        for (slot, record) in &self.sessions {
            let home = self.layout.home(slot.0);
            let (kind, holders) = match &record.own {
                Some(own) => {
                    let known = home.is_some_and(|home| {
                        own.holders.iter().any(|holder| holder.id == home && !holder.dropping && holder.acked.is_some())
                    });
                    if known {
                        continue;
                    }
                    (ReportKind::Owner, own.set())
                }
                None if !view.has(record.owner) => (ReportKind::Orphan, record.holders),
                None => continue,
            };
            let (term, seq, owner) = (record.term, record.seq, record.owner);
            place(home, Report { key: slot.1.clone(), kind, term, seq, owner, holders });
        }
        for (key, transfer) in self.transfers.iter().filter(|_| !self.broken.is(BrokenRule::TransferNotReported)) {
            let (kind, term, owner) = (ReportKind::Transfer, transfer.term, transfer.owner);
            place(self.layout.home(slot(key).0), Report { key: key.clone(), kind, term, seq: 0, owner, holders: MemberSet::EMPTY });
        }
        if self.broken.is(BrokenRule::TransferReportedOnce) {
            self.transfers.clear();
        }
        let (epoch, clock) = (view.version.epoch, self.clock);
        let mut messages = Vec::new();
        for (id, reports) in by_home {
            if id == self.me.id {
                reports.into_iter().for_each(|report| self.keep_report(self.me, report));
                continue;
            }
            let mut parts = reports.chunks(SYNC_PART).map(<[Report]>::to_vec).collect::<Vec<_>>();
            let last_part = parts.pop().unwrap_or_default();
            for reports in parts {
                messages.push((id, Message::Sync { epoch, clock, last: false, reports }));
            }
            messages.push((id, Message::Sync { epoch, clock, last: true, reports: last_part }));
        }
        self.hold_reports(messages);
    }

    fn keep_report(&mut self, from: Member, report: Report) {
        self.clock = self.clock.max(report.term);
        self.reports.entry(report.key.clone()).or_default().push((from, report));
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
        self.unresolved = self.reports.keys().map(slot).filter(|slot| self.is_home(slot.0)).collect();
        self.resolved = Some((0, 0));
        let waiting: Vec<Slot> = self.homeq.keys().map(slot).filter(|slot| self.is_home(slot.0)).collect();
        for slot in waiting {
            self.resolve_now(&slot);
            self.release_home_queue(&slot);
        }
        self.resolve_some();
    }

    /// Finds out who owns the next sessions that members have reported, some at a time: whoever is asked for goes first anyway.
    pub(super) fn resolve_some(&mut self) {
        let Some(view) = self.current().filter(|_| self.resolved.is_some()) else { return };
        for _ in 0..RESOLVE_STEP {
            let Some(slot) = self.unresolved.first().cloned() else { break };
            self.resolve_now(&slot);
        }
        if self.unresolved.is_empty()
            && let Some((taken, appointed)) = self.resolved.take()
        {
            self.reports.clear();
            self.out(Output::Event(Event::BarrierPassed { epoch: view.version.epoch, taken, appointed }));
        }
    }

    /// Finds out who owns a session before anything else happens to it.
    pub(super) fn resolve_now(&mut self, slot: &Slot) {
        let Some(view) = self.current().filter(|_| self.unresolved.remove(slot)) else { return };
        let owner = self.resolve(&view, slot);
        if let Some((taken, appointed)) = self.resolved.as_mut() {
            match owner {
                Some(owner) if owner == self.me => *taken += 1,
                Some(_) => *appointed += 1,
                None => {}
            }
        }
    }

    /// Finds out who owns a session, and appoints somebody if nobody does any more.
    fn resolve(&mut self, view: &View, slot: &Slot) -> Option<Member> {
        let key: &Key = &slot.1;
        let reports = self.reports.remove(key).unwrap_or_default();
        let held = self.sessions.get(slot).map(|record| (record.term, record.owner));
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
        let mut holders = holders.and(view.all());
        holders.remove(best.holder);
        let prior = (best.term, best.seq);
        let owner = view.member(best.holder)?;
        if owner == self.me {
            self.unsettled.insert(slot.clone());
            self.handle_appoint(None, slot, term, prior, holders);
        } else {
            self.appoint(slot, owner, term, prior, holders);
        }
        Some(owner)
    }
}
