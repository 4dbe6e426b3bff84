//! Rails' own tests of its cache in Redis, from Debian's source of it, and sessions over HTTP in each of the stores for Rack and Rails that Debian has.

use std::time::Duration;

use holdfast_support::command::Run;

use crate::suite::{Suite, Tests};
use crate::{browser, debian, junit};

pub(crate) const SUITE: Suite = Suite {
    name: "rails",
    library: "Rails 6.1 (redis-rb 4.8)",
    programs: &[
        browser::PROGRAM,
        ("ruby", "ruby"),
        ("puma", "puma"),
        ("/usr/share/doc/ruby-actionpack", "ruby-actionpack"),
        ("/usr/share/doc/ruby-connection-pool", "ruby-connection-pool"),
        ("/usr/share/doc/ruby-minitest", "ruby-minitest"),
        ("/usr/share/doc/ruby-rack-test", "ruby-rack-test"),
        ("/usr/share/doc/ruby-redis-actionpack", "ruby-redis-actionpack"),
        ("/usr/share/doc/rake", "rake"),
    ],
    sources: &[],
    install: |_| debian::source("rails"),
    files: &[
        ("Gemfile", include_str!("../programs/rails/Gemfile")),
        ("report.rb", include_str!("../programs/rails/report.rb")),
        ("sessions_test.rb", include_str!("../programs/rails/sessions_test.rb")),
        ("app.ru", include_str!("../programs/rails/app.ru")),
        browser::FILES[0],
        browser::FILES[1],
    ],
    tests: Tests {
        ports: &[6379],
        run: |bench| {
            let ruby = |name: &str, args: &[&str]| {
                let report = format!("-r{}", bench.folder.join("report.rb").display());
                let run = Run::new("ruby", [["-W0", "-Itest", &report].as_slice(), args].concat()).env("REDIS_DRIVER", "ruby");
                let run = run.env("BUNDLE_GEMFILE", bench.folder.join("Gemfile")).env("PARALLEL_WORKERS", "1");
                run.env("HOLDFAST_REPORT", bench.reports.join(name))
            };
            vec![
                ruby("rails.xml", &["test/cache/stores/redis_cache_store_test.rb"]).dir(&bench.folder.join("source/activesupport")),
                ruby("sessions.xml", &["sessions_test.rb"]).dir(bench.folder),
            ]
        },
        read: junit::read,
        left_out: include_str!("../left_out/rails.yaml"),
        limit: Duration::from_secs(300),
    },
    user: |folder| browser::run(folder, &["puma", "--bind=tcp://127.0.0.1:8080", "--threads=8:8", "app.ru"]).env("RACK_ENV", "production"),
};
