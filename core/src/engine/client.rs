//! Commands of this member's own clients: find the owner, have it run them, answer in time (R9, R12).

use super::home::Queued;
use super::record::{Record, Slot, slot};
use super::{Engine, Output};
use crate::Millis;
use crate::command::{Command, CommandError, Key, Reply};
use crate::view::{Member, MemberState, NodeId};
use crate::wire::Message;

/// So often a command is sent on at once; then it waits for the next tick, as whoever sent it on may be about to learn more.
const MAX_HOPS: u32 = 6;

/// A command that was not answered yet.
#[derive(Debug)]
pub(super) struct ClientCommand {
    pub(super) key: Key,
    pub(super) command: Command,
    pub(super) state: CommandState,
    deadline: Millis,
    hops: u32,
}

/// Where a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandState {
    /// Nowhere: it waits to be routed.
    Idle(Hint),
    /// At another member.
    Sent(Member),
    /// At this one.
    Local,
}

/// Where a command may be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// Nothing was tried.
    Fresh,
    /// The home should know.
    Home,
    /// This member was named by another.
    To(NodeId),
}

impl Engine {
    /// Runs `command` on the session `key` for a client of this member; answered by [`Output::Reply`] with this `request`, exactly once, within
    /// `ack_timeout`. `request` must not be that of a command that is not answered yet.
    pub fn execute(&mut self, now: Millis, request: u64, key: Key, command: Command) {
        self.now = now;
        if self.membership.has_left() {
            return self.reply(request, Reply::Error(CommandError::NotJoined));
        }
        if command.is_nested() {
            return self.reply(request, Reply::Error(CommandError::NestedBatch));
        }
        if self.run_at_once(request, &key, &command) {
            return;
        }
        if self.commands.len() >= self.config.max_commands {
            let limit = self.config.max_commands as u64;
            return self.reply(request, Reply::Error(CommandError::TooManyCommands { limit }));
        }
        let deadline = now + self.config.ack_timeout;
        self.commands.insert(request, ClientCommand { key, command, state: CommandState::Idle(Hint::Fresh), deadline, hops: 0 });
        self.command_deadlines.push_back((deadline, request));
        self.route(request, Hint::Fresh);
    }

    /// Sends a command to where it can be run.
    fn route(&mut self, request: u64, hint: Hint) {
        let Some(command) = self.commands.get_mut(&request) else { return };
        let view = self.view.clone().filter(|view| view.state(self.me.id) != Some(MemberState::Join));
        let Some(view) = view.filter(|_| command.hops < MAX_HOPS) else {
            command.state = CommandState::Idle(hint);
            self.idle.insert(request);
            return;
        };
        command.hops += 1;
        self.idle.remove(&request);
        let slot = slot(&command.key);
        let queued = Queued { origin: self.me, request, command: command.command.clone(), deadline: command.deadline };
        let owner = self.sessions.get(&slot).map(Record::owner);
        if owner == Some(self.me) {
            command.state = CommandState::Local;
            return self.run(&slot, queued);
        }
        let named = match hint {
            Hint::To(id) if id != self.me.id => view.member(id),
            Hint::Fresh => owner.filter(|owner| view.has(*owner)),
            _ => None,
        };
        let Some(target) = named.or_else(|| self.layout.home(slot.0).and_then(|id| view.member(id))) else { return };
        if target == self.me {
            command.state = CommandState::Local;
            return self.run_at_home(&slot, queued);
        }
        if let Some(error) = self.link_backlog(target.id) {
            return self.complete(request, Reply::Error(error));
        }
        let Some(command) = self.commands.get_mut(&request) else { return };
        command.state = CommandState::Sent(target);
        self.send_to(target, Message::Forward { request, key: slot.1, command: queued.command });
    }

    /// Routes again what was sent back.
    pub(super) fn route_idle(&mut self) {
        for request in std::mem::take(&mut self.idle) {
            let Some(command) = self.commands.get_mut(&request) else { continue };
            let CommandState::Idle(hint) = command.state else { continue };
            command.hops = 0;
            self.route(request, hint);
        }
    }

    /// A command of this member was sent back.
    pub(super) fn redirected(&mut self, request: u64, hint: Option<NodeId>) {
        self.route(request, hint.map_or(Hint::Home, Hint::To));
    }

    /// Another member asks for a command to be run.
    pub(super) fn handle_forward(&mut self, from: Member, request: u64, key: Key, command: Command) {
        let slot = slot(&key);
        self.run_anywhere(&slot, Queued { origin: from, request, command, deadline: self.now + self.config.ack_timeout });
    }

    /// Runs a command here, or says who should.
    pub(super) fn run_anywhere(&mut self, slot: &Slot, queued: Queued) {
        let Some(view) = self.current() else { return };
        let owner = self.sessions.get(slot).map(Record::owner);
        match owner {
            Some(owner) if owner == self.me => self.run(slot, queued),
            _ if self.is_home(slot.0) => self.run_at_home(slot, queued),
            Some(owner) if view.has(owner) => self.redirect(queued.origin, queued.request, Some(owner.id)),
            _ => self.redirect(queued.origin, queued.request, None),
        }
    }

    /// Whether a command is at `member`, so that what it says about it counts.
    fn is_sent_to(&self, request: u64, member: Member) -> bool {
        self.commands.get(&request).is_some_and(|command| command.state == CommandState::Sent(member))
    }

    /// Another member answers.
    pub(super) fn handle_answer(&mut self, from: Member, request: u64, reply: Reply) {
        if self.is_sent_to(request, from) {
            self.complete(request, reply);
        }
    }

    /// Another member sends a command back.
    pub(super) fn handle_redirect(&mut self, from: Member, request: u64, hint: Option<NodeId>) {
        if self.is_sent_to(request, from) {
            self.redirected(request, hint);
        }
    }

    /// Answers a client, if nobody has yet.
    pub(super) fn complete(&mut self, request: u64, reply: Reply) {
        if self.commands.remove(&request).is_some() {
            self.idle.remove(&request);
            self.out(Output::Reply { request, reply });
        }
    }

    /// Answers what is not done in time, and forgets what waits here for members that have given up.
    pub(super) fn time_out_commands(&mut self) {
        // A member that stays out of the view says so soon: the application may have been asked at another one before the whole time is over.
        let early = if self.is_long_out() { self.config.ack_timeout.saturating_sub(self.config.failure_timeout) } else { 0 };
        let due = self.now + early;
        while let Some((_, request)) = self.command_deadlines.pop_front_if(|(deadline, _)| *deadline <= due) {
            // A request number may be in use again: only its own deadline counts.
            if self.commands.get(&request).is_none_or(|command| command.deadline > due) {
                continue;
            }
            let error = match &self.view {
                Some(_) => CommandError::NotAcknowledged { millis: self.config.ack_timeout },
                None => CommandError::NotJoined,
            };
            self.complete(request, Reply::Error(error));
        }
        self.time_out_stalled();
        let now = self.now;
        self.homeq.retain(|_, waiting| {
            waiting.retain(|queued| queued.deadline > now);
            !waiting.is_empty()
        });
    }
}
