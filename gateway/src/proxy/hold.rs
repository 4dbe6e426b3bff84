//! The waiting room: a request for which no member is left waits for one, for a bounded time and in bounded company. A cluster whose only pod
//! restarts, or whose members all refuse for an instant, so costs its users a pause and no error.

use std::time::Duration;

use metrics::Gauge;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;

/// Without any news a request looks again after this.
const LOOK: Duration = Duration::from_millis(100);

/// News may come in bursts; a request looks no more often than this.
const REST: Duration = Duration::from_millis(5);

/// The waiting room.
#[derive(Debug)]
pub(crate) struct Room {
    places: Semaphore,
    longest: Duration,
    /// Counts what may make a member usable again.
    news: watch::Sender<u64>,
    gauge: Gauge,
}

/// A request that waits. Dropping it, as when the client goes away, gives the place back.
pub(crate) struct Held<'a> {
    _place: SemaphorePermit<'a>,
    news: watch::Receiver<u64>,
    deadline: Instant,
    gauge: Gauge,
}

impl Room {
    pub(crate) fn new(places: usize, longest: Duration, gauge: Gauge) -> Self {
        Self { places: Semaphore::new(places), longest, news: watch::Sender::new(0), gauge }
    }

    /// Wakes all who wait.
    pub(crate) fn tell(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A place; `None` if the room is full.
    pub(crate) fn enter(&self) -> Option<Held<'_>> {
        let place = self.places.try_acquire().ok()?;
        self.gauge.increment(1.0);
        Some(Held { _place: place, news: self.news.subscribe(), deadline: Instant::now() + self.longest, gauge: self.gauge.clone() })
    }
}

impl Held<'_> {
    /// Waits for a reason to look again; `false` once the request has waited long enough in all.
    pub(crate) async fn wait(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.deadline {
            return false;
        }
        // News between the request's last look and this wait is not seen here; the regular look covers it.
        let look = (now + LOOK).min(self.deadline);
        let _ = tokio::time::timeout_at(look, self.news.changed()).await;
        tokio::time::sleep_until((now + REST).min(self.deadline)).await;
        true
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(places: usize) -> Room {
        Room::new(places, Duration::from_secs(5), Gauge::noop())
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_looks_again_at_news_and_gives_up_in_the_end() {
        let room = room(1);
        let start = Instant::now();
        let mut held = room.enter().expect("a place");
        room.tell();
        assert!(held.wait().await);
        assert_eq!(start.elapsed(), REST);
        let mut looks = 1;
        while held.wait().await {
            looks += 1;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        assert!(looks < 60, "{looks}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_room_is_bounded_and_a_place_is_given_back() {
        let room = room(2);
        let first = room.enter();
        let second = room.enter();
        assert!(first.is_some() && second.is_some() && room.enter().is_none());
        drop(second);
        assert!(room.enter().is_some());
    }
}
