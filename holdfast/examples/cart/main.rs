//! A shop's cart on three members in one process: `cargo run --package holdfast --example cart`, and then
//!
//! ```console
//! $ curl -c jar -b jar -X POST localhost:3000/cart/tea
//! $ curl -c jar -b jar localhost:3001/cart
//! ```
//!
//! On a real cluster each of the three is a process of its own. What happens to sessions and members is printed; ctrl-c ends the members one after the other,
//! and each hands over what it has.

mod app;

use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use holdfast::{Loopback, Member};
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;

const PORTS: [u16; 3] = [3000, 3001, 3002];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter("warn").init();
    let cluster = Loopback::new("shop");
    let mut members = Vec::new();
    for (ordinal, port) in PORTS.into_iter().enumerate() {
        let member = cluster.member(u8::try_from(ordinal)?).start()?;
        tell(&member, ordinal);
        // Before the first request, so that a new member never says that it knows no sessions.
        member.joined().await?;
        serve(&member, port).await?;
        members.push(member);
    }
    println!("the shop is at http://localhost:{PORTS:?}; ctrl-c ends it");
    ctrl_c().await?;
    for member in members {
        member.leave().await.context("a member did not leave in order")?;
    }
    Ok(())
}

async fn serve(member: &Member, port: u16) -> anyhow::Result<()> {
    let router = app::router(member, Duration::from_secs(1800))?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await.with_context(|| format!("cannot listen on port {port}"))?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

fn tell(member: &Member, ordinal: usize) {
    let mut events = member.store().events();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            println!("shop-{ordinal}: {event:?}");
        }
    });
}
