//! Spring Session with the repository that finds sessions by their users, and tells every application when one begins and ends.

use std::time::Duration;

use crate::suite::{Suite, Tests};
use crate::{browser, junit, spring};

pub(crate) const SUITE: Suite = Suite {
    name: "spring-indexed",
    library: "Spring Session 3.5, indexed",
    programs: spring::PROGRAMS,
    sources: spring::SOURCES,
    install: |_| spring::install(),
    files: &browser::FILES,
    tests: Tests {
        ports: &[6379],
        run: |bench| vec![spring::test(bench, "RedisIndexedSessionRepositoryTest")],
        read: junit::read,
        left_out: include_str!("../left_out/spring-indexed.yaml"),
        limit: Duration::from_secs(300),
    },
    user: |folder| spring::application(folder, "indexed"),
};
