//! Web applications in use while members are killed: a program in Python asks them over HTTP, as browsers do.

use std::path::Path;

use holdfast_support::apt::Needed;
use holdfast_support::command::Run;

/// What it takes.
pub(crate) const PROGRAM: Needed = ("/usr/bin/python3", "python3");

/// Files that belong beside the application.
pub(crate) const FILES: [(&str, &str); 2] =
    [("keeper.py", include_str!("programs/keeper.py")), ("browser.py", include_str!("programs/browser.py"))];

/// Browsers of the application that this command starts in the suite's folder. It listens at 127.0.0.1:8080.
pub(crate) fn run(folder: &Path, application: &[&str]) -> Run {
    Run::new("/usr/bin/python3", [["browser.py"].as_slice(), application].concat()).dir(folder)
}
