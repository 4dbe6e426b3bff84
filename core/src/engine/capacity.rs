//! How much members hold, how much they may hold, and what is refused because of it. Nothing that lives is ever dropped to make room: new sessions are
//! refused first, then what makes existing ones larger; what leaves them as large, makes them smaller or ends them never is.
//!
//! An owner fills its keepers as well, so members tell each other how full they are.

use super::record::Slot;
use super::{Engine, Member};
use crate::Millis;
use crate::command::CommandError;
use crate::value::{Change, growth};
use crate::view::{MemberSet, NodeId};
use crate::wire::Message;

/// Of a hundred bytes that a member may hold, so many are for new sessions. Half of the rest is for existing ones to grow, the other half for those that come
/// from members that are lost: these are taken in any case.
const FOR_NEW: u64 = 75;
const FOR_GROWTH: u64 = 90;

/// The others are told at once when one part in so many of a limit has come or gone, and of less when a sign of life is due anyway.
const STEP: u64 = 256;

/// What a member holds and may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Sessions that it owns; keys that are none are left out.
    pub sessions: u64,
    /// Memory that its sessions and copies take, in bytes.
    pub bytes: u64,
    /// How much they may take, in bytes.
    pub budget: Option<u64>,
}

impl Load {
    /// Whether a session that only this member holds may take so many bytes more.
    pub(super) fn allows(self, growth: i64) -> bool {
        growth <= 0 || self.has_room(growth.unsigned_abs(), FOR_GROWTH)
    }

    /// Whether `more` bytes still are within `percent` of the budget.
    fn has_room(self, more: u64, percent: u64) -> bool {
        self.budget.is_none_or(|budget| self.bytes.saturating_add(more) <= budget / 100 * percent)
    }
}

impl Engine {
    /// What this member holds and may hold.
    pub fn load(&self) -> Load {
        Load { sessions: self.sessions.active() as u64, bytes: self.sessions.bytes(), budget: self.config.memory }
    }

    /// The same, added up anew: for tests of the counting.
    pub fn recounted_bytes(&self) -> u64 {
        self.sessions.recounted_bytes()
    }

    /// Refuses a write that makes a session for which there is no room, or one larger.
    pub(super) fn lacks_room(&self, slot: &Slot, change: &Change) -> Option<CommandError> {
        let seen = self.sessions.look(slot)?;
        let more = u64::try_from(growth(seen.record.value.as_ref(), change)).ok().filter(|more| *more > 0)?;
        if seen.record.value.is_none() {
            return self.refuses_new(slot, self.me.id, more);
        }
        let mut holders = seen.holders();
        holders.insert(self.me.id);
        self.lacks_memory(holders, more, FOR_GROWTH)
    }

    /// Why `owner` can have no new session of `more` bytes.
    pub(super) fn refuses_new(&self, slot: &Slot, owner: NodeId, more: u64) -> Option<CommandError> {
        if let Some(limit) = self.config.max_active
            && self.follows(&slot.1)
            && self.load().sessions + self.links.values().map(|link| link.load.sessions).sum::<u64>() >= limit
        {
            return Some(CommandError::TooManySessions { limit });
        }
        let mut holders = self.layout.want(slot.0, owner);
        holders.insert(owner);
        self.lacks_memory(holders, more, FOR_NEW)
    }

    /// Whether a session may move to a member to be where it is used.
    pub(super) fn has_room_for_guests(&self, id: NodeId) -> bool {
        self.load_of(id).has_room(0, FOR_NEW)
    }

    fn lacks_memory(&self, holders: MemberSet, more: u64, percent: u64) -> Option<CommandError> {
        let full = holders.iter().map(|id| self.load_of(id)).find(|load| !load.has_room(more, percent))?;
        Some(CommandError::OutOfMemory { bytes: full.bytes, budget: full.budget.unwrap_or_default() })
    }

    /// What a member holds, as far as this one knows; what is on its way there counts as arrived.
    fn load_of(&self, id: NodeId) -> Load {
        let of_link = || self.links.get(&id).map(|link| Load { bytes: link.load.bytes + link.unacked_bytes, ..link.load });
        if id == self.me.id { self.load() } else { of_link().unwrap_or_default() }
    }

    /// Tells the others what they do not know yet, unless nothing here has a limit.
    pub(super) fn tell_load(&mut self) {
        if self.config.memory.is_none() && self.config.max_active.is_none() {
            return;
        }
        let (now, interval, load) = (self.now, self.config.heartbeat_interval, self.load());
        let (bytes, sessions) = (self.config.memory.unwrap_or(u64::MAX) / STEP, self.config.max_active.unwrap_or(u64::MAX) / STEP);
        let is_due = |(told, at): (Load, Millis)| {
            let is_much = load.bytes.abs_diff(told.bytes) > bytes || load.sessions.abs_diff(told.sessions) > sessions;
            load != told && (is_much || now.saturating_sub(at) >= interval)
        };
        // Who is not reached learns it later: it must not pile up.
        let due = self.links.values_mut().filter(|link| link.is_ready() && is_due(link.told_load));
        let due: Vec<NodeId> = due
            .map(|link| {
                link.told_load = (load, now);
                link.peer.id
            })
            .collect();
        for id in due {
            self.send(id, Message::Load { sessions: load.sessions, bytes: load.bytes, budget: load.budget });
        }
    }

    pub(super) fn handle_load(&mut self, from: Member, load: Load) {
        if let Some(link) = self.links.get_mut(&from.id) {
            link.load = load;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_up_to_the_percentage_and_without_a_budget_always() {
        let load = |bytes| Load { sessions: 0, bytes, budget: Some(1_000) };
        assert!(load(700).has_room(50, FOR_NEW));
        assert!(!load(700).has_room(51, FOR_NEW));
        assert!(load(850).has_room(50, FOR_GROWTH) && !load(900).has_room(1, FOR_GROWTH));
        assert!(Load { budget: None, ..load(u64::MAX) }.has_room(u64::MAX, FOR_NEW));
    }
}
