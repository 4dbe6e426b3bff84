//! Time as milliseconds since the process started, so that it fits an atomic and pure code takes it as a plain argument.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A moment, in milliseconds since the first call of [`now`].
pub(crate) type Millis = u64;

/// The present moment.
pub(crate) fn now() -> Millis {
    static START: OnceLock<Instant> = OnceLock::new();
    millis(START.get_or_init(Instant::now).elapsed())
}

/// A span of time in milliseconds; longer than half a billion years counts as that.
pub(crate) fn millis(span: Duration) -> Millis {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The span since an earlier moment.
pub(crate) fn since(earlier: Millis) -> Duration {
    Duration::from_millis(now().saturating_sub(earlier))
}
