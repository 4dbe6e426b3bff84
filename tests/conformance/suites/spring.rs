//! Spring Session with the repository that it takes if nothing is said.

use std::time::Duration;

use crate::suite::{Suite, Tests};
use crate::{browser, junit, spring};

pub(crate) const SUITE: Suite = Suite {
    name: "spring",
    library: "Spring Session 3.5",
    programs: spring::PROGRAMS,
    sources: spring::SOURCES,
    install: |_| spring::install(),
    files: &browser::FILES,
    tests: Tests {
        ports: &[6379],
        run: |bench| vec![spring::test(bench, "RedisSessionRepositoryTest")],
        read: junit::read,
        left_out: include_str!("../left_out/spring.yaml"),
        limit: Duration::from_secs(300),
    },
    user: |folder| spring::application(folder, "default"),
};
