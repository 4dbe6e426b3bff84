//! The tests of the stores with redigo: redistore for gorilla/sessions, and that of scs.

use std::time::Duration;

use crate::suite::{Suite, Tests};
use crate::{browser, go, junit};

const PACKAGES: &[&str] = &["github.com/boj/redistore", "github.com/alexedwards/scs/redisstore"];

pub(crate) const SUITE: Suite = Suite {
    name: "redistore",
    library: "redistore 1.4.1 (redigo)",
    programs: &[browser::PROGRAM],
    sources: go::SOURCES,
    install: |_| go::install(PACKAGES),
    files: &browser::FILES,
    tests: Tests {
        ports: &[6379],
        run: |bench| vec![go::test(bench, PACKAGES).env("SCS_REDIS_TEST_DSN", "127.0.0.1:6379")],
        read: junit::read,
        left_out: include_str!("../left_out/redistore.yaml"),
        limit: Duration::from_secs(300),
    },
    user: |folder| go::application(folder, "redistore"),
};
