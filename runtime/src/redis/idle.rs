//! Connections on which nothing is asked for longer than `timeout`. One timer for all of them, so that a connection has none.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::debug;

use super::context::Front;

/// How often it is looked, so that a connection stays for up to two of these longer.
const STEP: Duration = Duration::from_secs(1);

/// Closes those that are idle for too long, for ever. As in Redis, whoever listens to channels is not idle.
pub(super) async fn close_idle(front: Arc<Front>) {
    let begin = Instant::now();
    let mut steps = interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        steps.tick().await;
        let now = begin.elapsed().as_secs();
        front.clock.store(now, Relaxed);
        let timeout = front.timeout.load(Relaxed);
        if timeout == 0 {
            continue;
        }
        for client in front.clients.all() {
            if client.idle_since().is_some_and(|since| now.saturating_sub(since) > timeout) {
                debug!(client = client.id, "a client asked nothing for {timeout} s");
                client.end();
            }
        }
    }
}
