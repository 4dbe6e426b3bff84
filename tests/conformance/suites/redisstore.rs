//! The tests of redisstore, a store of gorilla/sessions with go-redis.

use std::time::Duration;

use crate::suite::{Suite, Tests};
use crate::{browser, go, junit};

const PACKAGES: &[&str] = &["github.com/rbcervilla/redisstore/v9"];

pub(crate) const SUITE: Suite = Suite {
    name: "redisstore",
    library: "redisstore 9.0.0 (go-redis)",
    programs: &[browser::PROGRAM],
    sources: go::SOURCES,
    install: |_| go::install(PACKAGES),
    files: &browser::FILES,
    tests: Tests {
        ports: &[6379],
        run: |bench| vec![go::test(bench, PACKAGES)],
        read: junit::read,
        left_out: include_str!("../left_out/redisstore.yaml"),
        limit: Duration::from_secs(300),
    },
    user: |folder| go::application(folder, "redisstore"),
};
