//! What the lab knows of a cluster on disk, so that any later command can find it, and end it, whatever became of the command
//! that started it. All of it lies in one folder per cluster, in `/var/lib/holdfast` unless HOLDFAST_STATE says otherwise.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_support::lock::{self, Lock};
use serde::{Deserialize, Serialize};

use super::addresses::{Addresses, MAX_NODES, SLOTS};

/// Why the state could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name would not do as the name of a namespace or a folder.
    #[error("cluster name `{0}` will not do: give 1 to 20 of a-z, 0-9 and -, beginning and ending with a letter or digit")]
    Name(String),
    /// The number of nodes is out of range.
    #[error("a cluster of {0} nodes will not do: give 1 to {MAX_NODES}")]
    Nodes(u8),
    /// All address ranges are taken.
    #[error("all {SLOTS} address ranges are in use in {0}: `cluster down --all` frees them")]
    NoSlot(PathBuf),
    /// There is no such cluster.
    #[error("there is no cluster `{0}`: `cluster up` makes one, `cluster status` shows what there is")]
    Unknown(String),
    /// The folder is too deep for the sockets in it.
    #[error("{0} is too long a path: the sockets in it would exceed the 107 bytes that Linux allows (HOLDFAST_STATE chooses another)")]
    TooLong(PathBuf),
    /// A file could not be read or written.
    #[error("failed to {action} {path} (HOLDFAST_STATE chooses another place)")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The record of a cluster is not one.
    #[error("{path} is damaged: `cluster down` removes the cluster")]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Another command works on the same cluster.
    #[error(transparent)]
    Lock(#[from] lock::Error),
}

/// The record of a cluster, written before anything of it is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which addresses it has.
    pub slot: u8,
    /// How many nodes it has.
    pub nodes: u8,
    /// The API server's port on 127.0.0.1.
    pub port: u16,
    /// The boot of the machine in which it was started: nothing of it is left after another.
    pub boot: String,
    /// Whether it has been up: otherwise what there is of it was left by an `up` that failed.
    pub complete: bool,
}

/// The folder of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    name: String,
    dir: PathBuf,
}

/// The folder of all clusters.
pub(super) fn root() -> PathBuf {
    let set = std::env::var_os("HOLDFAST_STATE").filter(|value| !value.is_empty());
    set.map_or_else(|| PathBuf::from("/var/lib/holdfast"), PathBuf::from)
}

/// Removes the folder of all clusters if there is none in it.
pub(super) fn forget_root() {
    // Not empty is no failure: another cluster is there.
    drop(fs::remove_dir(root()));
}

/// Tells this boot of the machine from all others.
pub(super) fn boot() -> Result<String, Error> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    Ok(read(path)?.trim().to_owned())
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Io { action: "read", path: path.into(), source })
}

/// Whether a cluster can have so many nodes.
pub(super) fn check_nodes(nodes: u8) -> Result<(), Error> {
    if (1..=MAX_NODES).contains(&nodes) { Ok(()) } else { Err(Error::Nodes(nodes)) }
}

/// Whether `name` can be a part of the names of namespaces, cgroups and folders.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [name.bytes().next(), name.bytes().last()];
    name.len() <= 20 && ends.iter().all(|end| end.is_some_and(plain)) && name.bytes().all(|byte| plain(byte) || byte == b'-')
}

impl State {
    /// The state of cluster `name`, which need not exist.
    pub fn new(name: &str) -> Result<Self, Error> {
        Self::under(&root(), name)
    }

    fn under(root: &Path, name: &str) -> Result<Self, Error> {
        if !is_name(name) {
            return Err(Error::Name(name.to_owned()));
        }
        let state = Self { name: name.to_owned(), dir: root.join(name) };
        let longest = state.node("node16").join("run/containerd.sock.ttrpc");
        if longest.as_os_str().len() > 107 {
            return Err(Error::TooLong(state.dir));
        }
        Ok(state)
    }

