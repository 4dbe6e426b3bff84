//! Sessions in the runtime beside the application, by tower-sessions' Redis store.

use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tower_sessions::cookie::time::Duration as Span;
use tower_sessions::{Expiry, Session, SessionManagerLayer};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::*;

use crate::page::router;

/// As in the example of the shop.
const CONNECTIONS: usize = 8;

/// Longer than the store takes until it gives a write up.
const PATIENCE: Duration = Duration::from_secs(6);

/// The pages, with their sessions at this address.
pub(crate) async fn pages(url: &str) -> anyhow::Result<Router> {
    let config = Config::from_url(url).with_context(|| format!("cannot read `{url}`"))?;
    let pool = Builder::from_config(config)
        .with_connection_config(|connection| connection.tcp.nodelay = Some(true))
        .with_performance_config(|performance| performance.default_command_timeout = PATIENCE)
        .build_pool(CONNECTIONS)
        .context("cannot set up connections")?;
    pool.init().await.with_context(|| format!("cannot connect to {url}"))?;
    let store = RedisStore::new(pool);
    let sessions = SessionManagerLayer::new(store).with_secure(false).with_expiry(Expiry::OnInactivity(Span::minutes(30)));
    Ok(router!(Session).layer(sessions))
}
