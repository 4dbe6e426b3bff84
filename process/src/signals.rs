//! The end of the process: SIGTERM from the kubelet, SIGINT from a terminal.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A token that is cancelled at the first SIGTERM or SIGINT. The handlers stand when this returns.
///
/// # Panics
/// Outside a tokio runtime with IO enabled.
#[must_use]
pub fn shutdown() -> CancellationToken {
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM may be handled, and a tokio runtime is running");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT may be handled, and a tokio runtime is running");
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "shutting down");
        cancel.cancel();
    });
    token
}
