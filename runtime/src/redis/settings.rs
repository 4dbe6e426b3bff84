//! What is served, where, and to how many.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Redis' own default. An application has some dozen.
const CLIENTS: usize = 10_000;

/// What is served where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The TCP address. There is no password: it has to be on loopback.
    pub listen: SocketAddr,
    /// The unix socket, if one is wanted.
    pub socket: Option<PathBuf>,
    /// The largest value of one session, in bytes.
    pub max_bytes: u64,
    /// The most connections, both ways together.
    pub max_clients: usize,
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
            cluster: String::new(),
            namespace: String::new(),
            member: String::new(),
        }
    }
}
