//! The suites, one file each.

mod actix;
mod connect_redis;
mod django;
mod django_redis;
mod fakeredis;
mod flask_session;
mod laravel;
mod php;
mod rails;
mod redis_py;
mod redisson;
mod redisstore;
mod redistore;
mod spring;
mod spring_indexed;

use crate::suite::Suite;

/// All of them.
pub(crate) const ALL: &[Suite] = &[
    django::SUITE,
    django_redis::SUITE,
    redis_py::SUITE,
    fakeredis::SUITE,
    flask_session::SUITE,
    php::SUITE,
    laravel::SUITE,
    connect_redis::SUITE,
    spring::SUITE,
    spring_indexed::SUITE,
    redisson::SUITE,
    rails::SUITE,
    redisstore::SUITE,
    redistore::SUITE,
    actix::SUITE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::left_out::LeftOut;

    #[test]
    fn every_list_of_left_out_tests_can_be_read() {
        for suite in ALL {
            LeftOut::parse(suite.tests.left_out).unwrap_or_else(|error| panic!("{}: {error:#}", suite.name));
        }
    }
}
