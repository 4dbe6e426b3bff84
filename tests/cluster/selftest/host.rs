//! What of the host the lab could leave something in, looked at before and after.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::cluster::process::Identity;
use crate::cluster::state;
use crate::cluster::status::belongs_to_a_cluster;

/// Where containerd, kubelet, the network plugins and the volumes leave things on a machine of their own.
const PATHS: [&str; 9] = [
    "/run/containerd",
    "/run/xtables.lock",
    "/opt/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/log/containers",
    "/var/log/pods",
    "/tmp/hostpath_pv",
];

/// The host's settings that kubelet and kube-proxy would change.
const SETTINGS: [&str; 6] = [
    "vm/overcommit_memory",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "net/ipv4/ip_forward",
    "net/netfilter/nf_conntrack_max",
];

/// What there is on the host.
#[derive(Debug)]
pub(super) struct Host {
    paths: BTreeSet<&'static str>,
    settings: Vec<String>,
    /// Processes outside of the host's network namespace: each belongs to some cluster, or to somebody else.
    elsewhere: BTreeSet<(i32, u64)>,
    root: bool,
}

impl Host {
    pub(super) fn look() -> anyhow::Result<Self> {
        let own = fs::read_link("/proc/self/ns/net").context("our own network namespace")?;
        let mut elsewhere = BTreeSet::new();
        for entry in fs::read_dir("/proc").context("the processes")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let network = fs::read_link(entry.path().join("ns/net"));
            if network.is_ok_and(|network| network != own) {
                elsewhere.extend(Identity::of(pid).map(|process| (process.pid, process.started)));
            }
        }
        Ok(Self {
            paths: PATHS.into_iter().filter(|path| Path::new(path).exists()).collect(),
            settings: SETTINGS.map(|name| fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default()).into(),
            elsewhere,
            root: state::root().exists(),
        })
    }

    /// Whether `after` is the same, but for the clusters that others have started meanwhile.
    pub(super) fn compare(&self, after: &Self) -> anyhow::Result<()> {
        let new: Vec<_> = after.paths.difference(&self.paths).collect();
        ensure!(new.is_empty(), "new on the host: {new:?}");
        ensure!(self.settings == after.settings, "settings of the host have changed: {:?}, {:?}", self.settings, after.settings);
        let strangers = after.elsewhere.difference(&self.elsewhere).filter(|(pid, _)| !belongs_to_a_cluster(*pid));
        let strangers: Vec<_> = strangers.collect();
        ensure!(strangers.is_empty(), "processes that nobody owns: {strangers:?}");
        ensure!(self.root || !after.root || !state::State::all()?.is_empty(), "{} is left", state::root().display());
        Ok(())
    }
}
