//! Suites in Python, run by pytest.

use holdfast_support::command::Run;
pub(crate) use holdfast_support::python::{PROGRAMS, install, python};

use crate::suite::Bench;

/// pytest with a report of this name, in a folder of the suite's.
pub(crate) fn pytest(bench: &Bench<'_>, dir: &str, report: &str, args: &[&str]) -> Run {
    let report = format!("--junitxml={}", bench.reports.join(report).with_extension("xml").display());
    let deselect: Vec<String> = bench.never_run.iter().map(|test| format!("--deselect={}", test.trim_end_matches('*'))).collect();
    let common = ["-m", "pytest", "-o", "junit_family=xunit1", "-p", "no:cacheprovider", "--tb=line", "-q", &report];
    let deselect: Vec<&str> = deselect.iter().map(String::as_str).collect();
    python(bench.folder, &[&common, args, &deselect].concat()).dir(&bench.folder.join(dir)).env("PYTHONPATH", bench.folder)
}
