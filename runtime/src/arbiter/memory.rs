//! An arbiter in memory, shared by the members of one process. Tests make it misbehave: away, slow, or silent about what became of a swap.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use holdfast_core::{Version, View};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::{Arbiter, ArbiterError, Shown, Swap};

/// What to do with a swap instead of answering it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Carry it out, and call it unknown.
    AppliedUnknown,
    /// Do not carry it out, and call it unknown.
    LostUnknown,
}

/// A register in memory. Clones share it, its faults and the way to it.
#[derive(Clone, Debug)]
pub struct MemoryArbiter {
    register: Arc<watch::Sender<Shown>>,
    faults: Arc<Mutex<Faults>>,
    is_cut: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Faults {
    away: bool,
    delay: Duration,
    mishaps: VecDeque<Mishap>,
}

impl Default for MemoryArbiter {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryArbiter {
    /// A register in which no view has been founded.
    #[must_use]
    pub fn new() -> Self {
        Self {
            register: Arc::new(watch::Sender::new(Shown { view: View::unfounded(0), copies: None })),
            faults: Arc::default(),
            is_cut: Arc::default(),
        }
    }

    /// What it holds, whatever the faults.
    #[must_use]
    pub fn view(&self) -> View {
        self.register.borrow().view.clone()
    }

    /// Asks for this number of copies.
    pub fn set_copies(&self, copies: u8) {
        self.register.send_modify(|shown| shown.copies = Some(copies));
    }

    /// Takes it away, or brings it back.
    pub fn set_away(&self, away: bool) {
        self.faults().away = away;
    }

    /// Another way to the same register, which can be cut without the others.
    #[must_use]
    pub fn another_way(&self) -> Self {
        Self { is_cut: Arc::default(), ..self.clone() }
    }

    /// Cuts this way to the register, or restores it.
    pub fn set_cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Relaxed);
    }

    /// Makes every call take this long.
    pub fn set_delay(&self, delay: Duration) {
        self.faults().delay = delay;
    }

    /// Lets this happen to the next swap that is not spoken for yet.
    pub fn next_swap(&self, mishap: Mishap) {
        self.faults().mishaps.push_back(mishap);
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn reach(&self) -> bool {
        let delay = self.faults().delay;
        sleep(delay).await;
        !self.faults().away && !self.is_cut.load(Ordering::Relaxed)
    }

    fn compare_and_swap(&self, expected: Version, new: View) -> Swap {
        let mut outcome = Swap::Done;
        self.register.send_if_modified(|shown| {
            if shown.view.version == expected {
                shown.view = new;
                return true;
            }
            outcome = Swap::Conflict(shown.view.clone());
            false
        });
        outcome
    }
}

impl Arbiter for MemoryArbiter {
    fn read(&self) -> BoxFuture<'_, Result<Shown, ArbiterError>> {
        async move { if self.reach().await { Ok(self.register.borrow().clone()) } else { Err(ArbiterError::Timeout { millis: 0 }) } }
            .boxed()
    }

    fn swap(&self, expected: Version, new: View) -> BoxFuture<'_, Swap> {
        async move {
            if !self.reach().await {
                return Swap::Unknown;
            }
            let mishap = self.faults().mishaps.pop_front();
            match mishap {
                Some(Mishap::LostUnknown) => Swap::Unknown,
                Some(Mishap::AppliedUnknown) => {
                    self.compare_and_swap(expected, new);
                    Swap::Unknown
                }
                None => self.compare_and_swap(expected, new),
            }
        }
        .boxed()
    }

    fn watch(&self, views: mpsc::Sender<Shown>) -> BoxFuture<'_, ()> {
        async move {
            let mut changes = self.register.subscribe();
            loop {
                let shown = changes.borrow_and_update().clone();
                if self.reach().await && views.send(shown).await.is_err() {
                    return;
                }
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    () = views.closed() => return,
                }
            }
        }
        .boxed()
    }

    /// This one is never lost.
    fn hold(&self, _: Option<Arc<View>>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(view: &View) -> View {
        let mut next = view.clone();
        next.version.epoch += 1;
        next
    }

    #[tokio::test]
    async fn only_the_first_of_two_swaps_succeeds() {
        let arbiter = MemoryArbiter::new();
        let view = arbiter.read().await.expect("there").view;
        assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Done);
        assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Conflict(next(&view)));
    }

    #[tokio::test]
    async fn an_unknown_outcome_can_be_either() {
        let arbiter = MemoryArbiter::new();
        let view = arbiter.view();
        arbiter.next_swap(Mishap::LostUnknown);
        arbiter.next_swap(Mishap::AppliedUnknown);
        assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Unknown);
        assert_eq!(arbiter.view(), view);
        assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Unknown);
        assert_eq!(arbiter.view(), next(&view));
    }

    #[tokio::test]
    async fn while_it_is_away_nothing_is_read_or_written() {
        let arbiter = MemoryArbiter::new();
        let view = arbiter.view();
        arbiter.set_away(true);
        assert!(arbiter.read().await.is_err());
        assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Unknown);
        arbiter.set_away(false);
        assert_eq!(arbiter.read().await.expect("back").view, view);
    }

    #[tokio::test]
    async fn a_cut_way_leaves_the_others() {
        let arbiter = MemoryArbiter::new();
        let other = arbiter.another_way();
        other.set_cut(true);
        assert!(other.read().await.is_err());
        assert_eq!(arbiter.read().await.expect("there").view, other.view());
    }

    #[tokio::test]
    async fn a_change_is_seen_by_whoever_watches() {
        let arbiter = MemoryArbiter::new();
        let (views, mut seen) = mpsc::channel(4);
        let watching = tokio::spawn({
            let arbiter = arbiter.clone();
            async move { arbiter.watch(views).await }
        });
        let first = seen.recv().await.expect("what is there").view;
        arbiter.swap(first.version, next(&first)).await;
        assert_eq!(seen.recv().await, Some(Shown { view: next(&first), copies: None }));
        arbiter.set_copies(2);
        assert_eq!(seen.recv().await.and_then(|shown| shown.copies), Some(2));
        drop(seen);
        watching.await.expect("ends with its receiver");
    }
}
