//! What the operator remembers between two passes over a cluster. Losing it costs a few requests, nothing else: all that matters is at the API
//! server.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::apply::Ledger;

/// The first wait after a failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// What is remembered of one cluster.
#[derive(Debug, Default)]
pub struct Memory {
    /// What was applied.
    pub ledger: Ledger,
    /// When the operator last tried to create the Secret.
    pub secret_tried: Option<Instant>,
}

/// What is remembered of all clusters, by UID.
#[derive(Debug, Default)]
pub struct Memories {
    clusters: Mutex<HashMap<String, Memory>>,
    failures: Mutex<HashMap<String, u32>>,
}

impl Memories {
    /// Takes out what is remembered of a cluster, for one pass.
    pub fn take(&self, uid: &str) -> Memory {
        lock(&self.clusters).remove(uid).unwrap_or_default()
    }

    /// Puts it back.
    pub fn put(&self, uid: &str, memory: Memory) {
        lock(&self.clusters).insert(uid.to_owned(), memory);
    }

    /// A pass failed: how long to wait before the next. Twice as long each time, up to a minute.
    pub fn failed(&self, uid: &str) -> Duration {
        let mut failures = lock(&self.failures);
        let count = failures.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        let wait = FIRST_RETRY.saturating_mul(1 << (*count - 1).min(6)).min(LAST_RETRY);
        // Clusters that failed together shall not come back together.
        wait.mul_f64(rand::random_range(0.8..1.0))
    }

    /// A pass succeeded.
    pub fn succeeded(&self, uid: &str) {
        lock(&self.failures).remove(uid);
    }

    /// Forgets clusters that are no more, once there are many of them. `existing` counts the clusters that are.
    pub fn prune(&self, existing: usize, exists: impl Fn(&str) -> bool) {
        let mut clusters = lock(&self.clusters);
        if clusters.len() > 2 * existing + 16 {
            clusters.retain(|uid, _| exists(uid));
            lock(&self.failures).retain(|uid, _| exists(uid));
        }
    }
}

/// A thread that panicked while it held the lock left a map behind that is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_minute_and_start_again_after_a_success() {
        let memories = Memories::default();
        let waits: Vec<Duration> = (0..40).map(|_| memories.failed("a")).collect();
        assert!(waits[0] <= Duration::from_secs(1) && waits[3] > Duration::from_secs(6));
        assert!(waits.iter().all(|wait| *wait <= LAST_RETRY));
        memories.succeeded("a");
        assert!(memories.failed("a") <= Duration::from_secs(1));
    }

    #[test]
    fn clusters_that_are_no_more_are_forgotten() {
        let memories = Memories::default();
        (0..100).for_each(|number| memories.put(&number.to_string(), Memory::default()));
        memories.prune(1, |uid| uid == "7");
        assert_eq!(lock(&memories.clusters).len(), 1);
    }
}
