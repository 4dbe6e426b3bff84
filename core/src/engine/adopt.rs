//! Adopting a view (R9): from here on only what its members say counts. The order of the steps matters, and is the one that the rules give.

use std::sync::Arc;

use super::broken::BrokenRule;
use super::client::{ClientCommand, CommandState, Hint};
use super::lease::Leases;
use super::record::Slot;
use super::sessions::Sessions;
use super::settle::Sweep;
use super::{Engine, Output};
use crate::command::{CommandError, Reply};
use crate::placement::Layout;
use crate::view::{Member, MemberSet, Version, View};

/// So many views without a completed barrier between them, and a range no longer counts as served without a break.
const MAX_UNBROKEN: usize = 8;

impl Engine {
    /// The version that this member has adopted.
    pub(super) fn version(&self) -> Version {
        self.view.as_ref().map_or(Version::default(), |view| view.version)
    }

    /// A view that the arbiter has shown, to this member or to another: the only ones that exist.
    pub(super) fn adopt(&mut self, view: View) {
        let is_older = view.version.epoch < self.version().epoch;
        let is_newer = view.version > self.version() || (is_older && self.broken.is(BrokenRule::AdoptOlderView));
        if !is_newer || self.membership.has_left() {
            return;
        }
        if !view.has(self.me) {
            if self.view.is_some() {
                self.fall_out(&view);
            }
            return;
        }
        let view = Arc::new(view);
        let is_same_epoch = view.version.epoch == self.version().epoch;
        let previous = self.view.replace(Arc::clone(&view));
        if is_same_epoch {
            self.announce_view(&view);
            return;
        }
        self.layout = self.broken.layout(&view);
        let gone = self.replace_links(previous.as_deref(), &view);
        self.sessions.adopt(&view, gone, self.broken.is(BrokenRule::ForgetAcrossViews));
        let waiting = self.look_at_pending(&view);
        self.carry_pointers(previous.as_deref(), &view);
        self.announce_view(&view);
        self.transfers.retain(|_, transfer| view.has(transfer.owner));
        self.transfers.values_mut().for_each(|transfer| transfer.unsettled = true);

        self.clock = self.clock.max(view.version.epoch << 20);
        self.synced = MemberSet::EMPTY;
        self.barrier = false;
        self.confirms = MemberSet::EMPTY;
        self.confirmed = false;
        self.reports.clear();
        self.resolved = None;
        self.reporting = Some(0);
        self.report_some(u64::MAX);
        self.renew_lease();

        self.return_commands_of_the_gone(&view);
        self.return_foreign_home_queues();
        self.run_unfrozen();
        for slot in waiting {
            self.maintain(&slot);
        }
        self.sweep.begin(self.sessions.owned_count());
        self.leaving = 0;
        self.restart_scans();
        self.check_barrier();
    }

    /// Resets the streams to members that are new or gone, and says who is gone.
    fn replace_links(&mut self, previous: Option<&View>, view: &View) -> MemberSet {
        let mut gone = MemberSet::EMPTY;
        let before = previous.map(View::all).unwrap_or_default();
        let others = before.union(view.all()).except(self.me.id);
        for id in others.iter() {
            let (was, is) = (previous.and_then(|previous| previous.member(id)), view.member(id));
            if was == is {
                continue;
            }
            if was.is_some() {
                gone.insert(id);
                if let Some(link) = self.links.remove(&id) {
                    let was_voter = previous.is_some_and(|previous| previous.voters().contains(id));
                    self.note_gone(&link, was_voter);
                    // Whether anybody listens there tells whether it is dead.
                    let name = previous.and_then(|previous| previous.members.get(&id)).map(|entry| entry.name.clone());
                    if let Some(name) = name.filter(|_| !link.is_connected() && !link.refused && link.dialing_since.is_none()) {
                        self.out(Output::Dial { peer: id, name });
                    }
                    self.keep_counters(link);
                }
            }
            if let Some(peer) = is {
                self.begin_link(peer);
            }
        }
        self.reckon_interest();
        self.bind_waiting_connections();
        gone
    }

    /// Handoffs to those who cannot take them any more do not happen. Returns the sessions that somebody waits for.
    fn look_at_pending(&mut self, view: &View) -> Vec<Slot> {
        let pending: Vec<Slot> = self.sessions.all_pending().map(|(slot, _)| slot.clone()).collect();
        let mut waiting = Vec::new();
        for slot in pending {
            let Some((_, pending)) = self.sessions.pending(&slot) else { continue };
            let cannot = pending.frozen.is_some_and(|target| !view.has(target) || !view.is_full(target.id));
            let thaws = cannot && !self.broken.is(BrokenRule::StayFrozen);
            if thaws {
                pending.frozen = None;
            }
            let is_waited_for = !pending.waiters.is_empty() || pending.frozen.is_some() || pending.giver.is_some();
            if thaws {
                // Its life may have ended while the handoff waited.
                self.sessions.index(&slot, None);
            }
            waiting.extend(is_waited_for.then_some(slot));
        }
        waiting
    }

