//! Django's own tests of its cache and of the sessions in it, from its source distribution.

use std::time::Duration;

use crate::suite::{Suite, Tests};
use crate::{junit, python};

pub(crate) const SUITE: Suite = Suite {
    name: "django",
    library: "Django 5.2.19",
    programs: python::PROGRAMS,
    sources: &[("requirements.txt", "Django==5.2.19\nredis==8.1.0\nunittest-xml-reporting==4.0.0\n")],
    install: |folder| python::install(folder, &[("django", "5.2.19", "django")]),
    files: &[
        ("holdfast_settings.py", include_str!("../programs/django/holdfast_settings.py")),
        ("keeper.py", include_str!("../programs/keeper.py")),
        ("user.py", include_str!("../programs/django/user.py")),
    ],
    tests: Tests {
        ports: &[6379],
        run: |bench| {
            let classes =
                ["cache.tests.RedisCacheTests", "sessions_tests.tests.CacheSessionTests", "sessions_tests.tests.CacheDBSessionTests"];
            let args = [["runtests.py", "--settings=holdfast_settings", "--parallel=1", "--verbosity=2"].as_slice(), &classes].concat();
            let run = python::python(bench.folder, &args).dir(&bench.folder.join("django-5.2.19/tests"));
            vec![run.env("PYTHONPATH", bench.folder).env("HOLDFAST_REPORTS", bench.reports)]
        },
        read: junit::read,
        left_out: include_str!("../left_out/django.yaml"),
        limit: Duration::from_secs(300),
    },
    user: |folder| python::python(folder, &["user.py"]).dir(folder),
};
