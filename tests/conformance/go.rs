//! Session stores in Go: a module with what is pinned, in which the stores' own tests run and a small web application is built.

use std::path::Path;

use holdfast_support::command::Run;

use crate::suite::{Bench, Files};

/// The module. Which store the application has its sessions in, its argument says.
pub(crate) const SOURCES: Files = &[("go.mod", include_str!("programs/go/go.mod")), ("app.go", include_str!("programs/go/app.go"))];

/// Downloads and compiles the application, the tests of these packages, and what runs them.
pub(crate) fn install(packages: &[&str]) -> Vec<Run> {
    let compile = go(&[["test", "-run=^$"].as_slice(), packages].concat());
    vec![go(&["mod", "tidy"]), compile, go(&["tool", "gotestsum", "--version"]), go(&["build", "-o", "app", "."])]
}

/// The tests of these packages, as their modules have them.
pub(crate) fn test(bench: &Bench<'_>, packages: &[&str]) -> Run {
    let report = bench.reports.join("go.xml").display().to_string();
    let common = ["tool", "gotestsum", "--format=testname", "--junitfile", &report, "--", "-count=1", "-p=1"];
    go(&[&common, packages].concat()).dir(bench.folder).env("GOPROXY", "off")
}

/// The application with this store.
pub(crate) fn application(folder: &Path, store: &str) -> Run {
    crate::browser::run(folder, &["./app", store])
}

fn go(args: &[&str]) -> Run {
    Run::new("go", args)
}
