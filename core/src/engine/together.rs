//! Commands on several keys as one step: possible where one member owns all of them, because it runs its commands one after the other.

use super::Engine;
use super::record::{Record, Slot, slot};
use super::sessions::Seen;
use crate::Millis;
use crate::command::{Command, Key};

/// Why commands on several keys were not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTogether {
    /// This member does not own all of the keys, or cannot run anything on one of them right now.
    #[error("not all keys are owned by this member")]
    Apart,
    /// One of the keys does not hold what was expected.
    #[error("a key does not hold what was expected")]
    Refuted,
}

impl Engine {
    /// Runs commands on several keys without anything in between, if this member owns all of them and each of `expected` has that fingerprint
    /// ([`Command::Fingerprint`]). Each is answered like one that was given to [`Engine::execute`]. Nobody sees a part of what they do. They are acknowledged
    /// key by key, so that if this member fails before all are answered, some may be lost and others not.
    ///
    /// # Errors
    /// When none was begun.
    pub fn execute_together(
        &mut self,
        now: Millis,
        commands: Vec<(u64, Key, Command)>,
        expected: &[(Key, u128)],
    ) -> Result<(), NotTogether> {
        self.now = now;
        let has_room = self.commands.len() + commands.len() <= self.config.max_commands;
        let mut keys = commands.iter().map(|(_, key, _)| key).chain(expected.iter().map(|(key, _)| key));
        if !has_room || !self.has_lease() || !keys.all(|key| self.can_run(&slot(key))) {
            return Err(NotTogether::Apart);
        }
        if expected.iter().any(|(key, fingerprint)| self.fingerprint(&slot(key)) != *fingerprint) {
            return Err(NotTogether::Refuted);
        }
        for (request, key, command) in commands {
            self.execute(now, request, key, command);
        }
        Ok(())
    }

    /// The keys that this member has to claim ([`Command::Claim`]) before it can run commands on all of these, as it does not own them, or may be about to forget
    /// them; `None` if that is of no use, because it cannot come to own one of them. A claim is a write as any other, so this changes no rule. What was
    /// claimed and is not written is forgotten soon, as any deleted key is.
    pub fn to_claim<'a>(&self, keys: impl Iterator<Item = &'a Key>) -> Option<Vec<Key>> {
        let is_full = self.view.as_ref().is_some_and(|view| view.is_full(self.me.id));
        let stays = |seen: Seen<'_>| seen.record.value.is_some() || seen.pending.is_some_and(|pending| pending.claimed.is_some());
        let lacks = |slot: &Slot| !self.sessions.look(slot).is_some_and(|seen| seen.record.is_owned && stays(seen));
        let lacking: Vec<Slot> = keys.map(slot).filter(lacks).collect();
        let can_own = lacking.iter().all(|(position, key)| self.follows(key) || self.is_home(*position));
        (is_full && can_own).then(|| lacking.into_iter().map(|(_, key)| key).collect())
    }

    /// Whether a command would be run here at once.
    fn can_run(&self, slot: &Slot) -> bool {
        let is_frozen = |slot| self.sessions.look(slot).and_then(|seen| seen.pending).is_some_and(|pending| pending.frozen.is_some());
        self.sessions.get(slot).map(Record::owner) == Some(self.me) && !is_frozen(slot)
    }

    fn fingerprint(&self, slot: &Slot) -> u128 {
        let value = self.sessions.get(slot).and_then(|record| record.value.as_ref());
        value.filter(|value| !value.is_expired(self.now)).map_or(0, |value| value.data.fingerprint())
    }
}
