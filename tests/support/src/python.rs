//! Python with libraries in pinned versions: a virtual environment, and source distributions unpacked beside it.

use std::path::Path;

use crate::apt::Needed;
use crate::command::Run;

/// What it takes.
pub const PROGRAMS: &[Needed] = &[("/usr/bin/python3", "python3"), ("/usr/share/doc/python3-venv", "python3-venv"), ("tar", "tar")];

/// Installs what `requirements.txt` in the folder asks for, and unpacks these source distributions, given as project, version and the name that its
/// archive has.
#[must_use]
pub fn install(folder: &Path, sources: &[(&str, &str, &str)]) -> Vec<Run> {
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
#[must_use]
pub fn python(folder: &Path, args: &[&str]) -> Run {
    // Bytecode beside the sources would be another run's; the hash seed makes sets and dictionaries come in the same order each time.
    Run::new(folder.join("venv/bin/python"), args)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONHASHSEED", "0")
        .env("PYTHONUNBUFFERED", "1")
}
