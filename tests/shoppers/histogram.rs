//! Latencies in buckets that grow by a twentieth: a percentile is right within 5 %, at a fixed size however many requests.

use std::time::Duration;

const GROWTH: f64 = 1.05;
/// 1.05 to the 380th is a hundred seconds in microseconds: longer than any user waits.
const BUCKETS: usize = 380;

/// How long requests took.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], longest: Duration::ZERO }
    }
}

impl Histogram {
    pub(super) fn record(&mut self, took: Duration) {
        let micros = took.as_secs_f64() * 1e6;
        let bucket = if micros <= 1.0 { 0 } else { (micros.ln() / GROWTH.ln()).ceil() as usize };
        self.counts[bucket.min(BUCKETS - 1)] += 1;
        self.longest = self.longest.max(took);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.longest = self.longest.max(other.longest);
    }

    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// The time within which `share` (0 to 1) of the requests were answered; zero if there was none.
    pub(super) fn percentile(&self, share: f64) -> Duration {
        let all: u64 = self.counts.iter().sum();
        let wanted = ((all as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_secs_f64(GROWTH.powi(bucket as i32) / 1e6).min(self.longest);
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_a_twentieth() {
        let mut histogram = Histogram::default();
        for ms in 1..=1000 {
            histogram.record(Duration::from_millis(ms));
        }
        for (share, ms) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let seen = histogram.percentile(share).as_secs_f64() * 1e3;
            assert!((ms..=ms * 1.05).contains(&seen), "{share}: {seen} ms");
        }
        assert_eq!(histogram.longest(), Duration::from_secs(1));
    }

    #[test]
    fn nothing_recorded_is_zero_and_extremes_have_a_place() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(0.99), Duration::ZERO);
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_secs(100_000));
        assert_eq!(histogram.longest(), Duration::from_secs(100_000));
        let mut both = Histogram::default();
        both.merge(&histogram);
        assert!(both.percentile(0.5) <= Duration::from_micros(1));
    }
}
