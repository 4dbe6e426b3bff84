//! One request of a session at a time, across the whole cluster. The lock is a key of its own that expires by itself, so that a member that fails holds up
//! nobody for longer than the lease; and each holder has a higher number than all before, so that one that was too slow is told from the next.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::{Command, CommandError, Condition, ExpireCondition, Expiry, Guard, Reply};
use holdfast_runtime::session::SessionHandle;
use rand::RngExt;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tower_sessions_core::session::Id;
use tracing::warn;

use crate::error::{SettingError, StoreError};
use crate::store::Store;

/// Between two attempts to get a lock that is held, at first and at most. A request takes some milliseconds, so does the wait for it.
const FIRST_RETRY: Duration = Duration::from_millis(2);
const LAST_RETRY: Duration = Duration::from_millis(50);

/// How long the number of the last holder is remembered after the last time that the session was locked: longer than any session that is in use lies idle.
const FENCE_LIFE: Duration = Duration::from_secs(90 * 86_400);

/// How requests on one session take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    lease: Duration,
    wait: Duration,
}

impl Default for Lock {
    /// A lease of 30 seconds, and a wait of 5.
    fn default() -> Self {
        Self { lease: Duration::from_secs(30), wait: Duration::from_secs(5) }
    }
}

impl Lock {
    /// A request may work on its session for as long as `lease`; afterwards the lock is given up, and what it saves is refused. It waits for its turn for as
    /// long as `wait`; afterwards it is answered with 503.
    ///
    /// # Errors
    /// When the lease is shorter than a second or longer than an hour, or the wait is longer than the lease.
    pub fn new(lease: Duration, wait: Duration) -> Result<Self, SettingError> {
        let (shortest, longest) = (Duration::from_secs(1), Duration::from_secs(3600));
        if !(shortest..=longest).contains(&lease) {
            return Err(SettingError::Duration { setting: "a lease", value: lease, right: format!("from {shortest:?} to {longest:?}") });
        }
        if wait > lease {
            return Err(SettingError::Duration {
                setting: "the wait for a lock",
                value: wait,
                right: format!("at most its lease, {lease:?}"),
            });
        }
        Ok(Self { lease, wait })
    }

    /// Whether a save that begins while the lock is held is over before somebody else may hold it.
    pub(crate) fn check(&self, ack_timeout: Duration) -> Result<(), SettingError> {
        let least = 2 * ack_timeout;
        if self.lease >= least {
            return Ok(());
        }
        let right = format!("at least twice the acknowledgement timeout, so {least:?}");
        Err(SettingError::Duration { setting: "a lease", value: self.lease, right })
    }

    /// Takes the lock of the session that is, or was, known as `id`; `None` if there is no such session.
    pub(crate) async fn take(&self, store: &Store, id: Id) -> Result<Option<Held>, StoreError> {
        let deadline = Instant::now() + self.wait;
        loop {
            let Some(at) = store.locate(id).await? else { return Ok(None) };
            let held = self.take_at(store, &at, deadline).await?;
            // It may have got another id while this was waiting.
            if store.locate(id).await? == Some(at) {
                return Ok(Some(held));
            }
            held.give_up().await;
            if Instant::now() > deadline {
                return Err(StoreError::Busy { wait: self.wait });
            }
        }
    }

    async fn take_at(&self, store: &Store, id: &Id, deadline: Instant) -> Result<Held, StoreError> {
        let key = store.keys.lock(id);
        // Tells this holder from all others.
        let mark = Bytes::from(format!("{:032x}", rand::random::<u128>()));
        let mut retry = FIRST_RETRY;
        while !self.try_take(&store.sessions, &key, &mark).await? {
            let pause = retry.mul_f64(rand::rng().random_range(0.5..1.0));
            if Instant::now() + pause > deadline {
                return Err(StoreError::Busy { wait: self.wait });
            }
            sleep(pause).await;
            retry = (retry * 2).min(LAST_RETRY);
        }
        let taken = Taken { sessions: store.sessions.clone(), key, mark };
        let mut held = Held { lease: self.lease, token: 0, taken: Mutex::new(Some(taken)) };
        held.token = next_token(&store.sessions, store.keys.fence(id)).await?;
        Ok(held)
    }

