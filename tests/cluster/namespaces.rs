//! A machine of the lab is a network namespace and a mount namespace. The network namespace is one of `ip netns`; the mount
//! namespace hides /run, /tmp, /var/lib and /var/log of the host behind folders of its own, so that containerd and kubelet leave
//! nothing there and two machines do not meet, and all that is mounted in it goes with it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use holdfast_support::command::{self, Run};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::process::Home;
use super::state::{self, State};

/// Why a namespace could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `ip netns` failed.
    #[error("failed to {action} the network namespace `{name}`")]
    Network {
        /// What was being done.
        action: &'static str,
        /// To which.
        name: String,
        /// What `ip` said.
        #[source]
        source: command::Error,
    },
    /// A network namespace of this name belongs to somebody else.
    #[error("the network namespace `{0}` belongs to a cluster with another HOLDFAST_STATE: choose another name, or end that cluster")]
    Foreign(String),
    /// A mount failed.
    #[error("failed to {action} at {path}")]
    Mount {
        /// What was being done.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A folder could not be made.
    #[error(transparent)]
    State(#[from] state::Error),
}

/// The host's folders that a machine has of its own.
const OWN: [&str; 4] = ["/run", "/var/log", "/var/lib", "/tmp"];

/// Settings of the host that kubelet insists on and would change for the whole host: it is shown files that have them already.
const SHOWN: [(&str, &str); 5] = [
    ("/proc/sys/vm/overcommit_memory", "1"),
    ("/proc/sys/kernel/panic", "10"),
    ("/proc/sys/kernel/panic_on_oops", "1"),
    ("/proc/sys/kernel/keys/root_maxkeys", "1000000"),
    ("/proc/sys/kernel/keys/root_maxbytes", "25000000"),
];

/// The namespaces of one machine.
#[derive(Debug, Clone)]
pub(super) struct Namespaces {
    /// The name of the network namespace.
    pub network: String,
    /// The file that keeps the mount namespace.
    mounts: PathBuf,
    cgroup: String,
}

/// The beginning of the names of all network namespaces of a cluster. A cluster's name has no dot, so no other's begins so.
pub(super) fn prefix(cluster: &str) -> String {
    format!("holdfast.{cluster}.")
}

/// The names of the cluster's network namespaces that exist.
pub(super) fn existing(cluster: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/run/netns") else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&prefix(cluster))).collect()
}

/// Removes a network namespace.
pub(super) async fn remove_network(name: &str) -> Result<(), Error> {
    let gone = Run::new("ip", ["netns", "del", name]).output().await;
    gone.map(drop).map_err(|source| Error::Network { action: "remove", name: name.to_owned(), source })
}

/// Removes the mount that `ip netns` makes for all network namespaces, if there is none in it.
pub(super) fn forget_networks() {
    let folder = "/run/netns";
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none()) {
        // In use after all, or not there: both are well.
        drop(umount2(folder, MntFlags::empty()).map_err(io::Error::from).and_then(|()| fs::remove_dir(folder)));
    }
}

impl Namespaces {
    /// Those of `machine`, which need not exist.
    pub(super) fn of(state: &State, machine: &str) -> Self {
        Self {
            network: format!("{}{machine}", prefix(state.name())),
            mounts: state.path("namespaces").join(machine),
            cgroup: format!("{}/{machine}", super::cgroups::root(state.name())),
        }
    }

    /// The file of the network namespace.
    pub(super) fn network_path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.network)
    }

    /// The arguments with which `nsenter` enters both.
    pub(super) fn enter(&self) -> [String; 2] {
        [format!("--net={}", self.network_path().display()), format!("--mount={}", self.mounts.display())]
    }

    /// The cgroup that has the machine's containers under it.
    pub(super) fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// Where the machine's processes live.
    pub(super) fn home(&self) -> Home {
        let inode = |path: &Path| fs::metadata(path).ok().map(|found| found.ino());
        let network = inode(&self.network_path()).map(|inode| format!("net:[{inode}]"));
        let mounts = inode(&self.mounts).map(|inode| format!("mnt:[{inode}]"));
        Home { namespaces: HashSet::from_iter(network.into_iter().chain(mounts)), cgroup: self.cgroup.clone() }
    }

    /// Makes both. Needs [`prepare`] once before.
    pub(super) async fn create(&self, state: &State, programs: &[PathBuf]) -> Result<(), Error> {
        if self.network_path().exists() {
            return Err(Error::Foreign(self.network.clone()));
        }
        let made = Run::new("ip", ["netns", "add", &self.network]).output().await;
        made.map_err(|source| Error::Network { action: "make", name: self.network.clone(), source })?;
        state.write(self.mounts.strip_prefix(state.dir()).unwrap_or(&self.mounts), "")?;
        let own = state.create(format!("own/{}", self.network))?;
        let kept: Vec<PathBuf> = [state.dir().to_owned()].into_iter().chain(programs.iter().cloned()).collect();
        let (shared_tmp, target) = (state.create("tmp")?, self.mounts.clone());
        let work = move || keep_mount_namespace(&target, move || furnish(&own, &shared_tmp, &kept));
        tokio::task::spawn_blocking(work).await.expect("making a mount namespace does not panic")
    }
}

/// Makes the folder in which mount namespaces are kept. The kernel keeps none on a mount that propagates to others.
pub(super) fn prepare(state: &State) -> Result<(), Error> {
    let path = state.create("namespaces")?;
    let fail = |action| {
        let path = path.clone();
        move |errno: nix::Error| Error::Mount { action, path, source: errno.into() }
    };
    mount(Some(&path), &path, NONE, MsFlags::MS_BIND, NONE).map_err(fail("bind a folder"))?;
    mount(NONE, &path, NONE, MsFlags::MS_PRIVATE, NONE).map_err(fail("make private the mount"))
}

