//! What a suite is: a library, how it and its tests get here, and the programs that run them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_support::apt::Needed;
use holdfast_support::command::Run;
pub(crate) use holdfast_support::install::Files;
use holdfast_support::install::{self, Recipe};
use holdfast_support::progress::Progress;

use crate::verdict::Case;

/// A library and its tests. All folders are the suite's own one in the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suite {
    /// What `--only` calls it; also the name of its folder.
    pub(crate) name: &'static str,
    /// The library and its version, for people.
    pub(crate) library: &'static str,
    /// The programs of the system that it needs.
    pub(crate) programs: &'static [Needed],
    /// What it is installed from, besides the commands of `install`: a change installs it anew.
    pub(crate) sources: Files,
    /// The commands that install it, run in the folder one after the other.
    pub(crate) install: fn(&Path) -> Vec<Run>,
    /// Our own files that are used with it: settings, and the program of `user`.
    pub(crate) files: Files,
    /// Its tests.
    pub(crate) tests: Tests,
    /// A program that keeps sessions by the library, as [`crate::killed`] asks for it.
    pub(crate) user: fn(&Path) -> Run,
}

impl Suite {
    /// Its folder, with everything in it.
    pub(crate) async fn ensure(&self, progress: &Progress) -> anyhow::Result<PathBuf> {
        let &Self { name, library: what, programs, sources, install: commands, .. } = self;
        let folder = Recipe { shelf: "conformance", name, what, programs, sources, commands }.ensure(progress).await?;
        install::write(&folder, self.files)?;
        Ok(folder)
    }
}

/// The tests of a library.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tests {
    /// The ports of 127.0.0.1 at which they look for the server.
    pub(crate) ports: &'static [u16],
    /// The commands that run them, one after the other.
    pub(crate) run: fn(&Bench<'_>) -> Vec<Run>,
    /// Reads what they have written to [`Bench::reports`].
    pub(crate) read: fn(&Path) -> anyhow::Result<Vec<Case>>,
    /// The list of [`crate::left_out`].
    pub(crate) left_out: &'static str,
    /// Far longer than each command takes.
    pub(crate) limit: Duration,
}

/// What a run of tests is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bench<'a> {
    /// The suite's folder.
    pub(crate) folder: &'a Path,
    /// The folder for reports.
    pub(crate) reports: &'a Path,
    /// Tests that must not run.
    pub(crate) never_run: &'a [&'a str],
}
