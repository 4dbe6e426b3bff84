//! The retry budget: repeated requests may be a fifth of the requests of the last ten seconds, and a few more, so that a cluster in trouble is
//! not finished off by its own gateway. Only retries of what was sent count: a refused connection costs a member nothing.

use std::sync::{Mutex, PoisonError};

use crate::clock::Millis;

/// Seconds that count.
const WINDOW: usize = 10;

/// The requests and retries of the last seconds.
#[derive(Debug)]
pub(crate) struct Budget {
    floor: u64,
    percent: u64,
    seconds: Mutex<Seconds>,
}

#[derive(Debug, Default)]
struct Seconds {
    current: u64,
    slots: [(u64, u64); WINDOW],
}

impl Budget {
    pub(crate) fn new(floor: u64, percent: u64) -> Self {
        Self { floor, percent, seconds: Mutex::default() }
    }

    /// Counts a request.
    pub(crate) fn request(&self, now: Millis) {
        self.with(now, |slots, slot| slots[slot].0 += 1);
    }

    /// Whether one more retry is allowed; if so, it counts.
    pub(crate) fn retry(&self, now: Millis) -> bool {
        self.with(now, |slots, slot| {
            let (requests, retries) = slots.iter().fold((0, 0), |sum, slot| (sum.0 + slot.0, sum.1 + slot.1));
            let allowed = retries < self.floor + requests * self.percent / 100;
            slots[slot].1 += u64::from(allowed);
            allowed
        })
    }

    fn with<T>(&self, now: Millis, act: impl FnOnce(&mut [(u64, u64); WINDOW], usize) -> T) -> T {
        let second = now / 1000;
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = second.saturating_sub(seconds.current);
        for step in 1..=passed.min(WINDOW as u64) {
            let slot = slot_of(seconds.current + step);
            seconds.slots[slot] = (0, 0);
        }
        if passed > WINDOW as u64 {
            seconds.slots = Default::default();
        }
        // Threads may come with times in another order; they then count to the newest second.
        seconds.current = seconds.current.max(second);
        let slot = slot_of(seconds.current);
        act(&mut seconds.slots, slot)
    }
}

fn slot_of(second: u64) -> usize {
    usize::try_from(second % WINDOW as u64).expect("below ten")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(budget: &Budget, now: Millis, tries: usize) -> usize {
        (0..tries).filter(|_| budget.retry(now)).count()
    }

    #[test]
    fn a_fifth_of_the_requests_and_the_floor_may_be_retried() {
        let budget = Budget::new(10, 20);
        assert_eq!(retries(&budget, 0, 100), 10);
        for _ in 0..100 {
            budget.request(500);
        }
        assert_eq!(retries(&budget, 900, 100), 20);
    }

    #[test]
    fn what_is_older_than_ten_seconds_is_forgotten() {
        let budget = Budget::new(10, 20);
        for _ in 0..1000 {
            budget.request(1_500);
        }
        assert_eq!(retries(&budget, 2_000, 1000), 210);
        assert_eq!(retries(&budget, 10_900, 1000), 0);
        assert_eq!(retries(&budget, 12_000, 1000), 10, "both the requests and the retries have passed");
        assert_eq!(retries(&budget, 500_000, 1000), 10);
    }

    #[test]
    fn a_clock_that_is_read_out_of_order_does_no_harm() {
        let budget = Budget::new(1, 0);
        assert_eq!(retries(&budget, 50_000, 5), 1);
        assert_eq!(retries(&budget, 49_000, 5), 0);
    }
}
