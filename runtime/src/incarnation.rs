//! Numbers for the lives of a member. Only ever compared for equality by the rules; but this one also tells when the process started, on the clock of
//! its own node, so that a container status with a later time proves that the process is gone (see `proof`).

use std::time::{SystemTime, UNIX_EPOCH};

use rand::RngExt;

/// The lowest bits are for counting up: the engine takes the next number each time that it has to join anew.
const COUNTER_BITS: u32 = 10;

/// Keeps two lives apart that start in the same millisecond of a clock that was set back.
const RANDOM_BITS: u32 = 10;

/// The incarnation of a process that starts now.
#[must_use]
pub fn draw() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let random = rand::rng().random_range(0..1_u64 << RANDOM_BITS);
    (since_epoch.as_millis() as u64) << (RANDOM_BITS + COUNTER_BITS) | random << COUNTER_BITS
}

/// When the process with this incarnation started, in whole seconds since 1970.
#[must_use]
pub fn started_second(incarnation: u64) -> i64 {
    ((incarnation >> (RANDOM_BITS + COUNTER_BITS)) / 1000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_start_is_kept_through_a_thousand_attempts_to_join() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
        let incarnation = draw();
        for attempt in [0, 1, 1000] {
            assert!((now..=now + 1).contains(&started_second(incarnation + attempt)));
        }
    }
}
