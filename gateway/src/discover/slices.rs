//! The watch of the members' EndpointSlices.

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::mpsc;

use crate::director::Event;
use crate::discover::tracked::Tracked;
use crate::discover::{Names, WATCH_SECONDS, follow};
use crate::table::endpoint::endpoints;

/// The label that ties a slice to its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

pub(super) async fn watch(client: Client, namespace: &str, names: &Names, events: mpsc::Sender<Event>) {
    let api = Api::<EndpointSlice>::namespaced(client, namespace);
    let config = watcher::Config::default().labels(&format!("{SERVICE_LABEL}={}", names.service)).timeout(WATCH_SECONDS);
    let mut slices = Tracked::new();
    let take = |event| slices.take(event).then(|| Event::Endpoints(endpoints(&names.cluster, slices.objects())));
    follow("endpointslices", watcher(api, config), events, take).await;
}
