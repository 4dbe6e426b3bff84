//! What can go wrong between tower-sessions and the member. Ids of sessions are secrets, and in no message.

use std::time::Duration;

use holdfast_core::{CommandError, Reply};
use thiserror::Error;
use tower_sessions_core::session_store;

/// Why the store could not do what it was asked to. tower-sessions gets it as [`session_store::Error::Backend`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The member that owns the session, or this one, refused, or the copies were not acknowledged in time.
    #[error("failed to {doing}: {source}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What the member said.
        source: CommandError,
    },
    /// Something else than a session of this store has its key.
    #[error("failed to {doing}: its key holds something else, {found}")]
    Foreign {
        /// What was being done.
        doing: &'static str,
        /// What was answered.
        found: String,
    },
    /// The session was deleted, or its time to live ended, after the request had loaded it.
    #[error("failed to save a session: it was deleted or has expired while the request was running, and is not made anew")]
    Gone,
    /// The lock of the session was held for too long, and somebody else may have it.
    #[error("failed to save a session: its lock was given up after {lease:?}, and what this request knows of it may be out of date")]
    LockLost {
        /// How long it may be held.
        lease: Duration,
    },
    /// Other requests on the same session hold its lock.
    #[error("failed to lock a session within {wait:?}: other requests on it are running")]
    Busy {
        /// How long was waited.
        wait: Duration,
    },
    /// So many drawn ids in a row were taken: the random numbers are not random.
    #[error("failed to find a free id for a session in {attempts} attempts")]
    NoFreeId {
        /// How many.
        attempts: usize,
    },
}

impl StoreError {
    /// Of an answer that the command cannot have.
    pub(crate) fn of(doing: &'static str, reply: Reply) -> Self {
        match reply {
            Reply::Error(source) => Self::Refused { doing, source },
            found => Self::Foreign { doing, found: format!("{found:?}") },
        }
    }
}

impl From<StoreError> for session_store::Error {
    fn from(error: StoreError) -> Self {
        Self::Backend(error.to_string())
    }
}

/// A setting that cannot work.
#[derive(Debug, Error)]
pub enum SettingError {
    /// An expression that is none.
    #[error("filter `{expression}` is not right")]
    Filter {
        /// As given.
        expression: String,
        /// What is wrong.
        source: regex::Error,
    },
    /// A time out of its range.
    #[error("{setting} of {value:?} is not right: it must be {right}")]
    Duration {
        /// Which.
        setting: &'static str,
        /// As given.
        value: Duration,
        /// The range.
        right: String,
    },
}
