//! The connection to the session store: found again soon after it was away, and never a wait without an end.

use std::time::Duration;

use anyhow::Context;
use tower_sessions_redis_store::fred::prelude::*;

/// Several connections, because answers come in the order of the commands: a write that waits for its replica must not
/// hold up everybody else's.
const CONNECTIONS: usize = 8;
/// Longer than the 5 s after which a replicating store gives a write up by itself, so that its own answer is the one seen.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(6);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const RECONNECT_EVERY_MS: u32 = 50;

/// Connects in the background: the shop opens at once, and a command waits for its connection up to its timeout.
///
/// # Errors
/// When the URL cannot be read.
pub(crate) fn connect(url: &str) -> anyhow::Result<Pool> {
    let mut config = Config::from_url(url).context("failed to read REDIS_URL (for example redis://127.0.0.1:6379)")?;
    config.fail_fast = false;
    let pool = Builder::from_config(config)
        .with_connection_config(|connection| {
            connection.connection_timeout = CONNECT_TIMEOUT;
            connection.internal_command_timeout = CONNECT_TIMEOUT;
            connection.tcp.nodelay = Some(true);
            // A write whose connection broke may have been carried out. The session library writes whole records: sent again
            // later, it could undo what the user has done meanwhile through another pod. So it fails, and the user decides.
            connection.max_command_attempts = 1;
        })
        .with_performance_config(|performance| performance.default_command_timeout = COMMAND_TIMEOUT)
        .set_policy(ReconnectPolicy::new_constant(0, RECONNECT_EVERY_MS))
        .build_pool(CONNECTIONS)
        .context("failed to set up the session store's connections")?;
    // Ends with the process; what goes wrong on the way shows in the commands.
    drop(pool.connect());
    Ok(pool)
}
