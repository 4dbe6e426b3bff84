//! fakeredis' tests of each command, from its source distribution, in the form in which they ask a real server for both protocols.

use std::time::Duration;

use crate::suite::{Suite, Tests};
use crate::{junit, python};

const REQUIREMENTS: &str = "fakeredis[lua]==2.41.0
redis==8.1.0
valkey==6.2.0
hypothesis==6.170.17
pytest==8.4.2
pytest-asyncio==1.5.0
pytest-mock==3.17.0
pytest-timeout==2.4.0
";

/// Files about commands that are served in part at least.
const FILES: [&str; 13] = [
    "connection_commands",
    "generic_commands",
    "generic_scan_commands",
    "hash_commands",
    "increx",
    "pubsub_commands",
    "scripting_commands",
    "server_commands",
    "set_commands",
    "sortedset_commands",
    "sortedset_zadd",
    "string_commands",
    "transactions_commands",
];

pub(crate) const SUITE: Suite = Suite {
    name: "fakeredis",
    library: "fakeredis 2.41.0",
    programs: python::PROGRAMS,
    sources: &[("requirements.txt", REQUIREMENTS)],
    install: |folder| python::install(folder, &[("fakeredis", "2.41.0", "fakeredis")]),
    files: &[
        ("database_0.py", include_str!("../programs/database_0.py")),
        ("keeper.py", include_str!("../programs/keeper.py")),
        ("user.py", include_str!("../programs/fakeredis/user.py")),
    ],
    tests: Tests {
        ports: &[6390],
        run: |bench| {
            let files = FILES.map(|name| format!("test/test_mixins/test_{name}.py"));
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            let args = [["-p", "database_0", "-m", "real"].as_slice(), &files].concat();
            vec![python::pytest(bench, "fakeredis-2.41.0", "tests", &args)]
        },
        read: junit::read,
        left_out: include_str!("../left_out/fakeredis.yaml"),
        limit: Duration::from_secs(900),
    },
    user: |folder| python::python(folder, &["user.py"]).dir(folder),
};
