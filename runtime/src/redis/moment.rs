//! When requests came.

use std::cell::OnceCell;
use std::time::{SystemTime, UNIX_EPOCH};

/// When a batch of requests came: all of it counts as having come at once. The clock is read when this is first asked for, because few commands ask.
#[derive(Debug, Default)]
pub(crate) struct Moment(OnceCell<i64>);

impl Moment {
    /// A moment of before, in milliseconds since 1970.
    pub(crate) fn at(since_1970: i64) -> Moment {
        Moment(OnceCell::from(since_1970))
    }

    /// In milliseconds. A clock before 1970 makes every absolute time one in the future.
    pub(crate) fn since_1970(&self) -> i64 {
        *self.0.get_or_init(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64))
    }
}
