//! The tests of actix-session, with its store in Redis.

use std::time::Duration;

use holdfast_support::command::Run;

use crate::suite::{Files, Suite, Tests};
use crate::{browser, libtest};

const SOURCES: Files = &[
    ("Cargo.toml", include_str!("../programs/actix/Cargo.toml")),
    ("app.rs", include_str!("../programs/actix/app.rs")),
    ("source.py", include_str!("../programs/actix/source.py")),
];

/// Its tests, as its crate has them, run by cargo with these arguments in the suite's folder.
fn cargo(more: &[&str]) -> Run {
    let common = [
        "test",
        "--locked",
        "--target-dir=target",
        "--manifest-path=actix-session/Cargo.toml",
        "--features=redis-session,cookie-session",
        "--lib",
        "--tests",
    ];
    Run::new("cargo", [&common, more].concat())
}

pub(crate) const SUITE: Suite = Suite {
    name: "actix",
    library: "actix-session 0.11.0",
    programs: &[browser::PROGRAM],
    sources: SOURCES,
    install: |_| {
        vec![Run::new("/usr/bin/python3", ["source.py", "actix-session"]), Run::new("cargo", ["build", "--bin=app"]), cargo(&["--no-run"])]
    },
    files: &browser::FILES,
    tests: Tests {
        ports: &[6379],
        run: |bench| vec![cargo(&["--offline", "--no-fail-fast"]).dir(bench.folder)],
        read: libtest::read,
        left_out: include_str!("../left_out/actix.yaml"),
        limit: Duration::from_secs(300),
    },
    user: |folder| browser::run(folder, &["target/debug/app"]),
};
