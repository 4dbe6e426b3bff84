//! django-redis' own tests, from its source distribution: once for each kind of client and serializer that it has settings for. Compression is the
//! client's own affair, so one of its five kinds stands for all.

use std::time::Duration;

use crate::suite::{Suite, Tests};
use crate::{junit, python};

const REQUIREMENTS: &str = "Django==5.2.19
django-redis[msgpack]==7.0.0
redis==8.1.0
pytest==9.0.1
pytest-cov==7.0.0
pytest-mock==3.15.1
pytest-xdist==3.8.0
";

/// Each in a process of its own, because Django reads its settings once. The tests without a cache run with each of them.
const SETTINGS: [&str; 5] = ["sqlite", "sqlite_herd", "sqlite_json", "sqlite_msgpack", "sqlite_zlib"];

pub(crate) const SUITE: Suite = Suite {
    name: "django-redis",
    library: "django-redis 7.0.0",
    programs: python::PROGRAMS,
    sources: &[("requirements.txt", REQUIREMENTS)],
    install: |folder| python::install(folder, &[("django-redis", "7.0.0", "django_redis")]),
    files: &[
        ("database_0.py", include_str!("../programs/database_0.py")),
        ("keeper.py", include_str!("../programs/keeper.py")),
        ("user.py", include_str!("../programs/django-redis/user.py")),
    ],
    tests: Tests {
        ports: &[6379],
        run: |bench| {
            let run = |settings: &&str| {
                let chosen = format!("{settings}]");
                let args = ["-p", "database_0", "--numprocesses=0", "--no-cov", "-k", &chosen, "tests"];
                python::pytest(bench, "django_redis-7.0.0", settings, &args)
            };
            SETTINGS.iter().map(run).collect()
        },
        read: junit::read,
        left_out: include_str!("../left_out/django-redis.yaml"),
        limit: Duration::from_secs(300),
    },
    user: |folder| python::python(folder, &["user.py"]).dir(folder),
};
