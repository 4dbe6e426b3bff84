//! The commands of one connection that are on their way. Replies come out in the order of the requests, and commands on one key run one after the
//! other, but commands on different keys run side by side: an application sends those of all its users over one connection, and a write takes a
//! round trip to the keepers.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use holdfast_core::placement::position;

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
        Access::Key(position(key))
    }
}

/// Commands on their way. Each begins with its first poll, when it is pushed, and goes on without being polled: only the reply that is next is waited for.
pub(crate) struct Window<F: Future> {
    commands: VecDeque<Running<F>>,
    /// What came for all of them.
    bytes: usize,
}

/// A command on its way.
struct Running<F: Future> {
    access: Access,
    bytes: usize,
    state: State<F>,
}

enum State<F: Future> {
    Waits(F),
    Done(F::Output),
}

impl<F: Future + Unpin> Window<F> {
    pub(crate) fn new() -> Self {
        Window { commands: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Whether a command that touches this and came in so many bytes may begin now.
    pub(crate) fn admits(&self, access: Access, bytes: usize) -> bool {
        let alone = |command: &Running<F>| command.access == Access::Everything;
        match access {
            _ if self.is_empty() => true,
            _ if self.commands.len() >= MOST || self.bytes + bytes > MOST_BYTES || self.commands.back().is_some_and(alone) => false,
            Access::Nothing => true,
            Access::Key(_) => !self.commands.iter().any(|command| command.access == access),
            Access::Everything => false,
        }
    }

    /// Takes a command that was admitted. It is polled once, to begin.
    pub(crate) fn push(&mut self, access: Access, bytes: usize, mut command: F) {
        debug_assert!(self.admits(access, bytes));
        // Whoever waits for its reply polls it again.
        let state = match Pin::new(&mut command).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => State::Done(reply),
            Poll::Pending => State::Waits(command),
        };
        self.enter(access, bytes, state);
    }

    /// Takes a command that was admitted and is done: its reply keeps its place in the order.
    pub(crate) fn push_done(&mut self, access: Access, bytes: usize, reply: F::Output) {
        debug_assert!(self.admits(access, bytes));
        self.enter(access, bytes, State::Done(reply));
    }

    fn enter(&mut self, access: Access, bytes: usize, state: State<F>) {
        self.commands.push_back(Running { access, bytes, state });
        self.bytes += bytes;
    }

    /// The next reply in order, if it is there.
    pub(crate) fn ready(&mut self) -> Option<F::Output> {
        if self.poll_first(&mut Context::from_waker(Waker::noop())).is_pending() {
            return None;
        }
        let Running { bytes, state, .. } = self.commands.pop_front()?;
        self.bytes -= bytes;
        match state {
            State::Done(reply) => Some(reply),
            State::Waits(_) => unreachable!("it has just been found to be done"),
        }
    }

    /// Waits until there is a next reply, or no command on its way.
    pub(crate) async fn wait(&mut self) {
        poll_fn(|cx| self.poll_first(cx)).await;
    }

    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(Running { state, .. }) = self.commands.front_mut()
            && let State::Waits(command) = state
        {
            *state = State::Done(ready!(Pin::new(command).poll(cx)));
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn replies<F: Future + Unpin>(window: &mut Window<F>) -> Vec<F::Output> {
        std::iter::from_fn(|| window.ready()).collect()
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
