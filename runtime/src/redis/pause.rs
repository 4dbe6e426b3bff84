//! `CLIENT PAUSE`: for a while nothing is done for the clients of this member, or nothing that writes. What a client sends meanwhile waits, and so does the client.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Extent {
    /// Commands that may write.
    Writes,
    /// All commands.
    Everything,
}

/// The pause of a front door.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// What waits, and until when.
    current: watch::Sender<Option<(Extent, Instant)>>,
    /// There was one since it was last called off: most front doors never have one, and each command asks.
    is_begun: AtomicBool,
}

impl Pause {
    /// Begins one. Beside one that is not over the wider one counts, and the later end, as in Redis.
    pub(crate) fn begin(&self, extent: Extent, until: Instant) {
        self.current.send_modify(|current| {
            let (before, end) = current.filter(|(_, end)| *end > Instant::now()).unwrap_or((extent, until));
            *current = Some((before.max(extent), end.max(until)));
        });
        self.is_begun.store(true, Relaxed);
    }

    /// Calls it off.
    pub(crate) fn end(&self) {
        self.is_begun.store(false, Relaxed);
        self.current.send_replace(None);
    }

    /// Whether a command has to wait, which may write or not.
    pub(crate) fn holds(&self, is_write: bool) -> bool {
        self.is_begun.load(Relaxed) && self.until(is_write).is_some()
    }

    /// Waits until it need not wait any more.
    pub(crate) async fn over(&self, is_write: bool) {
        let mut changes = self.current.subscribe();
        while let Some(until) = self.until(is_write) {
            // Whether it was changed or is over is looked at next.
            let _ = timeout_at(until, changes.changed()).await;
        }
    }

    fn until(&self, is_write: bool) -> Option<Instant> {
        let (extent, until) = (*self.current.borrow())?;
        let is_meant = is_write || extent == Extent::Everything;
        (is_meant && until > Instant::now()).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn the_wider_pause_and_the_later_end_count() {
        let pause = Pause::default();
        pause.begin(Extent::Writes, after(100));
        assert!(pause.holds(true) && !pause.holds(false));
        pause.begin(Extent::Everything, after(10));
        assert!(pause.holds(false));
        let began = Instant::now();
        pause.over(false).await;
        assert_eq!(began.elapsed().as_millis(), 100);
        pause.begin(Extent::Writes, after(100));
        assert!(!pause.holds(false), "the one that is over does not count");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_is_called_off_lets_everybody_go_on() {
        let pause = Pause::default();
        pause.begin(Extent::Everything, after(3_600_000));
        let end = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            pause.end();
        };
        let began = Instant::now();
        tokio::join!(pause.over(false), pause.over(true), end);
        assert_eq!(began.elapsed().as_millis(), 5);
        assert!(!pause.holds(true));
    }
}