    async fn try_take(&self, sessions: &SessionHandle, key: &Bytes, mark: &Bytes) -> Result<bool, StoreError> {
        let expiry = Expiry::After(signed_millis(self.lease).unsigned_abs());
        let command = Command::Set { value: mark.clone(), expiry, condition: Condition::IfAbsent, return_old: true };
        match sessions.execute(key.clone(), command).await {
            Reply::Nil => Ok(true),
            // Our own, if the outcome of an attempt before was not known.
            Reply::Bytes(there) => Ok(there == *mark),
            Reply::Error(CommandError::NotAcknowledged { .. } | CommandError::OutcomeUnknown) => Ok(false),
            reply => Err(StoreError::of("lock a session", reply)),
        }
    }
}

/// A number that is higher than all that were drawn for this session before, and that nobody else has.
async fn next_token(sessions: &SessionHandle, key: Bytes) -> Result<u64, StoreError> {
    let expire = Command::Expire { millis: signed_millis(FENCE_LIFE), condition: ExpireCondition::Always };
    let commands = vec![Command::Increment { by: 1 }, expire];
    let reply = sessions.execute(key, Command::Batch { guard: Guard::None, commands }).await;
    match &reply {
        Reply::Batch(replies) if let Some(Reply::Int(token)) = replies.first() => Ok(token.unsigned_abs()),
        _ => Err(StoreError::of("number the lock of a session", reply)),
    }
}

/// A lock that is held. Dropping it gives it up in the background.
#[derive(Debug)]
pub(crate) struct Held {
    lease: Duration,
    token: u64,
    /// `None` once it is given up.
    taken: Mutex<Option<Taken>>,
}

/// Where the lock is, and what it says.
#[derive(Clone, Debug)]
struct Taken {
    sessions: SessionHandle,
    key: Bytes,
    mark: Bytes,
}

impl Held {
    /// The number of this holder.
    pub(crate) fn fence(&self) -> Fence {
        Fence(self.token)
    }

    /// Makes sure that it is still held, and for a whole lease more: long enough for a write that begins now.
    pub(crate) async fn prolong(&self) -> Result<(), StoreError> {
        let lost = StoreError::LockLost { lease: self.lease };
        let Some(taken) = self.taken.lock().expect(UNBROKEN).clone() else { return Err(lost) };
        let expire = Command::Expire { millis: signed_millis(self.lease), condition: ExpireCondition::Always };
        match taken.if_held(expire).await {
            Reply::Batch(_) => Ok(()),
            Reply::Refuted => Err(lost),
            reply => Err(StoreError::of("prolong the lock of a session", reply)),
        }
    }

    /// Gives it up; the next one has it when this returns.
    pub(crate) async fn give_up(&self) {
        let taken = self.taken.lock().expect(UNBROKEN).take();
        if let Some(taken) = taken {
            taken.give_up().await;
        }
    }
}

impl Drop for Held {
    /// The request was broken off.
    fn drop(&mut self) {
        let taken = self.taken.get_mut().expect(UNBROKEN).take();
        // Outside of a runtime nothing can be done, and the lease ends it.
        if let (Some(taken), Ok(runtime)) = (taken, Handle::try_current()) {
            runtime.spawn(async move { taken.give_up().await });
        }
    }
}

impl Taken {
    /// Runs a command on the lock, in one step with looking whether it is still this one.
    async fn if_held(&self, command: Command) -> Reply {
        let batch = Command::Batch { guard: Guard::Equals(self.mark.clone()), commands: vec![command] };
        self.sessions.execute(self.key.clone(), batch).await
    }

    async fn give_up(self) {
        match self.if_held(Command::Delete).await {
            Reply::Batch(_) | Reply::Refuted => {}
            reply => warn!(error = %StoreError::of("unlock a session", reply), "a session stays locked until its lease ends"),
        }
    }
}

/// A number that grows with each holder of a session's lock, as an extension of the request. What is written elsewhere on behalf of the session, say in a
/// database, can keep the highest that it has seen and refuse lower ones: then nothing of a request that has lost its lock arrives after the next one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub u64);

const UNBROKEN: &str = "nothing panics while it is held";

fn signed_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_cannot_work_says_what_is_right() {
        let second = Duration::from_secs(1);
        let error = Lock::new(second / 2, second / 4).expect_err("too short").to_string();
        assert_eq!(error, "a lease of 500ms is not right: it must be from 1s to 3600s");
        let error = Lock::new(second, 2 * second).expect_err("too patient").to_string();
        assert_eq!(error, "the wait for a lock of 2s is not right: it must be at most its lease, 1s");
    }
}
