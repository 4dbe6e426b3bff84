//! The programs of the operating system that the lab calls, and the Debian packages that bring them.

use holdfast_support::apt::{self, Needed};
use holdfast_support::progress::Progress;

/// What the lab needs.
const NEEDED: &[Needed] = &[
    ("containerd", "containerd"),
    ("containerd-shim-runc-v2", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("sysctl", "procps"),
    ("nsenter", "util-linux"),
    ("setsid", "util-linux"),
];

/// Why the machine is not ready for the lab.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Namespaces, mounts and cgroups are root's.
    #[error("the cluster needs root (network namespaces, mounts, cgroups): run this as root, for example with sudo")]
    NotRoot,
    /// Programs are missing.
    #[error(transparent)]
    Apt(#[from] apt::Error),
}

/// Makes sure that this process is root.
pub(super) fn require_root() -> Result<(), Error> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(Error::NotRoot) }
}

/// Makes sure that this process is root and every program is there.
pub(super) async fn ensure(progress: &Progress) -> Result<(), Error> {
    require_root()?;
    Ok(apt::ensure(NEEDED, progress).await?)
}
