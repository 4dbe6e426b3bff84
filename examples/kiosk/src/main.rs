//! The shop once more, smaller, and without a runtime beside it: this process is the member of its pod, and its sessions are in its own memory and in that of
//! the others. It joins before it serves, and hands over what it has while it still does.

mod app;

use std::io::IsTerminal;

use anyhow::Context;
use holdfast::Member;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(std::env::var("RUST_LOG").as_deref().unwrap_or("info"))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    // Before all else: the first process of a container that does not ask for this signal never gets it.
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let port = port()?;
    let member = Member::from_env().await?;
    let has_joined = tokio::select! {
        joined = member.joined() => joined.map(|()| true)?,
        _ = terminate.recv() => false,
    };
    if has_joined {
        let listener = TcpListener::bind(("0.0.0.0", port)).await.with_context(|| format!("failed to listen on port {port} (PORT)"))?;
        info!(port, "the kiosk is open");
        let drain = member.drain();
        let told_to_end = async move {
            terminate.recv().await;
            info!("closing: sessions are handed over, then running requests are answered");
            if let Err(error) = drain.await {
                warn!(%error, "the others take over what was not handed over");
            }
        };
        axum::serve(listener, app::router(&member)).with_graceful_shutdown(told_to_end).await.context("failed to serve")?;
    }
    Ok(member.leave().await?)
}

fn port() -> anyhow::Result<u16> {
    let text = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    text.parse().with_context(|| format!("PORT is `{text}`, right is a number from 1 to 65535"))
}
