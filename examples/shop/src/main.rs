//! A small web shop whose cart lives in the session, kept by an ordinary session library in whatever answers the Redis
//! protocol at `REDIS_URL`. It knows nothing of what stands behind that address.

mod cart;
mod catalogue;
mod failure;
mod pages;
mod routes;
mod settings;
mod store;

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower_sessions_redis_store::RedisStore;
use tracing::{error, info, warn};

use crate::routes::Shop;
use crate::settings::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(&settings.log))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!("the shop stops: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let redis = store::connect(&settings.redis_url)?;
    let listener = TcpListener::bind((settings.listen, settings.port))
        .await
        .with_context(|| format!("failed to listen on {}:{} (LISTEN, PORT)", settings.listen, settings.port))?;

    let pod = settings.pod_name();
    info!(%pod, port = settings.port, "the shop is open");
    let router = routes::router(Shop { pod }, RedisStore::new(redis));
    let (closing, closed) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("closing: idle connections end now, running requests are answered first");
        // The receiver is gone only when the server has ended already.
        let _ = closing.send(());
    });

    // A client that never finishes its request must not keep the pod until the kubelet kills it.
    let overdue = async {
        if closed.await.is_ok() {
            tokio::time::sleep(settings.shutdown_limit()).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = server => ended.context("failed to serve")?,
        () = overdue => warn!("gave up waiting for the last requests after {:?}", settings.shutdown_limit()),
    }
    Ok(())
}
