//! The commands of one connection that are on their way. Replies come out in the order of the requests, and commands on one key run one after the
//! other, but commands on different keys run side by side: an application sends those of all its users over one connection, and a write takes a
//! round trip to the keepers.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};

use futures::StreamExt;
use futures::stream::FuturesOrdered;

/// How many commands of one connection run side by side. Larger gains little, and each may hold a value.
const MOST: usize = 64;

/// How many bytes of requests run side by side. A single request may be larger.
const MOST_BYTES: usize = 1 << 20;

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
    /// What each of them touches and how large its request was, in their order.
    requests: VecDeque<(Access, usize)>,
    bytes: usize,
}

impl<F: Future> Window<F> {
    pub(crate) fn new() -> Self {
        Window { running: FuturesOrdered::new(), requests: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether a command that touches this and came in so many bytes may begin now.
    pub(crate) fn admits(&self, access: Access, bytes: usize) -> bool {
        let alone = |(access, _): &(Access, usize)| *access == Access::Everything;
        match access {
            _ if self.is_empty() => true,
            _ if self.requests.len() >= MOST || self.bytes + bytes > MOST_BYTES || self.requests.back().is_some_and(alone) => false,
            Access::Nothing => true,
            Access::Key(_) => !self.requests.iter().any(|(other, _)| *other == access),
            Access::Everything => false,
        }
    }

    /// Begins a command that was admitted.
    pub(crate) fn push(&mut self, access: Access, bytes: usize, command: F) {
        debug_assert!(self.admits(access, bytes));
        self.requests.push_back((access, bytes));
        self.bytes += bytes;
        self.running.push_back(command);
    }

    /// The next reply in order; `None` if no command is on its way.
    pub(crate) async fn next(&mut self) -> Option<F::Output> {
        let reply = self.running.next().await?;
        let (_, bytes) = self.requests.pop_front().expect("one for each command");
        self.bytes -= bytes;
        Some(reply)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    fn replies<F: Future>(window: &mut Window<F>) -> Vec<F::Output> {
        std::iter::from_fn(|| window.next().now_or_never().flatten()).collect()
    }

    #[test]
    fn replies_keep_the_order_of_requests() {
        let mut window = Window::new();
        let (first, second) = (oneshot::channel(), oneshot::channel());
        window.push(Access::key(b"a"), 10, first.1);
        window.push(Access::key(b"b"), 10, second.1);
        second.0.send(2).expect("awaited");
        assert_eq!(replies(&mut window), []);
        first.0.send(1).expect("awaited");
        assert_eq!(replies(&mut window), [Ok(1), Ok(2)]);
        assert!(window.is_empty());
    }

    #[test]
    fn one_key_is_touched_by_one_command_at_a_time() {
        let mut window = Window::new();
        window.push(Access::key(b"a"), 10, std::future::ready(1));
        assert!(!window.admits(Access::key(b"a"), 10));
        assert!(window.admits(Access::key(b"b"), 10));
        assert!(window.admits(Access::Nothing, 10));
        assert_eq!(replies(&mut window), [1]);
        assert!(window.admits(Access::key(b"a"), 10));
    }

    #[test]
    fn what_touches_everything_runs_alone() {
        let mut window = Window::new();
        window.push(Access::Nothing, 10, std::future::ready(1));
        assert!(!window.admits(Access::Everything, 10));
        assert_eq!(replies(&mut window), [1]);
        window.push(Access::Everything, 10, std::future::ready(2));
        assert!(!window.admits(Access::Nothing, 10) && !window.admits(Access::key(b"a"), 10) && !window.admits(Access::Everything, 10));
    }

    #[test]
    fn the_window_is_bounded() {
        let mut window = Window::new();
        window.push(Access::Nothing, 2 * MOST_BYTES, std::future::ready(()));
        assert!(!window.admits(Access::Nothing, 1), "one may be larger, but then runs alone");
        assert_eq!(replies(&mut window), [()]);
        window.push(Access::Nothing, MOST_BYTES - 1, std::future::ready(()));
        assert!(window.admits(Access::Nothing, 1) && !window.admits(Access::Nothing, 2));
        let mut window = Window::new();
        (0..MOST).for_each(|_| window.push(Access::Nothing, 10, std::future::pending::<()>()));
        assert!(!window.admits(Access::Nothing, 10));
    }
}
