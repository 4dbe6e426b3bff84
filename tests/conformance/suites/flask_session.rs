//! Flask-Session. The tests of 0.8 are in no registry; those of 0.5, the last source distribution that has any, are run against 0.8.

use std::time::Duration;

use crate::suite::{Suite, Tests};
use crate::{junit, python};

pub(crate) const SUITE: Suite = Suite {
    name: "flask-session",
    library: "Flask-Session 0.8.0",
    programs: python::PROGRAMS,
    sources: &[("requirements.txt", "Flask==3.1.3\nFlask-Session[redis]==0.8.0\nredis==8.1.0\npytest==8.4.2\n")],
    install: |folder| python::install(folder, &[("Flask-Session", "0.5.0", "Flask-Session")]),
    files: &[("keeper.py", include_str!("../programs/keeper.py")), ("user.py", include_str!("../programs/flask-session/user.py"))],
    tests: Tests {
        ports: &[6379],
        run: |bench| vec![python::pytest(bench, "Flask-Session-0.5.0", "tests", &["test_session.py", "-k", "redis"])],
        read: junit::read,
        left_out: include_str!("../left_out/flask-session.yaml"),
        limit: Duration::from_secs(60),
    },
    user: |folder| python::python(folder, &["user.py"]).dir(folder),
};
