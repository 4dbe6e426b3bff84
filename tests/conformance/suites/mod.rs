//! The suites, one file each.

mod django;
mod django_redis;
mod fakeredis;
mod flask_session;
mod php;
mod redis_py;

use crate::suite::Suite;

/// All of them.
pub(crate) const ALL: &[Suite] = &[django::SUITE, django_redis::SUITE, redis_py::SUITE, fakeredis::SUITE, flask_session::SUITE, php::SUITE];
