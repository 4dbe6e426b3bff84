//! What others want of a connection's task: one place that it looks at, whoever wants it, because it looks there each time before it waits.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;

use futures::task::AtomicWaker;

/// Why it is rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Call {
    /// A message may wait for the client.
    News = 1,
    /// A message was lost, because more waited than is kept: the client has to learn so by losing its connection.
    Lost = 2,
    /// The connection has to go.
    End = 4,
    /// This member ends: what has come is still carried out.
    Stop = 8,
}

/// Calls some connection's task, which is the only one that listens.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicU8,
    task: AtomicWaker,
}

impl Bell {
    /// Calls. News are news until they are heard; everything else stays.
    pub(crate) fn ring(&self, call: Call) {
        self.rung.fetch_or(call as u8, Ordering::Release);
        self.task.wake();
    }

    /// Whether this has been called.
    pub(crate) fn has_rung(&self, call: Call) -> bool {
        self.rung.load(Ordering::Acquire) & call as u8 != 0
    }

    /// Waits for one of these. News have been heard then.
    pub(crate) async fn hear(&self, calls: &[Call]) {
        poll_fn(|cx| {
            self.task.register(cx.waker());
            let heard = calls.iter().find(|call| self.has_rung(**call));
            if heard == Some(&Call::News) {
                self.rung.fetch_and(!(Call::News as u8), Ordering::AcqRel);
            }
            heard.map_or(Poll::Pending, |_| Poll::Ready(()))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn it_is_heard_before_and_after_it_is_rung() {
        let bell = Bell::default();
        let heard = timeout(Duration::from_secs(10), bell.hear(&[Call::News, Call::End]));
        let (heard, ()) = futures::join!(heard, async { bell.ring(Call::End) });
        assert!(heard.is_ok() && bell.has_rung(Call::End));
        assert_eq!(bell.hear(&[Call::End]).now_or_never(), Some(()), "an end stays one");
    }

    #[tokio::test]
    async fn news_are_heard_once_and_only_by_who_wants_them() {
        let bell = Bell::default();
        bell.ring(Call::News);
        assert_eq!(bell.hear(&[Call::End, Call::Stop]).now_or_never(), None);
        assert_eq!(bell.hear(&[Call::News]).now_or_never(), Some(()));
        assert_eq!(bell.hear(&[Call::News]).now_or_never(), None);
    }
}
