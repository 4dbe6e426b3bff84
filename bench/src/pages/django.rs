//! The application in Django: its own cache for Redis, sessions in that cache, gunicorn in front.

use holdfast_support::install::Recipe;
use holdfast_support::python;

use super::frameworks::Framework;

pub(super) const FRAMEWORK: Framework = Framework {
    name: "Django",
    recipe: Recipe {
        shelf: "bench",
        name: "django",
        what: "Django 5.2.19 and gunicorn 27.0.1",
        programs: python::PROGRAMS,
        sources: &[("requirements.txt", "Django==5.2.19\nredis==8.1.0\ngunicorn==27.0.1\n")],
        commands: |folder| python::install(folder, &[]),
    },
    files: &[
        ("app.py", include_str!("../../applications/django/app.py")),
        ("waiting.py", include_str!("../../applications/django/waiting.py")),
    ],
    connections: &[1, 16],
    serve: |folder, port| {
        // Its plain workers close each connection after a page. These keep connections, and run the same synchronous code, each page on a thread.
        let threads = ["--worker-class", "gthread", "--workers", "2", "--threads", "8", "--keep-alive", "60", "--no-control-socket"];
        let bind = format!("127.0.0.1:{port}");
        let gunicorn = ["-m", "gunicorn", "app:application", "--bind", &bind];
        python::python(folder, &[gunicorn.as_slice(), &threads].concat())
    },
    key: |id| Ok(format!(":1:django.contrib.sessions.cache{id}")),
};
