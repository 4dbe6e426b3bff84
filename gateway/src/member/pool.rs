//! The idle connections to one member. A member has its own pool and takes it along when it goes, so a connection can never serve another pod.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::sync::oneshot;

use crate::clock::{self, Millis};
use crate::member::socket::Unanswered;
use crate::proxy::replay::Outgoing;

/// A connection that can carry a request.
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<Outgoing>,
    /// Resolves when the task that drives the connection is over.
    pub(crate) ended: oneshot::Receiver<Infallible>,
    /// It has carried a request before: the member may have closed it in the meantime.
    pub(crate) reused: bool,
    /// Whether the request on it has no answer yet.
    pub(crate) unanswered: Unanswered,
    /// The round of the pool in which it was opened.
    round: u64,
}

impl Connection {
    pub(crate) fn new(sender: SendRequest<Outgoing>, ended: oneshot::Receiver<Infallible>, round: u64, unanswered: Unanswered) -> Self {
        Self { sender, ended, reused: false, unanswered, round }
    }
}

/// Idle connections, the one used last on top.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    idle: Vec<(Connection, Millis)>,
    /// Grows at each purge: a connection of an earlier round is not taken back.
    round: u64,
    closed: bool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("idle", &self.idle.len()).field("closed", &self.closed).finish()
    }
}

impl Pool {
    /// A connection that is open and has rested for at most `longest`.
    pub(crate) fn take(&self, longest: Duration) -> Option<Connection> {
        let oldest = clock::now().saturating_sub(clock::millis(longest));
        let mut inner = self.lock();
        let mut index = inner.idle.len();
        while index > 0 {
            index -= 1;
            let (connection, since) = &inner.idle[index];
            if *since < oldest {
                // Those below have rested even longer.
                return None;
            }
            // One whose task has not come to rest yet is left alone; a closed one is thrown away.
            let (ready, closed) = (connection.sender.is_ready(), connection.sender.is_closed());
            if ready || closed {
                let (connection, _) = inner.idle.remove(index);
                if ready && !closed {
                    return Some(Connection { reused: true, ..connection });
                }
            }
        }
        None
    }

    /// Takes a connection back after its response has ended.
    pub(crate) fn put(&self, connection: Connection, most: usize) {
        if connection.sender.is_closed() {
            return;
        }
        let mut inner = self.lock();
        if !inner.closed && inner.round == connection.round && inner.idle.len() < most {
            inner.idle.push((connection, clock::now()));
        }
    }

    /// The round that a connection opened now belongs to.
    pub(crate) fn round(&self) -> u64 {
        self.lock().round
    }

    /// Closes all idle connections, and those in use once their responses have ended.
    pub(crate) fn purge(&self) {
        let mut inner = self.lock();
        inner.round += 1;
        let idle = std::mem::take(&mut inner.idle);
        drop(inner);
        drop(idle);
    }

    /// Purges, and takes nothing back any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.purge();
    }

    /// Closes what has rested for longer than `longest`, and forgets what is closed.
    pub(crate) fn reap(&self, longest: Duration) {
        let oldest = clock::now().saturating_sub(clock::millis(longest));
        let mut kept = Vec::new();
        let mut inner = self.lock();
        let idle = std::mem::take(&mut inner.idle);
        let mut ended = Vec::new();
        for (connection, since) in idle {
            let keep = since >= oldest && !connection.sender.is_closed();
            if keep { kept.push((connection, since)) } else { ended.push(connection) }
        }
        inner.idle = kept;
        drop(inner);
        drop(ended);
    }

    pub(crate) fn idle(&self) -> usize {
        self.lock().idle.len()
    }

    /// Nothing that is done under the lock can panic half-way.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;

    use super::*;

    /// A connection to nowhere whose task runs until the test ends.
    async fn connection(pool: &Pool) -> (Connection, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(1024);
        let (mut sender, task) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.expect("nothing is sent yet");
        let (running, ended) = oneshot::channel();
        tokio::spawn(async move {
            let _running = running;
            let _ = task.await;
        });
        sender.ready().await.expect("open");
        (Connection::new(sender, ended, pool.round(), Unanswered::default()), far)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_connection_comes_back_once_and_counts_as_reused() {
        let pool = Pool::default();
        let (connection, _far) = connection(&pool).await;
        pool.put(connection, 8);
        assert!(pool.take(LONG).is_some_and(|connection| connection.reused));
        assert!(pool.take(LONG).is_none());
    }

    #[tokio::test]
    async fn a_connection_that_the_member_closed_is_not_given_out() {
        let pool = Pool::default();
        let (connection, far) = connection(&pool).await;
        pool.put(connection, 8);
        drop(far);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(pool.take(LONG).is_none());
        assert_eq!(pool.idle(), 0);
    }

    #[tokio::test]
    async fn what_rested_too_long_is_left_for_others_and_then_reaped() {
        let pool = Pool::default();
        let (connection, _far) = connection(&pool).await;
        pool.put(connection, 8);
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(pool.take(Duration::from_millis(5)).is_none());
        assert_eq!(pool.idle(), 1);
        pool.reap(Duration::from_millis(5));
        assert_eq!(pool.idle(), 0);
    }

    #[tokio::test]
    async fn a_purge_also_reaches_connections_in_use() {
        let pool = Pool::default();
        let ((busy, _far), (idle, _other)) = (connection(&pool).await, connection(&pool).await);
        pool.put(idle, 8);
        pool.purge();
        assert!(pool.take(LONG).is_none());
        pool.put(busy, 8);
        assert!(pool.take(LONG).is_none(), "it was opened before the purge");
        let (fresh, _third) = connection(&pool).await;
        pool.put(fresh, 8);
        assert!(pool.take(LONG).is_some());
    }

    #[tokio::test]
    async fn a_closed_or_full_pool_takes_nothing_back() {
        let pool = Pool::default();
        let ((one, _a), (two, _b)) = (connection(&pool).await, connection(&pool).await);
        pool.put(one, 1);
        pool.put(two, 1);
        assert_eq!(pool.idle(), 1);
        pool.close();
        let (three, _c) = connection(&pool).await;
        pool.put(three, 8);
        assert_eq!(pool.idle(), 0);
    }
}
