//! The controller: which watches exist, and which cluster each of their events is about.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use holdfast_api::{SessionView, names};
use holdfast_process::health::Health;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{self, Action, Config as ControllerConfig};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Controller, Predicate, WatchStreamExt, predicates, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::apply::Applier;
use crate::build::Images;
use crate::children::{Child, Children};
use crate::errors::chain;
use crate::events::Publisher;
use crate::lease::Leadership;
use crate::memory::Memories;
use crate::nodes;
use crate::reconcile::{self, Context, Watched};

/// Events about one cluster that come within this time lead to one pass.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How long passes have to end at shutdown; less than the pod's grace period.
const LAST_PASSES: Duration = Duration::from_secs(10);
/// Clusters that are worked on at once.
const CONCURRENCY: u16 = 8;

/// What the controller is told.
#[derive(Debug)]
pub struct Options {
    /// The only namespace to look at; `None`: all of them.
    pub namespace: Option<String>,
    /// Images of clusters that are created from now on.
    pub images: Images,
    /// Name of this process in Events.
    pub instance: String,
}

/// Watches and reconciles until `shutdown`. While the API server is away the watches go on trying.
pub async fn run(client: Client, options: Options, leadership: Leadership, health: Health, shutdown: CancellationToken) {
    let namespace = options.namespace.as_deref();
    let (resources, writer) = reflector::store();
    let (list, listed) = watch::channel(false);
    let triggers = watcher(scoped::<Watched>(&client, namespace), watcher::Config::default())
        .inspect(move |event| {
            if matches!(event, Ok(watcher::Event::InitDone)) {
                list.send_replace(true);
            }
        })
        .default_backoff()
        .reflect(writer)
        .touched_objects()
        // Our own status updates are no reason to look again. Annotations ask for new certificates.
        .predicate_filter(predicates::generation.combine(predicates::annotations), Default::default());
    let controller = Controller::for_stream(triggers, resources.clone())
        .with_config(ControllerConfig::default().debounce(DEBOUNCE).concurrency(CONCURRENCY))
        .graceful_shutdown_on(shutdown.clone().cancelled_owned())
        .reconcile_all_on(leadership.gained());

    // What the operator owns is watched by its metadata alone: a change there is a reason to look, and the look itself asks the API server.
    let (accounts, controller) = owned(controller, &client, namespace);
    let (roles, controller) = owned(controller, &client, namespace);
    let (bindings, controller) = owned(controller, &client, namespace);
    let (services, controller) = owned(controller, &client, namespace);
    let (config_maps, controller) = owned(controller, &client, namespace);
    let (stateful_sets, controller) = owned(controller, &client, namespace);
    let (deployments, controller) = owned(controller, &client, namespace);
    let (budgets, controller) = owned(controller, &client, namespace);
    let children = Arc::new(Children { accounts, roles, bindings, services, config_maps, stateful_sets, deployments, budgets });

    let views = watcher(scoped::<PartialObjectMeta<SessionView>>(&client, namespace), ours()).default_backoff().touched_objects();
    let pods = watcher(scoped::<PartialObjectMeta<Pod>>(&client, namespace), ours()).default_backoff().touched_objects();
    let (nodes, node_writer) = reflector::store();
    let node_events = watcher(Api::<Node>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(nodes::trim)
        .reflect(node_writer)
        .touched_objects()
        .predicate_filter(|node: &Node| Some(nodes::mark(node)), Default::default());
    let all = resources.clone();
    let controller = controller
        .owns_stream(views)
        .watches_stream(pods, |pod| cluster_of(&pod))
        // A node that dies, comes back or gets another label is rare; which clusters have pods there is for each pass to see.
        .watches_stream(node_events, move |_| everything(&all));

    let (sync, synced) = watch::channel(false);
    let context = Arc::new(Context {
        synced,
        leadership,
        images: options.images,
        nodes: nodes.clone(),
        resources,
        applier: Applier::new(client.clone(), children.clone()),
        publisher: Publisher::new(client.clone(), &options.instance),
        memories: Memories::default(),
        client,
    });
    tokio::spawn(announce(health, listed, nodes, children, sync));
    let passes = controller.run(gated, reconcile::error_policy, context.clone()).for_each(|outcome| async move { log(&outcome) });
    tokio::select! {
        () = passes => {}
        // kube's controller ends its passes first, but waits for its first list for ever. A pass that is cut off is harmless: the next one, here or in
        // another replica, starts from what is at the API server.
        () = async {
            shutdown.cancelled().await;
            if *context.synced.borrow() {
                tokio::time::sleep(LAST_PASSES).await;
                tracing::warn!("passes over clusters are cut off by the end of this process");
            }
        } => {}
    }
}

/// A pass that waits for the first answers of the watches: without the nodes every one would look dead, and without the rest everything would be
/// applied once more.
async fn gated(resource: Arc<Watched>, context: Arc<Context>) -> Result<Action, reconcile::Error> {
    let mut synced = context.synced.clone();
    // The only error is that the task below was dropped, and then the process is about to end.
    if synced.wait_for(|synced| *synced).await.is_err() {
        return Ok(Action::await_change());
    }
    reconcile::reconcile(resource, context).await
}

/// Waits for the first answers of all watches and then says so: passes may begin, and the process is ready, leading or not, so that a replica that
/// waits can take over at once.
///
/// Nobody else waits for a store: kube's stores wake only the last of those that do, and the controller itself waits for the resources'.
async fn announce(
    health: Health,
    mut listed: watch::Receiver<bool>,
    nodes: Store<Node>,
    children: Arc<Children>,
    synced: watch::Sender<bool>,
) {
    health.set_started(Ok(()));
    health.set_ready(Err("waiting for the API server's first answers; are the resource definitions installed?".to_owned()));
    let all = async {
        listed.wait_for(|listed| *listed).await.ok()?;
        nodes.wait_until_ready().await.ok()?;
        children.synced().await.ok()
    };
    if all.await.is_some() {
        tracing::info!("all watches are up to date");
        synced.send_replace(true);
        health.set_ready(Ok(()));
    }
}

type Outcome = Result<(ObjectRef<Watched>, Action), controller::Error<reconcile::Error, watcher::Error>>;

fn log(outcome: &Outcome) {
    match outcome {
        Ok((resource, action)) => tracing::debug!(%resource, ?action, "looked at a cluster"),
        // It was deleted in the meantime.
        Err(controller::Error::ObjectNotFound(_)) => {}
        Err(controller::Error::ReconcilerFailed(error, resource)) => {
            tracing::warn!(%resource, error = chain(error), "a pass over a cluster failed, it will be tried again");
        }
        Err(controller::Error::QueueError(error)) => tracing::warn!(error = chain(error), "a watch failed, it will be tried again"),
        Err(error) => tracing::error!(error = chain(error), "the controller failed"),
    }
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Only what carries the operator's labels.
fn ours() -> watcher::Config {
    watcher::Config::default().labels(&format!("{}={},{}", names::MANAGED_BY_LABEL, names::MANAGER, names::CLUSTER_LABEL))
}

/// Adds a watch of a kind that the operator applies, and keeps what it sees.
fn owned<K: Child>(
    controller: Controller<Watched>,
    client: &Client,
    namespace: Option<&str>,
) -> (Store<PartialObjectMeta<K>>, Controller<Watched>) {
    let (store, writer) = reflector::store();
    let stream = watcher(scoped::<PartialObjectMeta<K>>(client, namespace), ours()).default_backoff().reflect(writer).touched_objects();
    (store, controller.owns_stream(stream))
}

/// The cluster that a pod belongs to. Its owner is a StatefulSet or a ReplicaSet, so the label has to tell.
fn cluster_of(pod: &PartialObjectMeta<Pod>) -> Option<ObjectRef<Watched>> {
    let cluster = pod.labels().get(names::CLUSTER_LABEL)?;
    Some(ObjectRef::new(cluster).within(&pod.namespace()?))
}

fn everything(resources: &Store<Watched>) -> Vec<ObjectRef<Watched>> {
    resources.state().iter().map(|resource| ObjectRef::from_obj(&**resource)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options { namespace: None, images: Images { runtime: "r".to_owned(), gateway: "g".to_owned() }, instance: "operator-0".to_owned() }
    }

    #[tokio::test]
    async fn an_operator_that_never_reached_the_api_server_ends_when_it_is_told_to() {
        let away = tower::service_fn(|_: http::Request<kube::client::Body>| async { Err::<http::Response<kube::client::Body>, _>("away") });
        let client = Client::new(away, "default");
        let (health, shutdown) = (Health::new(), CancellationToken::new());
        let running = tokio::spawn(run(client, options(), Leadership::always(), health.clone(), shutdown.clone()));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(health.ready().is_err());
        shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(5), running).await.expect("it ends").expect("without a panic");
    }
}
