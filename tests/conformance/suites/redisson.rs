//! Redisson's session manager for Tomcat, reading from Redis and from its own memory.

use std::time::Duration;

use crate::suite::{Suite, Tests};
use crate::{browser, junit, spring, tomcat};

pub(crate) const SUITE: Suite = Suite {
    name: "redisson",
    library: "Redisson 3.52 in Tomcat 10.1",
    programs: spring::PROGRAMS,
    sources: tomcat::SOURCES,
    install: |_| spring::install(),
    files: &browser::FILES,
    tests: Tests {
        ports: &[6379],
        run: |bench| vec![tomcat::test(bench)],
        read: junit::read,
        left_out: include_str!("../left_out/redisson.yaml"),
        limit: Duration::from_secs(300),
    },
    user: |folder| tomcat::application(folder, "REDIS"),
};
