//! The application in Rust whose pages are measured, with its sessions in one of two ways: in its own process, which is the member of its pod, or in the
//! runtime beside it.

mod beside;
mod inside;
mod page;

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use clap::Parser;
use mimalloc::MiMalloc;
use tokio::net::TcpListener;

/// As the runtime has it, which is in this process when the application is the member.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Debug, Parser)]
struct Settings {
    /// Where it takes requests.
    #[arg(long, env = "LISTEN")]
    listen: SocketAddr,
    /// Where the sessions are, by the Redis protocol; in this process if not set.
    #[arg(long, env = "REDIS_URL")]
    redis_url: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    match &settings.redis_url {
        Some(url) => serve(settings.listen, beside::pages(url).await?).await,
        None => {
            let member = inside::member().await?;
            serve(settings.listen, inside::pages(&member)).await
        }
    }
}

/// Serves until the process is ended.
async fn serve(address: SocketAddr, router: Router) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    axum::serve(listener, router).await.context("failed to serve")
}
