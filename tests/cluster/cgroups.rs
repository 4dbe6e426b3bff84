//! The cgroups of a cluster's containers: all under one of the cluster's own, in every hierarchy that the machine has (one with
//! cgroup v2, one for each controller with v1).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Why a cgroup could not be read or removed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} the cgroup {path}")]
pub struct Error {
    /// What was being done.
    action: &'static str,
    /// To which.
    path: PathBuf,
    /// What the system said.
    #[source]
    source: io::Error,
}

/// The cgroup that has everything of a cluster under it.
pub(super) fn root(cluster: &str) -> String {
    format!("/holdfast.{cluster}")
}

/// The roots of all hierarchies.
fn hierarchies() -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    if top.join("cgroup.procs").exists() {
        return vec![top.to_owned()];
    }
    let Ok(entries) = fs::read_dir(top) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.join("cgroup.procs").exists()).collect()
}

/// Makes `cgroup` in every hierarchy. kubelet makes the pods' own under it, but not this one.
pub(super) fn create(cgroup: &str) -> Result<(), Error> {
    for top in hierarchies() {
        let mut folder = top;
        for part in cgroup.split('/').filter(|part| !part.is_empty()) {
            delegate(&folder).map_err(|source| Error { action: "delegate controllers from", path: folder.clone(), source })?;
            folder.push(part);
            match fs::create_dir(&folder) {
                Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error { action: "make", path: folder, source });
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Gives the cgroups under `folder` the controllers that it has: with cgroup v2, they have none otherwise.
fn delegate(folder: &Path) -> io::Result<()> {
    let control = folder.join("cgroup.subtree_control");
    if !control.exists() {
        return Ok(());
    }
    let controllers = fs::read_to_string(folder.join("cgroup.controllers"))?;
    let all = controllers.split_whitespace().map(|controller| format!("+{controller}")).collect::<Vec<_>>().join(" ");
    fs::write(control, all)
}

/// The folders of `cgroup` that exist.
pub(super) fn folders(cgroup: &str) -> Vec<PathBuf> {
    let relative = cgroup.trim_start_matches('/');
    hierarchies().into_iter().map(|top| top.join(relative)).filter(|path| path.is_dir()).collect()
}

/// The processes in `cgroup` and under it.
pub(super) fn processes(cgroup: &str) -> Result<Vec<i32>, Error> {
    let mut found = Vec::new();
    for folder in folders(cgroup) {
        collect(&folder, &mut found)?;
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn collect(folder: &Path, found: &mut Vec<i32>) -> Result<(), Error> {
    let fail = |source| Error { action: "read", path: folder.to_owned(), source };
    let text = match fs::read_to_string(folder.join("cgroup.procs")) {
        Ok(text) => text,
        // Removed while we looked: then nothing is in it.
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ENODEV) => return Ok(()),
        Err(error) => return Err(fail(error)),
    };
    found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for child in children(folder) {
        collect(&child, found)?;
    }
    Ok(())
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// Removes `cgroup` and all under it. No process may be left in them.
pub(super) async fn remove(cgroup: &str) -> Result<(), Error> {
    for folder in folders(cgroup) {
        let until = Instant::now() + Duration::from_secs(10);
        // The kernel takes a moment to see that the last process of a cgroup has gone.
        while let Err(source) = remove_tree(&folder) {
            if Instant::now() > until {
                return Err(Error { action: "remove", path: folder, source });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    for child in children(folder) {
        remove_tree(&child)?;
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_that_is_not_there_has_no_processes() {
        assert_eq!(processes("/holdfast.no-such-cluster").unwrap(), Vec::<i32>::new());
    }
}
