//! The sub-command `run`: a node with the Redis protocol as its front door, until it is told to end.

use std::io;
use std::sync::Arc;

use anyhow::Context;
use holdfast_process::metrics;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Settings;
use crate::memory;
use crate::node::Node;
use crate::redis;
use crate::thread::OwnThread;

/// Runs a member until `shutdown`, then leaves the cluster.
///
/// # Errors
/// When a setting is wrong, a door cannot be opened, or there is no client for the API server to be had.
pub async fn run(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let settings = Settings { memory_bytes: settings.memory_bytes.or_else(memory::limit), ..settings };
    let config = settings.check()?;
    let redis = redis::Server::bind(front_door(&config.settings).await?).await?;
    let more = (1..config.settings.threads).map(|n| OwnThread::start(&format!("redis-{n}"))).collect::<io::Result<Vec<_>>>();
    let more = more.context("cannot start the threads for connections of the Redis protocol")?;
    let redis = redis.across(more.iter().map(|thread| thread.handle().clone()).collect());
    let mut node = Node::start(&config, metrics::install()?, Arc::new(())).await?;
    node.attend(|sessions, closing| redis.run(sessions, closing));
    let has_ended = tokio::select! {
        () = node.ended() => true,
        () = shutdown.cancelled() => false,
    };
    if has_ended {
        // Drained before it had joined. The application ends first, and this process when it is told to.
        warn!("the member has left; waiting to be ended");
        shutdown.cancelled().await;
    }
    node.leave().await;
    Ok(())
}

async fn front_door(settings: &Settings) -> anyhow::Result<redis::Settings> {
    let users = match &settings.redis_users_file {
        Some(path) => Some(redis::Users::open(path).await.context("HOLDFAST_REDIS_USERS_FILE is not right")?),
        None => None,
    };
    Ok(redis::Settings {
        listen: settings.redis_listen,
        socket: Some(settings.redis_socket.clone()),
        max_bytes: settings.max_bytes,
        timeout: settings.redis_timeout.as_secs(),
        users,
        cluster: settings.cluster.clone(),
        namespace: settings.namespace.clone(),
        member: settings.pod_name.clone(),
        ..redis::Settings::default()
    })
}
