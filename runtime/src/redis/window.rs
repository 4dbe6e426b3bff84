//! The commands of one connection that are on their way. Replies come out in the order of the requests, and commands on one key run one after the
//! other, but commands on different keys run side by side: an application sends those of all its users over one connection, and a write takes a
//! round trip to the keepers.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::FuturesOrdered;

/// How many commands of one connection run side by side. Larger gains little, and each may hold a value.
const MOST: usize = 64;

/// What a command touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing: it only has to keep its place in the order of replies.
    Nothing,
    /// One key, by its hash. Keys that share one wait for each other, which harms nobody.
    Key(u64),
    /// Anything: it runs alone.
    Everything,
}

impl Access {
    /// For one key.
    pub(crate) fn key(key: &[u8]) -> Access {
        let mut hasher = DefaultHasher::new();
        hasher.write(key);
        Access::Key(hasher.finish())
    }
}

/// Commands on their way.
pub(crate) struct Window<F: Future> {
    running: FuturesOrdered<F>,
    /// What each of them touches, in their order.
    accesses: VecDeque<Access>,
}

impl<F: Future> Window<F> {
    pub(crate) fn new() -> Self {
        Window { running: FuturesOrdered::new(), accesses: VecDeque::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.accesses.is_empty()
    }

    /// Whether a command that touches this may begin now.
    pub(crate) fn admits(&self, access: Access) -> bool {
        match access {
            _ if self.is_empty() => true,
            _ if self.accesses.len() >= MOST || self.accesses.back() == Some(&Access::Everything) => false,
            Access::Nothing => true,
            Access::Key(_) => !self.accesses.contains(&access),
            Access::Everything => false,
        }
    }

    /// Begins a command that was admitted.
    pub(crate) fn push(&mut self, access: Access, command: F) {
        debug_assert!(self.admits(access));
        self.accesses.push_back(access);
        self.running.push_back(command);
    }

    /// Hands every reply that is ready, in order, to `each`; ready once there was one.
    pub(crate) fn poll_replies(&mut self, cx: &mut Context<'_>, mut each: impl FnMut(F::Output)) -> Poll<()> {
        let mut any = Poll::Pending;
        while let Poll::Ready(Some(reply)) = Pin::new(&mut self.running).poll_next(cx) {
            self.accesses.pop_front();
            each(reply);
            any = Poll::Ready(());
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    fn replies<F: Future>(window: &mut Window<F>) -> Vec<F::Output> {
        let mut replies = Vec::new();
        let _ = std::future::poll_fn(|cx| window.poll_replies(cx, |reply| replies.push(reply))).now_or_never();
        replies
    }

    #[test]
    fn replies_keep_the_order_of_requests() {
        let mut window = Window::new();
        let (first, second) = (oneshot::channel(), oneshot::channel());
        window.push(Access::key(b"a"), first.1);
        window.push(Access::key(b"b"), second.1);
        second.0.send(2).expect("awaited");
        assert_eq!(replies(&mut window), []);
        first.0.send(1).expect("awaited");
        assert_eq!(replies(&mut window), [Ok(1), Ok(2)]);
        assert!(window.is_empty());
    }

    #[test]
    fn one_key_is_touched_by_one_command_at_a_time() {
        let mut window = Window::new();
        window.push(Access::key(b"a"), std::future::ready(1));
        assert!(!window.admits(Access::key(b"a")));
        assert!(window.admits(Access::key(b"b")));
        assert!(window.admits(Access::Nothing));
        assert_eq!(replies(&mut window), [1]);
        assert!(window.admits(Access::key(b"a")));
    }

    #[test]
    fn what_touches_everything_runs_alone() {
        let mut window = Window::new();
        window.push(Access::Nothing, std::future::ready(1));
        assert!(!window.admits(Access::Everything));
        assert_eq!(replies(&mut window), [1]);
        window.push(Access::Everything, std::future::ready(2));
        assert!(!window.admits(Access::Nothing) && !window.admits(Access::key(b"a")) && !window.admits(Access::Everything));
    }

    #[test]
    fn the_window_is_bounded() {
        let mut window = Window::new();
        (0..MOST).for_each(|_| window.push(Access::Nothing, std::future::pending::<()>()));
        assert!(!window.admits(Access::Nothing));
    }
}