    /// The clusters that there are, or of which something was left.
    pub fn all() -> Result<Vec<Self>, Error> {
        let root = root();
        let fail = |source| Error::Io { action: "list", path: root.clone(), source };
        let entries = match fs::read_dir(&root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fail(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            if let Some(name) = name.to_str().filter(|name| is_name(name))
                && entry.path().is_dir()
            {
                found.push(Self::new(name)?);
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file or folder of the cluster.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.dir.join(relative)
    }

    /// The folder of a machine (a node, or the control plane).
    pub fn node(&self, machine: &str) -> PathBuf {
        self.dir.join("nodes").join(machine)
    }

    /// The kubeconfig for people and tests on this machine.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// Takes the cluster for this process: two commands must not change it at once.
    pub async fn lock(&self, waiting: impl FnOnce()) -> Result<Lock, Error> {
        Ok(Lock::acquire(&root().join(format!(".{}.lock", self.name)), Duration::from_secs(600), waiting).await?)
    }

    /// The record of the cluster, or none when there is no such cluster.
    pub fn load(&self) -> Result<Option<Record>, Error> {
        let path = self.path("cluster.json");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(serde_json::from_str(&text).map_err(|source| Error::Damaged { path, source })?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { action: "read", path, source }),
        }
    }

    /// Writes the record.
    pub fn save(&self, record: &Record) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(record).expect("a record has no map whose keys are not text");
        self.write("cluster.json", text)
    }

    /// Makes a folder of the cluster.
    pub fn create(&self, relative: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let path = self.path(relative);
        fs::create_dir_all(&path).map_err(|source| Error::Io { action: "create", path: path.clone(), source })?;
        Ok(path)
    }

    /// Writes a file of the cluster, whole or not at all, readable by root only: some hold keys.
    pub fn write(&self, relative: impl AsRef<Path>, text: impl AsRef<[u8]>) -> Result<(), Error> {
        let path = self.path(relative);
        let write = || {
            let folder = path.parent().unwrap_or(&self.dir);
            fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            io::Write::write_all(&mut file, text.as_ref())?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|source| Error::Io { action: "write", path: path.clone(), source })
    }

    /// Gives a new cluster its addresses and its port, and records it.
    pub async fn claim(&self, nodes: u8) -> Result<Record, Error> {
        let root = root();
        let lock = Lock::acquire(&root.join(".slots.lock"), Duration::from_secs(60), || {}).await?;
        let mut taken = Vec::new();
        for other in Self::all()? {
            taken.extend(other.load()?.map(|record| record.slot));
        }
        let slot = (0..SLOTS).find(|slot| !taken.contains(slot)).ok_or(Error::NoSlot(root))?;
        let preferred = Addresses::new(slot).expect("the slot is one of them").preferred_port();
        let record = Record { slot, nodes, port: free_port(preferred)?, boot: boot()?, complete: false };
        self.save(&record)?;
        lock.remove()?;
        Ok(record)
    }
}

/// `preferred` if nothing listens on it, else a port that the kernel picks.
fn free_port(preferred: u16) -> Result<u16, Error> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", preferred)).or_else(|_| std::net::TcpListener::bind("127.0.0.1:0"));
    let port = listener.and_then(|listener| Ok(listener.local_addr()?.port()));
    port.map_err(|source| Error::Io { action: "find a free port on", path: "127.0.0.1".into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_leave_its_folder_or_clash_is_refused() {
        for good in ["a", "holdfast", "e2e-1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a.b", "../a", "A", "a-name-of-more-than-20"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_folder_too_deep_for_sockets_is_refused() {
        let deep = PathBuf::from(format!("/{}", "a".repeat(80)));
        assert!(matches!(State::under(&deep, "holdfast"), Err(Error::TooLong(_))));
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::under(dir.path(), "a").unwrap();
        assert_eq!(state.load().unwrap(), None);
        let record = Record { slot: 3, nodes: 2, port: 16446, boot: boot().unwrap(), complete: true };
        state.save(&record).unwrap();
        assert_eq!(state.load().unwrap(), Some(record));
        state.write("cluster.json", "{").unwrap();
        assert!(matches!(state.load(), Err(Error::Damaged { .. })));
    }
}
