//! The handle through which front doors reach the sessions of the whole cluster: it hands commands to the task that owns the engine and waits
//! for the answers, wherever in the cluster they come from.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::{Command, CommandError, Reply, ScanPage};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::redis;
use crate::status::Status;

/// How many requests may wait for the engine's task; beyond it callers wait, and after [`Limits::queue`] they are refused.
pub(crate) const REQUESTS: usize = 4096;

/// A request of a front door, as the engine's task receives it.
#[derive(Debug)]
pub(crate) enum Request {
    /// One command on one key.
    Execute { key: Bytes, command: Command, reply: oneshot::Sender<Reply> },
    /// One step of a scan over the cluster.
    Scan { cursor: u64, count: usize, reply: oneshot::Sender<Result<ScanPage, CommandError>> },
}

/// How long a caller waits for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For a place in the queue to the engine's task.
    pub(crate) queue: Duration,
    /// For the answer. The engine answers within its own limit; this one only ends the wait if the engine's task hangs.
    pub(crate) answer: Duration,
}

/// Access to all sessions of the cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SessionHandle {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<Status>,
    limits: Limits,
}

impl SessionHandle {
    pub(crate) fn new(requests: mpsc::Sender<Request>, status: watch::Receiver<Status>, limits: Limits) -> Self {
        Self { requests, status, limits }
    }

    /// Runs one command on one key, at whichever member owns it. Always answers: within the acknowledgement timeout and a little.
    pub async fn execute(&self, key: Bytes, command: Command) -> Reply {
        self.submit(key, command).await.await
    }

    /// Hands over a command and returns before its answer is there, so that a connection can have several on their way. Commands reach the engine
    /// in the order of these calls.
    pub async fn submit(&self, key: Bytes, command: Command) -> Answer {
        let lost = if command.is_read_only() { CommandError::NotJoined } else { CommandError::OutcomeUnknown };
        let (reply, answer) = oneshot::channel();
        let state = match self.send(Request::Execute { key, command, reply }).await {
            Ok(()) => AnswerState::Waiting { answer, deadline: Box::pin(tokio::time::sleep(self.limits.answer)), lost },
            Err(error) => AnswerState::Known(Some(Reply::Error(error))),
        };
        Answer { state }
    }

    /// One step of a scan over all keys: pass the cursor of the page before, 0 to begin. `count` is a wish, as in Redis.
    ///
    /// # Errors
    /// When not all members answered in time, or this one is not in the view; nothing is lost, the same cursor can be asked again.
    pub async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Scan { cursor, count, reply }).await?;
        match timeout(self.limits.answer, answer).await {
            Ok(Ok(page)) => page,
            Ok(Err(_)) => Err(CommandError::NotJoined),
            Err(_) => Err(self.not_acknowledged()),
        }
    }

    /// What this member is and holds; changes are pushed. Reading it never waits for the engine or a peer.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    async fn send(&self, request: Request) -> Result<(), CommandError> {
        match timeout(self.limits.queue, self.requests.send(request)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(CommandError::NotJoined),
            Err(_) => Err(CommandError::TooManyCommands { limit: REQUESTS as u64 }),
        }
    }

    fn not_acknowledged(&self) -> CommandError {
        CommandError::NotAcknowledged { millis: self.limits.answer.as_millis() as u64 }
    }
}

impl redis::Sessions for SessionHandle {
    async fn execute(&self, key: Bytes, command: Command) -> Reply {
        Self::execute(self, key, command).await
    }

    async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, CommandError> {
        Self::scan(self, cursor, count).await
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
        }
    }
}

/// The answer to a submitted command, as a future. Dropping it does not take the command back.
#[derive(Debug)]
pub struct Answer {
    state: AnswerState,
}

#[derive(Debug)]
enum AnswerState {
    Known(Option<Reply>),
    Waiting { answer: oneshot::Receiver<Reply>, deadline: Pin<Box<tokio::time::Sleep>>, lost: CommandError },
}

impl Future for Answer {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        match &mut self.state {
            AnswerState::Known(reply) => Poll::Ready(reply.take().expect("a future is not polled after it was ready")),
            AnswerState::Waiting { answer, deadline, lost } => {
                if let Poll::Ready(reply) = Pin::new(answer).poll(cx) {
                    // The engine's task is gone: the process ends, and nobody knows what became of the command.
                    return Poll::Ready(reply.unwrap_or_else(|_| Reply::Error(lost.clone())));
                }
                deadline.as_mut().poll(cx).map(|()| Reply::Error(lost.clone()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::{Member, NodeId};

    use super::*;
    use crate::status::Phase;

    const LIMITS: Limits = Limits { queue: Duration::from_millis(20), answer: Duration::from_millis(40) };

    fn handle(capacity: usize) -> (SessionHandle, mpsc::Receiver<Request>) {
        let (requests, received) = mpsc::channel(capacity);
        let member = Member { id: NodeId::new(0).expect("a place"), incarnation: 1 };
        let status = Status {
            member,
            phase: Phase::Joining,
            owned: 0,
            kept: 0,
            unprotected: 0,
            transfers: 0,
            is_alone: false,
            barrier: false,
            view: None,
            left: false,
        };
        let (_, status) = watch::channel(status);
        (SessionHandle::new(requests, status, LIMITS), received)
    }

    #[tokio::test]
    async fn commands_arrive_in_the_order_of_the_calls() {
        let (handle, mut received) = handle(8);
        let first = handle.submit(Bytes::from_static(b"a"), Command::Get).await;
        let second = handle.submit(Bytes::from_static(b"b"), Command::Get).await;
        for (expected, n) in [("a", 1), ("b", 2)] {
            let Some(Request::Execute { key, reply, .. }) = received.recv().await else { panic!("a command") };
            assert_eq!(key, expected);
            reply.send(Reply::Int(n)).expect("awaited");
        }
        assert_eq!((second.await, first.await), (Reply::Int(2), Reply::Int(1)));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_after_its_limit() {
        let (handle, _received) = handle(1);
        let _first = handle.submit(Bytes::new(), Command::Get).await;
        let refused = handle.execute(Bytes::new(), Command::Delete).await;
        assert!(matches!(refused, Reply::Error(CommandError::TooManyCommands { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn a_hanging_engine_leaves_the_outcome_of_a_write_unknown() {
        let (handle, _received) = handle(8);
        assert_eq!(handle.execute(Bytes::new(), Command::Delete).await, Reply::Error(CommandError::OutcomeUnknown));
        assert_eq!(handle.execute(Bytes::new(), Command::Get).await, Reply::Error(CommandError::NotJoined));
    }

    #[tokio::test]
    async fn without_an_engine_nothing_is_done() {
        let (handle, received) = handle(8);
        drop(received);
        assert_eq!(handle.execute(Bytes::new(), Command::Delete).await, Reply::Error(CommandError::NotJoined));
        assert_eq!(handle.scan(0, 10).await, Err(CommandError::NotJoined));
    }
}
