//! A real Kubernetes on this machine: control plane and nodes in network namespaces, with real kubelets on real containerd.
//! [`Cluster`] is what tests and the demo use; the command `cluster` is the same for people.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use holdfast_tests::cluster::{Cluster, Options};
//!
//! let cluster = Cluster::up(Options::default()).await?;
//! println!("{}", cluster.kubectl(["get", "nodes"]).await?);
//! cluster.down().await?;
//! # Ok(())
//! # }
//! ```

pub mod addresses;
pub mod archive;
pub mod forward;
pub mod process;

mod addons;
mod cgroups;
mod containers;
mod control_plane;
mod down;
mod faults;
mod handle;
mod images;
mod inside;
mod namespaces;
mod network;
mod node;
mod packages;
mod partition;
mod pki;
mod programs;
mod selftest;
mod slow_link;
mod state;
mod status;
mod topology;
mod tunnel;
mod up;

pub use forward::Forward;
pub use handle::{Cluster, Error, Options, Program, logs, names, remove};
pub use inside::Inside;
pub use selftest::selftest;
pub use status::{Machine, Status, status};
