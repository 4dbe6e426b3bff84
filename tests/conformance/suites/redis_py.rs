//! redis-py's own tests of its commands, from its source distribution.

use std::time::Duration;

use crate::suite::{Suite, Tests};
use crate::{junit, python};

const REQUIREMENTS: &str = "redis==8.1.0
pytest==8.4.2
coverage==7.11.0
pytest-asyncio==1.2.0
pytest-timeout==2.4.0
cryptography==46.0.3
numpy==2.3.5
pybreaker==1.4.1
opentelemetry-api==1.39.1
opentelemetry-sdk==1.39.1
PyJWT==2.13.0
redis-entraid==1.2.1
";

pub(crate) const SUITE: Suite = Suite {
    name: "redis-py",
    library: "redis-py 8.1.0",
    programs: python::PROGRAMS,
    sources: &[("requirements.txt", REQUIREMENTS)],
    install: |folder| python::install(folder, &[("redis", "8.1.0", "redis")]),
    files: &[("keeper.py", include_str!("../programs/keeper.py")), ("user.py", include_str!("../programs/redis-py/user.py"))],
    tests: Tests {
        ports: &[6379],
        run: |bench| {
            let files = ["commands", "pipeline", "pubsub", "lock", "connection", "connection_pool", "encoding", "scripting"];
            let files = files.map(|name| format!("tests/test_{name}.py"));
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            vec![python::pytest(bench, "redis-8.1.0", "tests", &files)]
        },
        read: junit::read,
        left_out: include_str!("../left_out/redis-py.yaml"),
        limit: Duration::from_secs(900),
    },
    user: |folder| python::python(folder, &["user.py"]).dir(folder),
};
