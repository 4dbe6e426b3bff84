//! What the layer counts, as Tomcat's `ReplicationValve` does: requests, those that its filters match, and what requests have waited for, with the time that it
//! took. The recorder is the one that there is when the layer is made.

use std::time::Duration;

use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

use crate::error::StoreError;

/// What a request had to be written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// A session that there was not, or under another id.
    Create,
    /// It has changed.
    Change,
    /// It lives on, and is what it was.
    Touch,
    /// It is ended.
    Delete,
}

/// In the order of [`Write`].
const WRITES: [&str; 4] = ["create", "change", "touch", "delete"];

/// The counters of one layer.
#[derive(Debug)]
pub(crate) struct Meters {
    waiting: Counter,
    filtered: Counter,
    writes: [Histogram; WRITES.len()],
    locks: Histogram,
    renewed: Counter,
    primary: Counter,
    foreign: Counter,
}

impl Meters {
    pub(crate) fn new() -> Self {
        describe_counter!("holdfast_layer_requests_total", "Requests, by whether a filter of the layer matched.");
        describe_histogram!(
            "holdfast_layer_write_seconds",
            Unit::Seconds,
            "How long requests waited until all copies had what they wrote into their session, by what that was."
        );
        describe_histogram!("holdfast_layer_lock_seconds", Unit::Seconds, "How long requests waited for the lock of their session.");
        describe_counter!("holdfast_layer_id_changes_total", "Sessions that got another id.");
        describe_counter!("holdfast_layer_primary_total", "Requests of a session, by whether this member owned it before them.");
        describe_counter!("holdfast_layer_errors_total", "Requests whose session could not be locked or written, by reason.");
        Self {
            waiting: counter!("holdfast_layer_requests_total", "filtered" => "false"),
            filtered: counter!("holdfast_layer_requests_total", "filtered" => "true"),
            writes: WRITES.map(|kind| histogram!("holdfast_layer_write_seconds", "kind" => kind)),
            locks: histogram!("holdfast_layer_lock_seconds"),
            renewed: counter!("holdfast_layer_id_changes_total"),
            primary: counter!("holdfast_layer_primary_total", "primary" => "true"),
            foreign: counter!("holdfast_layer_primary_total", "primary" => "false"),
        }
    }

    pub(crate) fn begun(&self, is_filtered: bool) {
        if is_filtered { self.filtered.increment(1) } else { self.waiting.increment(1) }
    }

    /// Copies have acknowledged, or it is known that they will not.
    pub(crate) fn written<T>(&self, write: Write, took: Duration, result: &Result<T, StoreError>) {
        match result {
            Ok(_) => self.writes[write as usize].record(took),
            Err(error) => Self::failed(error),
        }
    }

    pub(crate) fn locked<T>(&self, took: Duration, result: &Result<T, StoreError>) {
        match result {
            Ok(_) => self.locks.record(took),
            Err(error) => Self::failed(error),
        }
    }

    pub(crate) fn renewed(&self) {
        self.renewed.increment(1);
    }

    pub(crate) fn is_primary(&self, is_primary: bool) {
        if is_primary { self.primary.increment(1) } else { self.foreign.increment(1) }
    }

    fn failed(error: &StoreError) {
        let reason = match error {
            StoreError::Refused { .. } => "refused",
            StoreError::Foreign { .. } => "foreign",
            StoreError::Gone => "gone",
            StoreError::LockLost { .. } => "lock_lost",
            StoreError::Busy { .. } => "busy",
            StoreError::NoFreeId { .. } => "no_free_id",
        };
        counter!("holdfast_layer_errors_total", "reason" => reason).increment(1);
    }
}
