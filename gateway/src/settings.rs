//! The settings of the process, from the environment that the operator gives the pod.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use holdfast_api::names;
use holdfast_process::LogOptions;

/// The sticky gateway of a SessionCluster.
#[derive(Debug, Parser)]
#[command(name = "holdfast-gateway", version)]
pub struct Settings {
    /// The SessionCluster.
    #[arg(long, env = "HOLDFAST_CLUSTER")]
    pub cluster: String,
    /// Its namespace.
    #[arg(long, env = "HOLDFAST_NAMESPACE")]
    pub namespace: String,
    /// The name of this pod, for the log.
    #[arg(long, env = "HOLDFAST_POD_NAME", default_value = "")]
    pub pod_name: String,
    /// The Service whose endpoints are the members that are ready; by default the cluster's name with `-app`.
    #[arg(long, env = "HOLDFAST_APP_SERVICE")]
    pub app_service: Option<String>,
    /// The ConfigMap with the operator's intent; by default the cluster's name with `-gateway`.
    #[arg(long, env = "HOLDFAST_CONFIG_MAP")]
    pub config_map: Option<String>,
    /// The file with the admin token.
    #[arg(long, env = "HOLDFAST_ADMIN_TOKEN_FILE", default_value_os_t = PathBuf::from(names::TOKEN_DIR).join(names::TOKEN_KEY))]
    pub admin_token_file: PathBuf,
    /// Where clients connect.
    #[arg(long, env = "HOLDFAST_LISTEN", default_value_t = SocketAddr::from(([0, 0, 0, 0], names::GATEWAY_PORT)))]
    pub listen: SocketAddr,
    /// Where health, metrics and the routing table are.
    #[arg(long, env = "HOLDFAST_ADMIN_LISTEN", default_value_t = SocketAddr::from(([0, 0, 0, 0], names::GATEWAY_ADMIN_PORT)))]
    pub admin_listen: SocketAddr,
    /// Logging.
    #[command(flatten)]
    pub log: LogOptions,
}

impl Settings {
    /// The Service to watch.
    pub fn service(&self) -> String {
        self.app_service.clone().unwrap_or_else(|| names::app_service(&self.cluster))
    }

    /// The ConfigMap to watch.
    pub fn map(&self) -> String {
        self.config_map.clone().unwrap_or_else(|| names::gateway(&self.cluster))
    }
}
