//! The handle through which front doors reach the sessions of the whole cluster: it tells the engine of commands and waits for the answers, wherever
//! in the cluster they come from.

use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_core::engine::NotTogether;
use holdfast_core::{Command, CommandError, Reply, ScanPage};
use tokio::sync::{broadcast, oneshot, watch};
use tokio::time::sleep;

use crate::begun::Begun;
use crate::broadcast::Broadcast;
use crate::member::core::CoreHandle;
#[cfg(feature = "server")]
use crate::redis;
use crate::status::Status;

/// How long is waited for keys that were claimed, after one attempt and the next, in milliseconds. A key that nobody had is here with the answer; one that
/// exists or was just deleted comes a moment later, and one that was forgotten again meanwhile is claimed anew.
const ARRIVAL: [u64; 7] = [0, 2, 5, 20, 50, 100, 200];

/// So many keys are claimed at once.
const CLAIMS_AT_ONCE: usize = 64;

/// Access to all sessions of the cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SessionHandle {
    core: CoreHandle,
    status: watch::Receiver<Status>,
}

impl SessionHandle {
    pub(crate) fn new(core: CoreHandle, status: watch::Receiver<Status>) -> Self {
        Self { core, status }
    }

    /// Runs one command on one key, at whichever member owns it. Always answers: within the acknowledgement timeout.
    pub async fn execute(&self, key: Bytes, command: Command) -> Reply {
        self.submit(key, command).await
    }

    /// Begins a command, so that a connection can have several on their way. They reach the engine in the order of these calls.
    pub fn submit(&self, key: Bytes, command: Command) -> Answer {
        let is_read = command.is_read_only();
        let begun = self.core.execute(key, command).unwrap_or(Begun::Answered(Reply::Error(CommandError::NotJoined)));
        Answer { begun, is_read }
    }

    /// Runs commands on several keys as one step, if this member owns all of them and each of `expected` has that fingerprint
    /// ([`Command::Fingerprint`]). If this member fails before it answers, some may be lost and others not.
    ///
    /// # Errors
    /// When none was begun.
    pub async fn execute_together(&self, commands: Vec<(Bytes, Command)>, expected: &[(Bytes, u128)]) -> Result<Vec<Reply>, NotTogether> {
        let is_read: Vec<bool> = commands.iter().map(|(_, command)| command.is_read_only()).collect();
        let begun = self.core.execute_together(commands, expected)?;
        let mut replies = Vec::with_capacity(begun.len());
        for (answer, is_read) in begun.into_iter().zip(is_read) {
            replies.push(Answer { begun: Begun::Waits(answer), is_read }.await);
        }
        Ok(replies)
    }

    /// The same; keys that nobody has are claimed first, so that this member owns them, and those that another member owns are called here. Of what was claimed and
    /// not written nothing is to be seen, and it is forgotten soon.
    ///
    /// # Errors
    /// When none was begun: some key is in use at another member, belongs to its home, or came here too late.
    pub async fn execute_gathered(&self, commands: Vec<(Bytes, Command)>, expected: &[(Bytes, u128)]) -> Result<Vec<Reply>, NotTogether> {
        let keys = commands.iter().map(|(key, _)| key).chain(expected.iter().map(|(key, _)| key));
        let keys: Vec<Bytes> = keys.cloned().collect();
        for pause in ARRIVAL {
            let outcome = self.execute_together(commands.clone(), expected).await;
            if outcome != Err(NotTogether::Apart) || !self.claim(&keys).await {
                return outcome;
            }
            sleep(Duration::from_millis(pause)).await;
        }
        self.execute_together(commands, expected).await
    }

    /// Claims those of `keys` that this member does not own; false if one of them cannot be had. One that exists elsewhere is asked for with it, and follows its
    /// user here if it is asked for here only.
    async fn claim(&self, keys: &[Bytes]) -> bool {
        let Some(keys) = self.core.to_claim(keys) else { return false };
        let claims = stream::iter(keys).map(|key| self.execute(key, Command::Claim)).buffer_unordered(CLAIMS_AT_ONCE);
        claims.all(|reply| ready(matches!(reply, Reply::Int(_)))).await
    }

