//! What the operator tells the gateways: the content of the ConfigMap's `intent.json`. It carries a generation, so that it can be seen whether a
//! gateway follows the latest.

use serde::{Deserialize, Serialize};

use crate::{AffinitySource, names};

/// The operator's wishes. Fields that a newer operator may add are passed over.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayIntent {
    /// Rises by one with each change.
    pub generation: u64,
    /// Name of the gateway's own cookie, which holds the route.
    pub cookie: String,
    /// Where a request carries the application's own session id; the first that is there counts.
    #[serde(default)]
    pub sources: Vec<AffinitySource>,
    /// Port of the members' admin API, where the control stream is.
    pub admin_port: u16,
}

impl Default for GatewayIntent {
    /// What holds until the operator's ConfigMap has been seen.
    fn default() -> Self {
        Self { generation: 0, cookie: names::ROUTE_COOKIE.to_owned(), sources: Vec::new(), admin_port: names::ADMIN_PORT }
    }
}
