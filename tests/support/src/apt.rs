//! Debian packages that bring programs. What is missing is installed; on another distribution the message names what to install by hand.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::{self, Run};
use crate::progress::Progress;

/// The search path for the programs of the system: a service's or a cron job's own may lack the sbin folders.
pub const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program (or a file) and the Debian package that has it.
pub type Needed = (&'static str, &'static str);

/// Why programs are not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Packages are missing and this is no Debian.
    #[error("{} not found, and there is no apt-get here: install {}", .programs.join(", "), .packages.join(", "))]
    NoApt {
        /// What is missing.
        programs: Vec<&'static str>,
        /// Where Debian has it.
        packages: Vec<&'static str>,
    },
    /// apt-get failed.
    #[error("failed to install the packages {}", .packages.join(", "))]
    Install {
        /// What was to be installed.
        packages: Vec<&'static str>,
        /// What apt-get said.
        #[source]
        source: command::Error,
    },
    /// apt-get did its work, and yet they are missing.
    #[error("{} not found, although the packages were installed", .0.join(", "))]
    StillMissing(Vec<&'static str>),
}

/// Finds `program` in the folders of `path`.
#[must_use]
pub fn find(program: &str, path: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(PathBuf::from(program)).filter(|file| file.exists());
    }
    path.split(':').map(|folder| Path::new(folder).join(program)).find(|file| file.is_file())
}

fn missing(needed: &[Needed]) -> Vec<Needed> {
    needed.iter().copied().filter(|(program, _)| find(program, SEARCH_PATH).is_none()).collect()
}

/// Makes sure that every program is there.
///
/// # Errors
/// When one is missing and cannot be installed.
pub async fn ensure(needed: &[Needed], progress: &Progress) -> Result<(), Error> {
    let lacking = missing(needed);
    if lacking.is_empty() {
        return Ok(());
    }
    let (programs, mut packages): (Vec<_>, Vec<_>) = lacking.into_iter().unzip();
    packages.dedup();
    if find("apt-get", SEARCH_PATH).is_none() {
        return Err(Error::NoApt { programs, packages });
    }
    let step = progress.step(format!("Installing {}", packages.join(" ")));
    let apt = |args: Vec<&str>| {
        let args = ["-q", "-y", "-o", "DPkg::Lock::Timeout=300"].into_iter().chain(args);
        // RUNLEVEL keeps packages from starting servers of their own.
        let run = Run::new("apt-get", args).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        run.limit(Duration::from_secs(900)).output()
    };
    let install = || apt([&["install", "--no-install-recommends"], packages.as_slice()].concat());
    // The package lists of a fresh machine may be absent or stale: only then are they worth the time that they take.
    if install().await.is_err() {
        let fail = |source| Error::Install { packages: packages.clone(), source };
        apt(vec!["update"]).await.map_err(fail)?;
        install().await.map_err(fail)?;
    }
    let lacking = missing(needed);
    if !lacking.is_empty() {
        return Err(Error::StillMissing(lacking.into_iter().map(|(program, _)| program).collect()));
    }
    step.done();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_search_path_or_by_its_own() {
        assert_eq!(find("/bin/sh", ""), Some("/bin/sh".into()));
        assert!(find("sh", SEARCH_PATH).is_some());
        assert_eq!(find("no-such-program", SEARCH_PATH), None);
    }
}
