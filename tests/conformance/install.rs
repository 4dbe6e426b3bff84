//! A suite's folder in the cache: made once for each version of what is installed in it, whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use holdfast_support::lock::Lock;
use holdfast_support::progress::Progress;
use holdfast_support::{apt, cache};

use crate::suite::{Files, Suite};

/// Downloads and builds.
const PATIENCE: Duration = Duration::from_secs(900);

/// Where the folder says what is installed in it; written last.
const INSTALLED: &str = "installed";

/// The suite's folder, with everything in it.
pub(crate) async fn ensure(suite: &Suite, progress: &Progress) -> anyhow::Result<PathBuf> {
    apt::ensure(suite.programs, progress).await?;
    let all = cache::folder()?.join("conformance");
    let folder = all.join(suite.name);
    let waiting = || progress.note(&format!("another process installs {}: waiting for it", suite.name));
    let _lock = Lock::acquire(&all.join(format!(".{}.lock", suite.name)), PATIENCE, waiting).await?;
    let recipe = recipe(suite, &folder);
    if fs::read_to_string(folder.join(INSTALLED)).ok().as_deref() != Some(&recipe) {
        install(suite, &folder, progress).await.with_context(|| format!("failed to install {}", suite.library))?;
        fs::write(folder.join(INSTALLED), recipe).with_context(|| format!("cannot write to `{}`", folder.display()))?;
    }
    write(&folder, suite.files)?;
    Ok(folder)
}

async fn install(suite: &Suite, folder: &Path, progress: &Progress) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    write(folder, suite.sources)?;
    let mut step = progress.step(format!("Installing {}", suite.library));
    for run in (suite.install)(folder) {
        step.at(&run.describe());
        run.dir(folder).limit(PATIENCE).output().await?;
    }
    step.done();
    Ok(())
}

fn write(folder: &Path, files: Files) -> anyhow::Result<()> {
    for (name, text) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
        written.with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

/// All that decides what is installed.
fn recipe(suite: &Suite, folder: &Path) -> String {
    let commands = (suite.install)(folder).iter().map(|run| format!("{}\n", run.whole())).collect::<String>();
    let files = suite.sources.iter().map(|(name, text)| format!("== {name}\n{text}\n")).collect::<String>();
    commands + &files
}