    /// Pointers are void in a new view, but for ranges that this home goes on serving.
    fn carry_pointers(&mut self, previous: Option<&View>, view: &View) {
        // A view that was skipped may have had another home, to which the owner has given what this one was to know.
        let is_next = previous.is_some_and(|previous| view.version.epoch == previous.version.epoch + 1)
            || self.broken.is(BrokenRule::ServeOverSkippedView);
        let served = is_next && !self.unbroken.is_empty() && self.unbroken.len() < MAX_UNBROKEN;
        if served {
            self.unbroken.push(view.full());
        } else {
            self.unbroken.clear();
        }
        self.barrier = false;
        let mut new = std::mem::take(&mut self.pointers);
        if self.broken.is(BrokenRule::KeepPointers) {
            self.pointers =
                new.iter().filter(|(_, pointer)| view.has(pointer.owner)).map(|(slot, pointer)| (slot.clone(), *pointer)).collect();
        }
        if !served {
            self.old_pointers.clear();
        } else if self.old_pointers.is_empty() {
            self.old_pointers = new;
        } else {
            self.old_pointers.append(&mut new);
        }
    }

    /// Commands that were sent to a member that is gone: reads are tried again; what came of a write is not known.
    fn return_commands_of_the_gone(&mut self, view: &View) {
        let lost: Vec<u64> = self
            .commands
            .iter()
            .filter(|(_, command)| matches!(command.state, CommandState::Sent(member) if !view.has(member)))
            .map(|(request, _)| *request)
            .collect();
        for request in lost {
            self.lost(request);
        }
    }

    /// The outcome of a command will never be heard.
    fn lost(&mut self, request: u64) {
        let Some(command) = self.commands.get_mut(&request) else { return };
        if command.command.is_read_only() || self.broken.is(BrokenRule::RetryWrites) {
            command.state = CommandState::Idle(Hint::Home);
            self.idle.insert(request);
        } else {
            self.complete(request, Reply::Error(CommandError::OutcomeUnknown));
        }
    }

    /// Runs what waited for handoffs that will not happen.
    fn run_unfrozen(&mut self) {
        let unfrozen = self.sessions.all_pending().filter(|(_, pending)| pending.frozen.is_none() && !pending.queue.is_empty());
        let unfrozen: Vec<Slot> = unfrozen.map(|(slot, _)| slot.clone()).collect();
        for slot in unfrozen {
            let pending = self.sessions.pending(&slot).map(|(_, pending)| std::mem::take(&mut pending.queue));
            for queued in pending.unwrap_or_default() {
                self.run(&slot, queued);
            }
        }
    }

    /// This member is no longer in the view: what it holds counts no more. It starts again as a new incarnation.
    fn fall_out(&mut self, view: &View) {
        if self.membership.is_finishing() {
            self.announce_end(view);
            return self.leave_for_good();
        }
        let heard_all = self.hears_all_voters();
        self.lose_commands();
        self.forget_everything();
        self.me = Member { id: self.me.id, incarnation: self.me.incarnation.wrapping_add(1) };
        self.membership.rejoin(self.now, self.config.failure_timeout, heard_all);
        self.out(Output::Reset { member: self.me });
    }

    /// Commands that are under way anywhere will not be heard of again.
    fn lose_commands(&mut self) {
        let is_under_way =
            |(request, command): (&u64, &ClientCommand)| (!matches!(command.state, CommandState::Idle(_))).then_some(*request);
        let under_way: Vec<u64> = self.commands.iter().filter_map(is_under_way).collect();
        for request in under_way {
            self.lost(request);
        }
    }

    /// This member has left the view and is done.
    pub(super) fn leave_for_good(&mut self) {
        self.lose_commands();
        let pending: Vec<u64> = self.commands.keys().copied().collect();
        for request in pending {
            self.complete(request, Reply::Error(CommandError::NotJoined));
        }
        self.end_scans();
        self.forget_everything();
        self.membership.left();
        self.out(Output::Left);
    }

    fn forget_everything(&mut self) {
        self.view = None;
        self.layout = Layout::default();
        self.sessions = Sessions::default();
        self.reporting = None;
        self.sweep = Sweep::new(self.now);
        self.pointers.clear();
        self.old_pointers.clear();
        self.transfers.clear();
        self.homeq.clear();
        self.reports.clear();
        self.resolved = None;
        self.unbroken.clear();
        self.barrier = false;
        self.confirmed = false;
        self.confirms = MemberSet::EMPTY;
        self.clock = 0;
        self.leases = Leases::default();
        for link in std::mem::take(&mut self.links).into_values() {
            self.keep_counters(link);
        }
        self.conns.clear();
    }
}
