//! The runtime of one member: sockets, timers, DNS, the arbiter's client and the front doors around the rules in `holdfast-core`.
//! The rules decide; everything here carries out, and reports what happened.
//!
//! Without the feature `server` there is only the member itself, for a process that is something else: an application that holds its own sessions. With it
//! come the front doors, the settings from the environment, and all that talks to Kubernetes.

#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod announce;
pub mod arbiter;
pub mod begun;
pub mod broadcast;
mod clock;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod dns;
#[cfg(feature = "server")]
pub mod drain;
pub mod incarnation;
mod links;
pub mod member;
#[cfg(feature = "server")]
pub mod memory;
#[cfg(feature = "server")]
pub mod node;
pub mod peers;
pub mod place;
pub mod proof;
#[cfg(feature = "server")]
pub mod redis;
#[cfg(feature = "server")]
pub mod run;
pub mod session;
#[cfg(feature = "server")]
mod socket;
pub mod status;
pub mod thread;
pub mod tls;
