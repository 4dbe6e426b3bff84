//! Ends a cluster and everything of it. What there is is found by where it lives, not by what was written down, so that a
//! cluster whose start was cut short goes as completely as any other.

use std::fs;
use std::io;

use super::cgroups;
use super::namespaces::{self, Namespaces};
use super::process::{self, Home};
use super::state::{self, Record, State};

/// Why a cluster did not go completely.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its processes stayed.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// Its namespaces or mounts stayed.
    #[error(transparent)]
    Namespace(#[from] namespaces::Error),
    /// Its cgroups stayed.
    #[error(transparent)]
    Cgroup(#[from] cgroups::Error),
    /// Its folder stayed.
    #[error(transparent)]
    State(#[from] state::Error),
}

/// Where all processes of the cluster live.
pub(super) fn home(state: &State) -> Home {
    let prefix = namespaces::prefix(state.name());
    let machines = namespaces::existing(state.name()).into_iter();
    let machines = machines.filter_map(|network| Some(network.strip_prefix(&prefix)?.to_owned()));
    let homes = machines.map(|machine| Namespaces::of(state, &machine).home());
    Home { namespaces: homes.flat_map(|home| home.namespaces).collect(), cgroup: cgroups::root(state.name()) }
}

/// Removes the cluster. There need not be one. The caller holds its lock.
pub(super) async fn remove(state: &State) -> Result<(), Error> {
    // From here on it is no cluster any more, also if this is cut short.
    if let Ok(Some(record)) = state.load() {
        state.save(&Record { complete: false, ..record })?;
    }
    home(state).clear().await?;
    for name in process::names(state) {
        // Already gone with the others, unless it was killed off in the moment before it entered its namespaces.
        if let Some(process) = process::recorded(state, &name)? {
            process.signal(nix::sys::signal::Signal::SIGKILL);
        }
    }
    for network in namespaces::existing(state.name()) {
        namespaces::remove_network(&network).await?;
    }
    namespaces::unmount_under(state.dir())?;
    cgroups::remove(&cgroups::root(state.name())).await?;
    match fs::remove_dir_all(state.dir()) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(state::Error::Io { action: "remove", path: state.dir().to_owned(), source }.into())
        }
        _ => Ok(()),
    }
}

/// What there is of the cluster, in words; empty when nothing is left.
pub(super) fn leftovers(state: &State) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for process in home(state).residents()? {
        let name = fs::read_to_string(format!("/proc/{}/comm", process.pid)).unwrap_or_default();
        found.push(format!("process {} ({})", process.pid, name.trim()));
    }
    found.extend(namespaces::existing(state.name()).iter().map(|name| format!("network namespace {name}")));
    found.extend(namespaces::mounts_under(state.dir())?.iter().map(|path| format!("mount {}", path.display())));
    let cgroups = cgroups::folders(&cgroups::root(state.name()));
    found.extend(cgroups.iter().map(|path| format!("cgroup {}", path.display())));
    if state.dir().exists() {
        found.push(format!("folder {}", state.dir().display()));
    }
    Ok(found)
}
