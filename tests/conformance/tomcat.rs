//! A web application in an embedded Tomcat whose sessions Redisson keeps: built by Maven, and driven over HTTP by its own tests.

use std::path::Path;

use holdfast_support::command::Run;

use crate::suite::{Bench, Files};
use crate::{browser, spring};

/// A file of the application, by its name in the folders of `tomcat`.
macro_rules! file {
    ($path:literal) => {
        ($path, include_str!(concat!("tomcat/", $path)))
    };
}

/// The application and its tests. The browser is that of [`spring`].
pub(crate) const SOURCES: Files = &[
    file!("pom.xml"),
    file!("src/main/java/dev/holdfast/conformance/Shop.java"),
    spring::BROWSER,
    file!("src/test/java/dev/holdfast/conformance/Sessions.java"),
    file!("src/test/java/dev/holdfast/conformance/ReadRedisTest.java"),
    file!("src/test/java/dev/holdfast/conformance/ReadMemoryTest.java"),
];

/// All of its tests. There is no network then: all has been downloaded.
pub(crate) fn test(bench: &Bench<'_>) -> Run {
    let reports = format!("-Dholdfast.reports={}", bench.reports.display());
    Run::new("mvn", ["-o", "-B", "surefire:test", &reports]).dir(bench.folder)
}

/// Browsers of the application, which reads sessions in this way.
pub(crate) fn application(folder: &Path, read_mode: &str) -> Run {
    browser::run(folder, &["java", "-cp", "target/shop.jar:target/libraries/*", "dev.holdfast.conformance.Shop", "8080", read_mode])
}
