//! The small HTTP/1 server behind health, metrics and the admin APIs. Unlike `axum::serve` it bounds the number of connections and the time that a
//! client may take to send its request head, because its port is open to whoever reaches the pod.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Probes, scrapers, gateways' control streams and a person: far below this. Beyond it new connections wait in the listener's backlog.
const CONNECTIONS: usize = 512;

/// The time to send a request's head; also ends idle kept-alive connections.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long answers in progress may take once the server shuts down; an endless stream is cut then.
const GRACE: Duration = Duration::from_secs(2);

/// Binds a TCP listener. `what` is the setting that named the address, for the error.
///
/// # Errors
/// One that names the setting, the address and the cause.
pub async fn bind(what: &str, addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| format!("cannot listen on {addr} ({what})"))
}

/// Serves `router` on a TCP or unix listener until `shutdown`, then lets answers in progress finish for a short while.
pub async fn serve<L: Listener>(mut listener: L, router: Router, shutdown: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let cut = CancellationToken::new();
    let _cut_at_the_end = cut.clone().drop_guard();
    loop {
        let accept = async {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await.0, place)
        };
        let (stream, place) = tokio::select! {
            accepted = accept => accepted,
            () = shutdown.cancelled() => break,
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = graceful.watch(connection);
        let cut = cut.clone();
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    debug!(%error, "an HTTP connection ended early");
                },
                () = cut.cancelled() => {}
            }
        });
    }
    drop(listener);
    // What has not finished by then is cut by the guard.
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_port_in_use_names_the_setting_and_the_address() {
        let first = bind("HOLDFAST_ADMIN_LISTEN", "127.0.0.1:0".parse().expect("an address")).await.expect("a free port");
        let addr = first.local_addr().expect("bound");
        let error = format!("{:#}", bind("HOLDFAST_ADMIN_LISTEN", addr).await.expect_err("in use"));
        assert!(error.contains("HOLDFAST_ADMIN_LISTEN") && error.contains(&addr.to_string()), "{error}");
        assert!(error.contains("in use"), "{error}");
    }

    #[tokio::test]
    async fn an_endless_answer_does_not_hold_up_the_shutdown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let shutdown = CancellationToken::new();
        let endless = get(|| async { Body::new(Endless) });
        let server = tokio::spawn(serve(listener, Router::new().route("/", endless), shutdown.clone()));
        let mut client = TcpStream::connect(addr).await.expect("connects");
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sends");
        let mut first = [0; 12];
        client.read_exact(&mut first).await.expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200");
        shutdown.cancel();
        tokio::time::timeout(GRACE * 2, server).await.expect("ends within the grace").expect("no panic");
    }

    /// A body that never ends and never says anything.
    struct Endless;

    impl axum::body::HttpBody for Endless {
        type Data = axum::body::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }
}
