//! Laravel's own tests of its connections, limiters and cache in Redis, from Debian's source of it, and its sessions and locks by both clients.

use std::time::Duration;

use holdfast_support::command::Run;

use crate::suite::{Suite, Tests};
use crate::{browser, debian, junit};

/// Its tests use database 5, and here there is only 0. This one number is changed, in the file of Laravel's that opens their connections.
const CONNECTIONS: &str = "sed \"s/'database' => 5/'database' => 0/\" \
                           /usr/share/php/Illuminate/Foundation/Testing/Concerns/InteractsWithRedis.php > InteractsWithRedis.php";

pub(crate) const SUITE: Suite = Suite {
    name: "laravel",
    library: "Laravel 8.83 (phpredis, Predis)",
    programs: &[
        browser::PROGRAM,
        ("php", "php-cli"),
        ("phpunit", "phpunit"),
        ("/usr/share/doc/php-laravel-framework", "php-laravel-framework"),
        ("/usr/share/doc/php-mockery", "php-mockery"),
        ("/usr/share/doc/php-predis", "php-predis"),
        ("/usr/share/doc/php-redis", "php-redis"),
    ],
    sources: &[],
    install: |_| debian::source("php-laravel-framework").into_iter().chain([Run::new("sh", ["-ec", CONNECTIONS])]).collect(),
    files: &[
        ("bootstrap.php", include_str!("../programs/laravel/bootstrap.php")),
        ("phpunit.xml", include_str!("../programs/laravel/phpunit.xml")),
        ("stores.php", include_str!("../programs/laravel/stores.php")),
        ("SessionTest.php", include_str!("../programs/laravel/SessionTest.php")),
        ("app.php", include_str!("../programs/laravel/app.php")),
        browser::FILES[0],
        browser::FILES[1],
    ],
    tests: Tests {
        ports: &[6379],
        run: |bench| vec![Run::new("phpunit", ["--log-junit".as_ref(), bench.reports.join("phpunit.xml").as_os_str()]).dir(bench.folder)],
        read: junit::read,
        left_out: include_str!("../left_out/laravel.yaml"),
        limit: Duration::from_secs(300),
    },
    // PHP's own server: as many processes as there are browsers.
    user: |folder| browser::run(folder, &["php", "-S", "127.0.0.1:8080", "app.php"]).env("PHP_CLI_SERVER_WORKERS", "8"),
};
