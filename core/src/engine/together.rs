//! Commands on several keys as one step: possible where one member owns all of them, because it runs its commands one after the other.

use super::Engine;
use super::record::{Record, Slot, slot};
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
