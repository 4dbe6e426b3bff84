//! A web application with Spring Session and an embedded Tomcat: built by Maven, and driven over HTTP by its own tests.

use std::path::Path;

use holdfast_support::apt::Needed;
use holdfast_support::command::Run;

use crate::browser;
use crate::suite::{Bench, Files};

/// What it takes.
pub(crate) const PROGRAMS: &[Needed] =
    &[browser::PROGRAM, ("java", "openjdk-17-jdk-headless"), ("javac", "openjdk-17-jdk-headless"), ("mvn", "maven")];

/// A file of the application, by its name in the folders of `spring`.
macro_rules! file {
    ($path:literal) => {
        ($path, include_str!(concat!("spring/", $path)))
    };
}

/// Somebody in the shop, with cookies.
pub(crate) const BROWSER: (&str, &str) = file!("src/test/java/dev/holdfast/conformance/Browser.java");

/// The application and its tests.
pub(crate) const SOURCES: Files = &[
    file!("pom.xml"),
    file!("src/main/resources/application.properties"),
    file!("src/main/java/dev/holdfast/conformance/Shop.java"),
    BROWSER,
    file!("src/test/java/dev/holdfast/conformance/Sessions.java"),
    file!("src/test/java/dev/holdfast/conformance/RedisSessionRepositoryTest.java"),
    file!("src/test/java/dev/holdfast/conformance/RedisIndexedSessionRepositoryTest.java"),
];

/// Downloads what it needs, and builds it.
pub(crate) fn install() -> Vec<Run> {
    vec![Run::new("mvn", ["-q", "-B", "-DskipTests", "package"])]
}

/// The tests of this class. There is no network then: all has been downloaded.
pub(crate) fn test(bench: &Bench<'_>, class: &str) -> Run {
    let (class, reports) = (format!("-Dtest={class}"), format!("-Dholdfast.reports={}", bench.reports.display()));
    Run::new("mvn", ["-o", "-B", "surefire:test", &class, &reports]).dir(bench.folder)
}

/// Browsers of the application with this repository.
pub(crate) fn application(folder: &Path, repository: &str) -> Run {
    let repository = format!("--spring.session.redis.repository-type={repository}");
    browser::run(folder, &["java", "-jar", "target/shop.jar", "--server.port=8080", &repository])
}