    /// One step of a scan over all keys: pass the cursor of the page before, 0 to begin. `count` is a wish, as in Redis.
    ///
    /// # Errors
    /// When not all members answered in time, or this one is not in the view; nothing is lost, the same cursor can be asked again.
    pub async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, CommandError> {
        let page = self.core.scan(cursor, count).ok_or(CommandError::NotJoined)?;
        page.await.unwrap_or(Err(CommandError::NotJoined))
    }

    /// Tells clients of all members what somebody publishes: each member at most once, in the order of these calls.
    ///
    /// # Errors
    /// When this member is not in the view, or another one takes nothing; nobody is told then.
    pub fn publish(&self, channel: Bytes, payload: Bytes) -> Result<(), CommandError> {
        self.core.publish(channel, payload)
    }

    /// From now on this member hears of what happens to keys, as far as it belongs to these classes ([`holdfast_core::NoticeClass::bit`]).
    pub fn want_notices(&self, classes: u16) {
        self.core.want_notices(classes);
    }

    /// Listens to what is told to many; `None` if the member has ended.
    #[must_use]
    pub fn listen(&self) -> Option<broadcast::Receiver<Broadcast>> {
        self.core.listen()
    }

    /// What this member is and holds; changes are pushed. Reading it never waits for the engine or a peer.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }
}

#[cfg(feature = "server")]
impl redis::Sessions for SessionHandle {
    async fn execute(&self, key: Bytes, command: Command) -> Reply {
        Self::execute(self, key, command).await
    }

    fn begin(&self, key: Bytes, command: Command) -> Begun<impl Future<Output = Reply> + Send + 'static> {
        match self.submit(key, command) {
            Answer { begun: Begun::Answered(reply), .. } => Begun::Answered(reply),
            waits => Begun::Waits(waits),
        }
    }

    async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, CommandError> {
        Self::scan(self, cursor, count).await
    }

    async fn execute_together(&self, commands: Vec<(Bytes, Command)>, expected: &[(Bytes, u128)]) -> Result<Vec<Reply>, NotTogether> {
        Self::execute_together(self, commands, expected).await
    }

    async fn execute_gathered(&self, commands: Vec<(Bytes, Command)>, expected: &[(Bytes, u128)]) -> Result<Vec<Reply>, NotTogether> {
        Self::execute_gathered(self, commands, expected).await
    }

    fn publish(&self, channel: Bytes, payload: Bytes) -> Result<(), CommandError> {
        Self::publish(self, channel, payload)
    }

    fn want_notices(&self, classes: u16) {
        Self::want_notices(self, classes);
    }

    fn listen(&self) -> Option<broadcast::Receiver<Broadcast>> {
        Self::listen(self)
    }

    fn counts(&self) -> redis::Counts {
        let status = self.status.borrow();
        let view = status.view.as_deref();
        redis::Counts {
            joined: view.is_some(),
            phase: format!("{:?}", status.phase),
            epoch: status.epoch(),
            members: view.map_or(0, |view| view.members.len()),
            copies: view.map_or(0, |view| view.copies),
            owned: status.owned,
            kept: status.kept,
            load: status.load,
        }
    }
}

/// The answer to a submitted command, as a future. Dropping it does not take the command back.
#[derive(Debug)]
pub struct Answer {
    begun: Begun<oneshot::Receiver<Reply>>,
    is_read: bool,
}

impl Future for Answer {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        // If the member ends before it answers, nobody knows what became of a write.
        let lost = if self.is_read { CommandError::NotJoined } else { CommandError::OutcomeUnknown };
        match &mut self.begun {
            Begun::Answered(reply) => Poll::Ready(std::mem::replace(reply, Reply::Nil)),
            Begun::Waits(answer) => Pin::new(answer).poll(cx).map(|reply| reply.unwrap_or(Reply::Error(lost))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_members_end_nothing_is_done() {
        let gone = CoreHandle::empty();
        assert!(gone.execute(Bytes::new(), Command::Delete).is_none() && gone.scan(0, 10).is_none());
    }

    #[tokio::test]
    async fn a_member_that_ends_leaves_the_outcome_of_a_write_unknown() {
        for (is_read, error) in [(false, CommandError::OutcomeUnknown), (true, CommandError::NotJoined)] {
            let (reply, answer) = oneshot::channel();
            drop(reply);
            assert_eq!(Answer { begun: Begun::Waits(answer), is_read }.await, Reply::Error(error));
        }
    }
}
