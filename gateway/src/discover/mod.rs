//! The watches of the API server: the members' EndpointSlices and the operator's intent. They only ever add to what is known: an API server that is
//! away, slow or restarting changes nothing, and a list is taken over when it is complete, never half-way.

mod intent_map;
mod slices;
mod tracked;

use std::time::Duration;

use futures::{Stream, TryStreamExt};
use kube::runtime::watcher;
use kube::{Client, Config};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::director::Event;
use crate::meters;

/// The API server ends each watch after this, so a connection that died unseen is noticed soon after.
const WATCH_SECONDS: u32 = 25;

/// A response of the API server, or a part of one, takes at most this. Watches are quiet for [`WATCH_SECONDS`] at most.
const READ: Duration = Duration::from_secs(35);

/// The first pause after a failure, and the longest: a new member should not wait half a minute because the API server was away for one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What to watch.
#[derive(Clone, Debug)]
pub struct Names {
    /// The SessionCluster.
    pub cluster: String,
    /// The Service whose endpoints are the members.
    pub service: String,
    /// The ConfigMap with the intent.
    pub config_map: String,
}

/// A client for the API server that gives up on what does not answer.
///
/// # Errors
/// When the TLS settings or the address cannot be used.
pub fn client(mut config: Config) -> anyhow::Result<Client> {
    config.connect_timeout = Some(Duration::from_secs(2));
    config.read_timeout = Some(READ);
    config.reset_reader_on_write = true;
    Ok(Client::try_from(config)?)
}

/// Watches until the receiver of `events` is gone.
pub async fn run(client: Client, namespace: &str, names: Names, events: mpsc::Sender<Event>) {
    let slices = slices::watch(client.clone(), namespace, &names, events.clone());
    let intent = intent_map::watch(client, namespace, &names, events);
    futures::future::join(slices, intent).await;
}

/// Follows a watch for ever: `take` makes of each of its events what the director should know, if anything.
async fn follow<K>(
    kind: &'static str,
    stream: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>>,
    events: mpsc::Sender<Event>,
    mut take: impl FnMut(watcher::Event<K>) -> Option<Event>,
) {
    let mut stream = std::pin::pin!(stream);
    let (first, longest) = PAUSES;
    let mut pause = first;
    let mut failing = false;
    loop {
        match stream.try_next().await {
            Ok(Some(event)) => {
                // A watch that begins anew is no success yet: its list may fail again and again.
                if !matches!(event, watcher::Event::Init) {
                    if failing {
                        info!(kind, "the watch works again");
                    }
                    (pause, failing) = (first, false);
                }
                let Some(news) = take(event) else { continue };
                if events.send(news).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                meters::watch_error(kind);
                if !failing {
                    warn!(kind, error = &error as &dyn std::error::Error, "the watch failed; what is known stays in use");
                }
                failing = true;
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                pause = (pause * 2).min(longest);
            }
        }
    }
}
