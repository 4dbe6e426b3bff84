//! What is served, where, and to how many.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::users::Users;

/// Redis' own default. An application has some dozen.
const CLIENTS: usize = 10_000;

/// How long nothing comes from a client until it is asked whether it is still there: Redis' own default. A third of that later, three times, it is taken for gone.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(300);

/// What is served where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The TCP address: it has to be on loopback.
    pub listen: SocketAddr,
    /// The unix socket, if one is wanted.
    pub socket: Option<PathBuf>,
    /// The largest value of one session, in bytes.
    pub max_bytes: u64,
    /// The most connections, both ways together.
    pub max_clients: usize,
    /// After how many seconds a client that asks nothing is closed; 0 is never.
    pub timeout: u64,
    /// Who may do anything; without it everybody who reaches the listeners.
    pub users: Option<Users>,
    /// The name of the SessionCluster, for `INFO`.
    pub cluster: String,
    /// Its namespace, for `INFO`.
    pub namespace: String,
    /// The name of this member, for `INFO`.
    pub member: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 6379)),
            socket: None,
            max_bytes: 1 << 20,
            max_clients: CLIENTS,
            timeout: 0,
            users: None,
            cluster: String::new(),
            namespace: String::new(),
            member: String::new(),
        }
    }
}
