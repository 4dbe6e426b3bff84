//! Suites in Python: a virtual environment with what is pinned, and source distributions unpacked beside it.

use std::path::Path;

use holdfast_support::apt::Needed;
use holdfast_support::command::Run;

use crate::suite::Bench;

/// What it takes.
pub(crate) const PROGRAMS: &[Needed] = &[("/usr/bin/python3", "python3"), ("/usr/share/doc/python3-venv", "python3-venv"), ("tar", "tar")];

/// Installs the requirements, and unpacks these source distributions, given as project, version and the name that its archive has.
pub(crate) fn install(folder: &Path, sources: &[(&str, &str, &str)]) -> Vec<Run> {
    let mut runs =
        vec![Run::new("/usr/bin/python3", ["-m", "venv", "venv"]), pip(folder, &["install", "--requirement", "requirements.txt"])];
    for (project, version, archive) in sources {
        let wanted = format!("{project}=={version}");
        // Only the project itself as source: not what pip builds its metadata with.
        runs.push(pip(folder, &["download", "--no-deps", &format!("--no-binary={project}"), &wanted]));
        runs.push(Run::new("tar", ["xzf", &format!("{archive}-{version}.tar.gz")]));
    }
    runs
}

fn pip(folder: &Path, args: &[&str]) -> Run {
    let common = ["-m", "pip", "--disable-pip-version-check", "--quiet"];
    python(folder, &[&common, args].concat())
}

/// The environment's Python.
pub(crate) fn python(folder: &Path, args: &[&str]) -> Run {
    // Bytecode beside the sources would be another run's; the hash seed makes sets and dictionaries come in the same order each time.
    Run::new(folder.join("venv/bin/python"), args)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONHASHSEED", "0")
        .env("PYTHONUNBUFFERED", "1")
}

/// pytest with a report of this name, in a folder of the suite's.
pub(crate) fn pytest(bench: &Bench<'_>, dir: &str, report: &str, args: &[&str]) -> Run {
    let report = format!("--junitxml={}", bench.reports.join(report).with_extension("xml").display());
    let deselect: Vec<String> = bench.never_run.iter().map(|test| format!("--deselect={}", test.trim_end_matches('*'))).collect();
    let common = ["-m", "pytest", "-o", "junit_family=xunit1", "-p", "no:cacheprovider", "--tb=line", "-q", &report];
    let deselect: Vec<&str> = deselect.iter().map(String::as_str).collect();
    python(bench.folder, &[&common, args, &deselect].concat()).dir(&bench.folder.join(dir)).env("PYTHONPATH", bench.folder)
}
