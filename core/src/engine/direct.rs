//! Commands that wait for nobody. The session is owned here, nothing of it is under way, and no other member has to hear of what the command does: then it
//! is done in one step, and comes to the same as on the long way.

use super::{Engine, OnUnderReplicated};
use crate::command::{Command, Key};
use crate::placement;
use crate::value::{self, Notices};
use crate::view::MemberState;

impl Engine {
    /// Runs and answers a command of this member's own client in one step; false if it has to go the long way, and then nothing was done.
    pub(super) fn run_at_once(&mut self, request: u64, key: &Key, command: &Command) -> bool {
        let is_placed = |state| state != Some(MemberState::Join);
        if self.broken.is_any() || !self.has_lease() || !self.view.as_ref().is_some_and(|view| is_placed(view.state(self.me.id))) {
            return false;
        }
        let (now, position) = (self.now, placement::position(key));
        let home = self.layout.home(position).filter(|home| *home != self.me.id);
        if home.is_some() && !self.follows(key) {
            // It is to be handed to its home.
            return false;
        }
        let load = self.load();
        let Some(record) = self.sessions.at_rest(position, key) else { return false };
        let Some(value) = record.value.as_ref().filter(|value| !value.is_expired(now)) else { return false };
        let mut notices = Notices::wanted(self.wanted_notices);
        let (reply, change) = value::decide_noticed(Some(value), command, now, self.config.max_bytes, &mut notices);
        let Some(change) = change else {
            record.foreign = None;
            self.reply(request, reply);
            // The same content again is told, too.
            self.notice(key, notices.into_list());
            return true;
        };
        let growth = value::growth(record.value.as_ref(), &change);
        let is_known = home.is_none_or(|home| record.known_to == Some(home));
        let is_alone = record.holders.is_empty() && self.layout.want(position, self.me.id).is_empty();
        let may_reject = self.config.on_under_replicated == OnUnderReplicated::Reject;
        if !is_alone || !is_known || may_reject || !load.allows(growth) {
            return false;
        }
        let before = record.expires_at();
        let mut grown = 0;
        if !record.prolong(&change, now) {
            grown = record.apply(change, now);
            record.seq += 1;
        }
        record.foreign = None;
        let (ends, is_gone) = (record.expires_at(), record.value.is_none());
        self.sessions.grow(grown);
        if is_gone {
            self.sessions.index(&(position, key.clone()), before);
        } else if before != ends {
            self.sessions.retime(position, before, ends);
        }
        self.reply(request, reply);
        self.notice(key, notices.into_list());
        true
    }
}
