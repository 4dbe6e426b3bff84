//! Folders in the cache with what is not of the system: made once for each version of what is installed in them, whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::apt::{self, Needed};
use crate::cache;
use crate::command::Run;
use crate::lock::Lock;
use crate::progress::Progress;

/// Downloads and builds.
const PATIENCE: Duration = Duration::from_secs(900);

/// Where the folder says what is installed in it; written last.
const INSTALLED: &str = "installed";

/// Files by their names, compiled in.
pub type Files = &'static [(&'static str, &'static str)];

/// What is installed in one folder, and how.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// The folder of the cache that its own one is in.
    pub shelf: &'static str,
    /// The name of its folder.
    pub name: &'static str,
    /// What it is, with its version, for people.
    pub what: &'static str,
    /// The programs of the system that it needs.
    pub programs: &'static [Needed],
    /// What it is installed from, besides the commands: a change installs it anew.
    pub sources: Files,
    /// The commands that install it, run in the folder one after the other.
    pub commands: fn(&Path) -> Vec<Run>,
}

impl Recipe {
    /// Its folder, with everything in it.
    ///
    /// # Errors
    /// When a program of the system is missing and cannot be installed, another process does not come to its end with this folder, or a command fails.
    pub async fn ensure(&self, progress: &Progress) -> anyhow::Result<PathBuf> {
        apt::ensure(self.programs, progress).await?;
        let shelf = cache::folder()?.join(self.shelf);
        let folder = shelf.join(self.name);
        let waiting = || progress.note(&format!("another process installs {}: waiting for it", self.name));
        let _lock = Lock::acquire(&shelf.join(format!(".{}.lock", self.name)), PATIENCE, waiting).await?;
        let text = self.text(&folder);
        if fs::read_to_string(folder.join(INSTALLED)).ok().as_deref() != Some(&text) {
            self.install(&folder, progress).await.with_context(|| format!("failed to install {}", self.what))?;
            fs::write(folder.join(INSTALLED), text).with_context(|| format!("cannot write to `{}`", folder.display()))?;
        }
        Ok(folder)
    }

    async fn install(&self, folder: &Path, progress: &Progress) -> anyhow::Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        write(folder, self.sources)?;
        let mut step = progress.step(format!("Installing {}", self.what));
        for run in (self.commands)(folder) {
            step.at(&run.describe());
            run.dir(folder).limit(PATIENCE).output().await?;
        }
        step.done();
        Ok(())
    }

    /// All that decides what is installed.
    fn text(&self, folder: &Path) -> String {
        let commands = (self.commands)(folder).iter().map(|run| format!("{}\n", run.whole())).collect::<String>();
        let files = self.sources.iter().map(|(name, text)| format!("== {name}\n{text}\n")).collect::<String>();
        commands + &files
    }
}

/// Writes these files into a folder, in folders of their own where their names say so.
///
/// # Errors
/// When one cannot be written.
pub fn write(folder: &Path, files: Files) -> anyhow::Result<()> {
    for (name, text) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
        written.with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}