/// Unmounts everything at or under `dir` in this thread's mount namespace.
pub(super) fn unmount_under(dir: &Path) -> Result<(), Error> {
    let mut left = mounts_under(dir)?;
    // The latest first: a mount can lie on another.
    while let Some(path) = left.pop() {
        umount2(&path, MntFlags::MNT_DETACH).map_err(|errno| Error::Mount {
            action: "unmount",
            path: path.clone(),
            source: errno.into(),
        })?;
    }
    Ok(())
}

/// The mounts at or under `dir` in this thread's mount namespace, in the order in which they were made.
pub(super) fn mounts_under(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let fail = |source| Error::Mount { action: "list the mounts", path: dir.to_owned(), source };
    let text = fs::read_to_string("/proc/thread-self/mounts").map_err(fail)?;
    let points = text.lines().filter_map(|line| line.split(' ').nth(1)).map(unescape);
    Ok(points.filter(|point| point.starts_with(dir)).collect())
}

/// A path of /proc/thread-self/mounts: blanks, tabs, newlines and backslashes are octal there.
fn unescape(path: &str) -> PathBuf {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.iter().fold(path.to_owned(), |path, (code, character)| path.replace(code, character)).into()
}

const NONE: Option<&str> = None;

/// Makes a mount namespace, lets `furnish` fill it from the inside, and keeps it in the file `target`.
fn keep_mount_namespace(target: &Path, furnish: impl FnOnce() -> Result<(), Error> + Send + 'static) -> Result<(), Error> {
    let fail = |action| move |source: io::Error| Error::Mount { action, path: target.to_owned(), source };
    let (made_sender, made) = mpsc::channel();
    let (finish, finished) = mpsc::channel::<()>();
    // A thread of its own enters the new namespace and ends in it; a namespace can only be kept from outside of it.
    let thread = std::thread::spawn(move || {
        let entered = unshare(CloneFlags::CLONE_NEWNS).map_err(io::Error::from).map_err(|source| Error::Mount {
            action: "make a mount namespace",
            path: "/".into(),
            source,
        });
        let result = entered.and_then(|()| furnish()).map(|()| nix::unistd::gettid());
        // Both ends are dropped only when the other side has given up; then there is nobody to tell.
        drop(made_sender.send(result));
        let _ = finished.recv();
    });
    let kept = match made.recv() {
        Ok(result) => result.and_then(|thread| {
            let namespace = format!("/proc/self/task/{thread}/ns/mnt");
            mount(Some(namespace.as_str()), target, NONE, MsFlags::MS_BIND, NONE)
                .map_err(io::Error::from)
                .map_err(fail("keep the mount namespace"))
        }),
        Err(_) => Err(fail("make a mount namespace")(io::Error::other("its thread ended"))),
    };
    drop(finish);
    thread.join().expect("making a mount namespace does not panic");
    kept
}

/// Mounts what a machine has of its own. `kept` stays visible at its own place.
fn furnish(own: &Path, shared_tmp: &Path, kept: &[PathBuf]) -> Result<(), Error> {
    let fail = |action, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| Error::Mount { action, path, source }
    };
    let bind = |from: &Path, to: &Path| {
        mount(Some(from), to, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE).map_err(io::Error::from).map_err(fail("bind", to))
    };
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .map_err(io::Error::from)
        .map_err(fail("make private the mounts", Path::new("/")))?;
    // Open before they are hidden, and bound through their descriptors after.
    let opened = kept.iter().map(|path| Ok((path, File::open(path).map_err(fail("open", path))?)));
    let opened = opened.collect::<Result<Vec<_>, Error>>()?;
    // What the host has mounted there, other machines' namespaces among it, must not be kept alive by this one.
    for hidden in OWN.iter().map(|path| mounts_under(Path::new(path))).collect::<Result<Vec<_>, Error>>()?.concat().iter().rev() {
        if !kept.iter().any(|path| path.starts_with(hidden)) {
            umount2(hidden, MntFlags::MNT_DETACH).map_err(io::Error::from).map_err(fail("unmount", hidden))?;
        }
    }
    for (file, value) in SHOWN {
        let shown = own.join(file.trim_start_matches('/').replace('/', "."));
        fs::write(&shown, format!("{value}\n")).map_err(fail("write", &shown))?;
        bind(&shown, Path::new(file))?;
    }
    let sources = OWN.map(|path| match path {
        // The controller manager makes its volumes in /tmp, and the kubelets must find them there.
        "/tmp" => shared_tmp.to_owned(),
        _ => own.join(path.trim_start_matches('/').replace('/', ".")),
    });
    for source in &sources {
        fs::create_dir_all(source).map_err(fail("create", source))?;
    }
    let sources = sources.iter().map(|path| File::open(path).map_err(fail("open", path))).collect::<Result<Vec<_>, Error>>()?;
    let descriptor = |file: &File| PathBuf::from(format!("/proc/thread-self/fd/{}", file.as_raw_fd()));
    for (path, source) in OWN.iter().zip(&sources) {
        bind(&descriptor(source), Path::new(path))?;
    }
    for (path, file) in opened {
        fs::create_dir_all(path).map_err(fail("create", path))?;
        bind(&descriptor(&file), path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_mount_table_is_read_back() {
        assert_eq!(unescape("/a\\040b/c"), Path::new("/a b/c"));
    }

    #[test]
    fn no_cluster_takes_the_namespaces_of_one_with_a_longer_name() {
        let longer = State::new("a-node1").unwrap();
        assert!(!Namespaces::of(&longer, "node1").network.starts_with(&prefix("a")));
    }
}
