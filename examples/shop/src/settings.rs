//! What the shop is told by its environment.

use std::net::IpAddr;
use std::time::Duration;

use clap::Parser;

/// A small web shop with its cart in the session.
#[derive(Parser, Debug, Clone)]
#[command(version)]
pub(crate) struct Settings {
    /// Where the session library stores sessions.
    #[arg(long, env = "REDIS_URL", default_value = "redis://127.0.0.1:6379")]
    pub(crate) redis_url: String,
    /// The address to listen on.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0")]
    pub(crate) listen: IpAddr,
    /// The port to listen on.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub(crate) port: u16,
    /// The name shown on the page; the host's name if absent.
    #[arg(long, env = "HOLDFAST_MEMBER")]
    pub(crate) member: Option<String>,
    /// How long running requests may take after SIGTERM, in seconds.
    #[arg(long, env = "SHUTDOWN_SECONDS", default_value_t = 20)]
    pub(crate) shutdown_seconds: u64,
    /// What to log, in the syntax of RUST_LOG.
    #[arg(long, env = "RUST_LOG", default_value = "info,tower_sessions_core=error")]
    pub(crate) log: String,
}

impl Settings {
    /// The name of what serves: the pod's, or the host's outside Kubernetes.
    pub(crate) fn pod_name(&self) -> String {
        self.member.clone().unwrap_or_else(|| {
            std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
        })
    }

    pub(crate) fn shutdown_limit(&self) -> Duration {
        Duration::from_secs(self.shutdown_seconds)
    }
}
