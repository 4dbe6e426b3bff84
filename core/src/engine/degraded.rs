//! What becomes of writes while a session cannot have all its copies: they wait, they are refused, or they do without (`onUnderReplicated`).

use super::record::Slot;
use super::{Engine, OnUnderReplicated};
use crate::Millis;
use crate::command::CommandError;
use crate::value::Change;
use crate::view::{MemberSet, View};

impl Engine {
    /// For how long a member has to be suspected before `Accept` does without it: writes that wait are answered before their time is over.
    pub(super) fn patience(&self) -> Option<Millis> {
        (self.config.on_under_replicated == OnUnderReplicated::Accept).then_some(self.config.ack_timeout / 2)
    }

    /// Why a write is refused before anything is done.
    pub(super) fn refusal(&self, slot: &Slot, change: &Change) -> Option<CommandError> {
        self.backlog(slot).or_else(|| self.lacks_copies(slot)).or_else(|| self.lacks_room(slot, change))
    }

    /// Refuses a write while too much waits for one of its holders.
    fn backlog(&self, slot: &Slot) -> Option<CommandError> {
        self.sessions.look(slot)?.holders().iter().find_map(|holder| self.link_backlog(holder))
    }

    fn lacks_copies(&self, slot: &Slot) -> Option<CommandError> {
        if self.config.on_under_replicated != OnUnderReplicated::Reject {
            return None;
        }
        let keepers = self.layout.keepers_of(slot.0, self.me.id).iter();
        let is_reached = |id| self.links.get(&id).is_some_and(|link| link.is_ready() && link.suspected_at.is_none());
        let (have, want) = (keepers.filter(|id| is_reached(*id)).count(), self.layout.copies_wanted());
        (have < want).then_some(CommandError::UnderReplicated { have, want })
    }

    /// Finds out who is done without now. As long as this member may be on the smaller side of a partition it does without nobody: the others do
    /// without it then.
    pub(super) fn find_given_up(&mut self) {
        let (Some(patience), Some(view)) = (self.patience(), self.current()) else { return };
        let now = self.now;
        let voters = view.voters();
        let is_over = |since: Option<Millis>| since.is_some_and(|since| now.saturating_sub(since) >= patience);
        let given_up: MemberSet = self.links.values().filter(|link| is_over(link.suspected_at)).map(|link| link.peer.id).collect();
        let dead: MemberSet = self.links.values().filter(|link| link.refused || link.proven_dead).map(|link| link.peer.id).collect();
        let rivals = voters.and(given_up).without(dead);
        let given_up = if rivals.len() * 2 < voters.len() { given_up } else { MemberSet::EMPTY };
        if given_up == self.given_up {
            return;
        }
        self.given_up = given_up;
        self.renew_lease();
        self.maintain_waiting();
    }

    /// Whether those who are not heard may be most of the voters, and go on without this member: what they answer meanwhile is lost with them.
    pub(super) fn may_be_done_without(&self, view: &View) -> bool {
        let voters = view.voters();
        let is_missed = |link: &&super::stream::Link| {
            voters.contains(link.peer.id) && link.suspected_at.is_some() && !link.refused && !link.proven_dead
        };
        self.patience().is_some() && self.links.values().filter(is_missed).count() * 2 > voters.len()
    }

    /// Looks again at the sessions that somebody waits for.
    fn maintain_waiting(&mut self) {
        let waiting = self.sessions.all_pending().filter(|(_, pending)| !pending.waiters.is_empty() || pending.giver.is_some());
        let waiting: Vec<Slot> = waiting.map(|(slot, _)| slot.clone()).collect();
        waiting.iter().for_each(|slot| self.maintain(slot));
    }

    /// Whether `view` without the suspect `since` then is proposed although the budget is spent.
    pub(super) fn may_override(&self, view: &View, since: Millis) -> bool {
        let is_voter = view.voters().contains(self.me.id);
        is_voter && self.patience().is_some_and(|patience| self.now.saturating_sub(since) >= patience)
    }
}
