//! The session handler of phpredis with its locks, as Debian has it, under PHP's own web server. Debian's package has no tests in it, so these are ours.

use std::time::Duration;

use holdfast_support::apt::Needed;

use crate::suite::{Suite, Tests};
use crate::{junit, python};

const PROGRAMS: &[Needed] = &[
    ("/usr/bin/python3", "python3"),
    ("/usr/share/doc/python3-venv", "python3-venv"),
    ("php", "php-cli"),
    ("/usr/share/doc/php-redis", "php-redis"),
];

pub(crate) const SUITE: Suite = Suite {
    name: "php",
    library: "phpredis (Debian 12)",
    programs: PROGRAMS,
    sources: &[("requirements.txt", "pytest==8.4.2\n")],
    install: |folder| python::install(folder, &[]),
    files: &[
        ("keeper.py", include_str!("../programs/keeper.py")),
        ("page.php", include_str!("../programs/php/page.php")),
        ("web.py", include_str!("../programs/php/web.py")),
        ("test_sessions.py", include_str!("../programs/php/test_sessions.py")),
        ("test_settings.py", include_str!("../programs/php/test_settings.py")),
        ("user.py", include_str!("../programs/php/user.py")),
    ],
    tests: Tests {
        ports: &[6379],
        run: |bench| vec![python::pytest(bench, ".", "tests", &["test_sessions.py", "test_settings.py"])],
        read: junit::read,
        left_out: include_str!("../left_out/php.yaml"),
        limit: Duration::from_secs(300),
    },
    user: |folder| python::python(folder, &["user.py"]).dir(folder),
};
