//! Whole passes against an API server that counts what is asked of it.

use kube::core::PartialObjectMeta;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{reflector, watcher};
use serde_json::{Value, json};

use super::*;
use crate::children::{Child, Children};
use crate::testing;
use crate::testing::api::FakeApi;

const CLUSTER: &str = "/apis/holdfast.dev/v1alpha1/namespaces/default/sessionclusters/shop";
const VIEW: &str = "/apis/holdfast.dev/v1alpha1/namespaces/default/sessionviews/shop";
const SECRET: &str = "/api/v1/namespaces/default/secrets/shop-admin";
const TLS: &str = "/api/v1/namespaces/default/secrets/shop-tls";
const AUTHORITY: &str = "/api/v1/namespaces/default/secrets/shop-ca";
const MEMBERS: &str = "/apis/apps/v1/namespaces/default/statefulsets/shop";
const GATEWAY: &str = "/apis/apps/v1/namespaces/default/deployments/shop-gateway";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// A kind's watch, fed by hand.
struct Watch<K: Child> {
    path: String,
    writer: Writer<PartialObjectMeta<K>>,
}

impl<K: Child + Default> Watch<K> {
    fn new() -> (Store<PartialObjectMeta<K>>, Self) {
        let (store, writer) = reflector::store();
        (store, Self { path: K::url_path(&(), Some("default")), writer })
    }

    fn catch_up(&mut self, api: &FakeApi) {
        self.writer.apply_watcher_event(&watcher::Event::Init);
        for object in api.list(&self.path) {
            let object =
                PartialObjectMeta { metadata: serde_json::from_value(object["metadata"].clone()).expect("metadata"), ..Default::default() };
            self.writer.apply_watcher_event(&watcher::Event::InitApply(object));
        }
        self.writer.apply_watcher_event(&watcher::Event::InitDone);
    }
}

/// An operator and its API server.
struct Bench {
    api: FakeApi,
    context: Context,
    catch_up: Box<dyn FnMut(&FakeApi)>,
}

impl Bench {
    /// With a SessionCluster of this spec and nothing else.
    fn new(spec: Value) -> Self {
        let api = FakeApi::default();
        api.put(CLUSTER, serde_json::to_value(testing::resource(spec)).expect("serializes"));
        let (accounts, mut accounts_watch) = Watch::new();
        let (roles, mut roles_watch) = Watch::new();
        let (bindings, mut bindings_watch) = Watch::new();
        let (services, mut services_watch) = Watch::new();
        let (config_maps, mut config_maps_watch) = Watch::new();
        let (stateful_sets, mut stateful_sets_watch) = Watch::new();
        let (deployments, mut deployments_watch) = Watch::new();
        let (budgets, mut budgets_watch) = Watch::new();
        let children = Arc::new(Children { accounts, roles, bindings, services, config_maps, stateful_sets, deployments, budgets });
        let catch_up = move |api: &FakeApi| {
            accounts_watch.catch_up(api);
            roles_watch.catch_up(api);
            bindings_watch.catch_up(api);
            services_watch.catch_up(api);
            config_maps_watch.catch_up(api);
            stateful_sets_watch.catch_up(api);
            deployments_watch.catch_up(api);
            budgets_watch.catch_up(api);
        };
        let client = api.client();
        let context = Context {
            synced: watch::channel(true).1,
            leadership: Leadership::always(),
            images: Images { runtime: "runtime:1".to_owned(), gateway: "gateway:1".to_owned() },
            nodes: reflector::store().0,
            resources: reflector::store().0,
            applier: Applier::new(client.clone(), children),
            publisher: Publisher::new(client.clone(), "operator-0"),
            memories: Memories::default(),
            client,
        };
        api.requests();
        Self { api, context, catch_up: Box::new(catch_up) }
    }

    /// One pass, after the watches have caught up.
    async fn pass(&mut self) -> Action {
        (self.catch_up)(&self.api);
        pass(&self.context, "default", "shop").await.expect("the pass gets to its end")
    }

    fn condition(&self, type_: &str) -> (String, String, String) {
        let cluster = self.api.get(CLUSTER).expect("the cluster");
        let conditions = cluster["status"]["conditions"].as_array().expect("conditions").clone();
        let condition = conditions.into_iter().find(|condition| condition["type"] == type_).expect("such a condition");
        let text = |key: &str| condition[key].as_str().expect("text").to_owned();
        (text("status"), text("reason"), text("message"))
    }
}

#[tokio::test]
async fn the_first_pass_makes_everything_and_a_second_one_writes_nothing() {
    let mut bench = Bench::new(json!({}));
    bench.pass().await;
    let made = bench.api.writes();
    // Fourteen objects, the view, the token, two Secrets with certificates, the status, the Event of the creation.
    assert_eq!(made.len(), 20, "{made:#?}");
    let at = |path: &str| made.iter().position(|write| write.ends_with(path)).expect("written");
    assert!(
        made.iter().rposition(|write| write.ends_with("/secrets")) < Some(at("/statefulsets/shop")),
        "no pod starts without: {made:#?}"
    );
    for path in [VIEW, SECRET, TLS, AUTHORITY, MEMBERS, GATEWAY] {
        assert!(bench.api.get(path).is_some(), "{path}");
    }
    assert_eq!(bench.condition(READY).1, "MembersNotReady");
    for _ in 0..3 {
        bench.pass().await;
        assert_eq!(bench.api.writes(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_pass_with_watches_that_lag_behind_changes_nothing_either() {
    let mut bench = Bench::new(json!({}));
    bench.pass().await;
    let before = bench.api.get(MEMBERS);
    pass(&bench.context, "default", "shop").await.expect("the pass gets to its end");
    assert_eq!(bench.api.get(MEMBERS), before);
}

#[tokio::test]
async fn an_object_that_somebody_changed_or_deleted_is_put_right_and_nothing_else() {
    let mut bench = Bench::new(json!({}));
    bench.pass().await;
    bench.api.change(&format!("{SERVICES}/shop-app"), |service| service["metadata"]["labels"]["mine"] = json!("yes"));
    bench.api.remove(&format!("{SERVICES}/shop"));
    bench.api.requests();
    bench.pass().await;
    assert_eq!(bench.api.writes(), [format!("PATCH {SERVICES}/shop-app"), format!("PATCH {SERVICES}/shop")]);
}

#[tokio::test]
async fn the_images_of_a_cluster_outlive_an_upgrade_of_the_operator() {
    let mut bench = Bench::new(json!({}));
    bench.pass().await;
    bench.context.images = Images { runtime: "runtime:2".to_owned(), gateway: "gateway:2".to_owned() };
    bench.context.memories = Memories::default();
    bench.pass().await;
    let image = |path: &str, pointer: &str| bench.api.get(path).expect("there").pointer(pointer).expect("an image").clone();
    assert_eq!(image(MEMBERS, "/spec/template/spec/initContainers/0/image"), "runtime:1");
    assert_eq!(image(GATEWAY, "/spec/template/spec/containers/0/image"), "gateway:1");
}

#[tokio::test]
async fn the_token_and_the_view_are_made_once_and_never_written_again() {
    let mut bench = Bench::new(json!({}));
    bench.pass().await;
    let (token, view) = (bench.api.get(SECRET), bench.api.get(VIEW));
    bench.api.change(CLUSTER, |cluster| cluster["spec"]["replicas"] = json!(5));
    bench.context.memories = Memories::default();
    bench.pass().await;
    assert_eq!((bench.api.get(SECRET), bench.api.get(VIEW)), (token, view));
}

/// A member's pod whose runtime started then, on a node that nobody watches.
fn member_pod(bench: &Bench, ordinal: u32, started: &str) -> Value {
    let set = bench.api.get(MEMBERS).expect("the StatefulSet")["metadata"]["uid"].clone();
    json!({
        "metadata": {
            "name": format!("shop-{ordinal}"), "namespace": "default", "uid": format!("pod-{ordinal}"),
            "labels": {"app.kubernetes.io/component": "member"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "shop", "uid": set, "controller": true}],
        },
        "spec": {"containers": []},
        "status": {"initContainerStatuses": [
            {"name": "holdfast", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": started}}},
        ]},
    })
}

/// A cluster whose view was founded and has been deleted since, as the first pass finds it.
async fn with_lost_view() -> Bench {
    let mut bench = Bench::new(json!({"replicas": 1}));
    bench.pass().await;
    bench.api.change(VIEW, |view| view["spec"]["epoch"] = json!(3));
    bench.api.put(&format!("{PODS}/shop-0"), member_pod(&bench, 0, "2026-01-01T11:00:00Z"));
    bench.pass().await;
    bench.api.remove(VIEW);
    bench.pass().await;
    bench.api.change(VIEW, |view| view["metadata"]["creationTimestamp"] = json!("2026-01-01T12:00:00Z"));
    bench
}

#[tokio::test]
async fn a_view_that_is_gone_is_made_anew_for_the_members_to_put_theirs_back() {
    let mut bench = with_lost_view().await;
    let view = bench.api.get(VIEW).expect("made anew");
    assert_eq!((&view["spec"]["epoch"], &view["metadata"]["annotations"]["holdfast.dev/founded"]), (&json!(1003), &json!("3")));
    assert_eq!(bench.condition("Degraded").1, "ViewLost");
    bench.api.requests();
    bench.pass().await;
    assert_eq!(bench.api.writes().iter().filter(|write| write.contains("sessionviews")).count(), 0, "it waits");
    assert!(bench.condition("Degraded").2.ends_with("put it back: shop-0"), "{}", bench.condition("Degraded").2);

    bench.api.change(VIEW, |view| {
        view["spec"]["epoch"] = json!(2003);
        view["spec"]["members"] = json!([{"id": 0, "name": "shop-0", "incarnation": "1", "podUID": "pod-0", "state": "Full"}]);
        view["metadata"]["annotations"].as_object_mut().expect("annotations").remove("holdfast.dev/founded");
    });
    bench.pass().await;
    assert_eq!(bench.condition("Degraded").1, "NoProblem");
}

#[tokio::test]
async fn a_lost_view_that_nobody_has_any_more_lets_the_cluster_be_founded_anew() {
    let mut bench = with_lost_view().await;
    bench.api.put(&format!("{PODS}/shop-0"), member_pod(&bench, 0, "2026-01-01T12:02:00Z"));
    bench.pass().await;
    let view = bench.api.get(VIEW).expect("there");
    assert_eq!((&view["spec"]["epoch"], view["metadata"]["annotations"].get("holdfast.dev/founded")), (&json!(1003), None));
    assert_eq!(bench.condition("Degraded").1, "NoProblem");
}

#[tokio::test]
async fn a_changed_number_of_copies_is_written_on_the_view_and_nowhere_else() {
    let mut bench = Bench::new(json!({}));
    bench.pass().await;
    let template = bench.api.get(MEMBERS).expect("there")["spec"]["template"].clone();
    bench.api.change(CLUSTER, |cluster| cluster["spec"]["replication"]["copies"] = json!(2));
    bench.api.requests();
    bench.pass().await;
    assert!(bench.api.writes().contains(&format!("PATCH {VIEW}")));
    assert_eq!(bench.api.get(VIEW).expect("there")["metadata"]["annotations"]["holdfast.dev/copies"], "2");
    assert_eq!(bench.api.get(MEMBERS).expect("there")["spec"]["template"], template);
    bench.pass().await;
    assert_eq!(bench.api.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pod_is_told_the_zone_of_its_node_once() {
    let mut bench = Bench::new(json!({}));
    let (nodes, mut writer) = reflector::store();
    let status = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    let node = json!({"metadata": {"name": "node-0", "labels": {"topology.kubernetes.io/zone": "a"}}, "status": status});
    writer.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(node).expect("a node")));
    bench.context.nodes = nodes;
    bench.pass().await;
    let mut pod = member_pod(&bench, 0, "2026-01-01T11:00:00Z");
    pod["spec"]["nodeName"] = json!("node-0");
    bench.api.put(&format!("{PODS}/shop-0"), pod);
    bench.api.requests();
    bench.pass().await;
    assert!(bench.api.writes().contains(&format!("PATCH {PODS}/shop-0")));
    let annotations = bench.api.get(&format!("{PODS}/shop-0")).expect("there")["metadata"]["annotations"].clone();
    assert_eq!(annotations, json!({"holdfast.dev/zone": "a", "holdfast.dev/domain": ""}));
    bench.pass().await;
    assert_eq!(bench.api.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_service_of_somebody_else_is_left_alone() {
    let mut bench = Bench::new(json!({}));
    let theirs = json!({"metadata": {"name": "shop", "namespace": "default"}, "spec": {"type": "NodePort"}});
    bench.api.put(&format!("{SERVICES}/shop"), theirs);
    bench.pass().await;
    assert_eq!(bench.api.get(&format!("{SERVICES}/shop")).expect("there")["spec"]["type"], "NodePort");
    let (status, reason, message) = bench.condition("Stalled");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "NameTaken"));
    assert!(message.starts_with("Service `shop` exists and does not belong to this SessionCluster"), "{message}");
    bench.api.remove(&format!("{SERVICES}/shop"));
    bench.pass().await;
    assert_eq!(bench.condition("Stalled").0, "False");
}

#[tokio::test]
async fn what_the_api_server_refuses_is_in_the_status_until_it_is_accepted() {
    let mut bench = Bench::new(json!({}));
    bench.api.refuse(MEMBERS, 422, "spec.template.spec.containers[0].livenessProbe: Invalid value");
    bench.pass().await;
    let (status, reason, message) = bench.condition("Stalled");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Refused"));
    assert!(message.contains("StatefulSet shop: spec.template.spec.containers[0].livenessProbe"), "{message}");
    bench.api.refuse(MEMBERS, 403, "exceeded quota");
    bench.pass().await;
    assert_eq!(bench.condition("Stalled").0, "False");
    assert_eq!(bench.condition("Degraded").1, "ApplyFailed");
    bench.api.allow(MEMBERS);
    bench.pass().await;
    assert_eq!(bench.condition("Degraded").0, "False");
}

#[tokio::test]
async fn a_malformed_resource_stalls_with_the_field_and_recovers_when_it_is_mended() {
    let mut bench = Bench::new(json!({}));
    bench.api.change(CLUSTER, |cluster| cluster["spec"]["replication"]["ackTimeout"] = json!("soon"));
    bench.pass().await;
    let (status, reason, message) = bench.condition("Stalled");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "InvalidSpec"));
    assert!(message.starts_with("spec.replication.ackTimeout: "), "{message}");
    assert_eq!(bench.api.get(MEMBERS), None);
    bench.api.change(CLUSTER, |cluster| cluster["spec"]["replication"]["ackTimeout"] = json!("5s"));
    bench.pass().await;
    assert_eq!(bench.condition("Stalled").0, "False");
}

#[tokio::test]
async fn a_resource_that_cannot_be_built_stalls_with_the_field() {
    let mut bench = Bench::new(json!({"gateway": {"resources": {"limits": {"memory": "lots"}}}}));
    bench.pass().await;
    let (_, reason, message) = bench.condition("Stalled");
    assert_eq!(reason, "InvalidSpec");
    assert!(message.starts_with(r#"spec.gateway.resources.limits.memory: "lots" is not right"#), "{message}");
}

#[tokio::test]
async fn a_pod_on_a_dead_node_is_force_deleted_once() {
    let mut bench = Bench::new(json!({"replicas": 1}));
    bench.pass().await;
    let set = bench.api.get(MEMBERS).expect("the StatefulSet")["metadata"]["uid"].clone();
    let pod = json!({
        "metadata": {
            "name": "shop-0", "namespace": "default", "uid": "pod-0",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "shop", "uid": set, "controller": true}],
        },
        // No node is known here, so this one is gone.
        "spec": {"nodeName": "node-0", "containers": []},
    });
    bench.api.put(&format!("{PODS}/shop-0"), pod);
    bench.api.requests();
    bench.pass().await;
    assert!(bench.api.writes().contains(&format!("DELETE {PODS}/shop-0")));
    bench.pass().await;
    assert!(!bench.api.writes().iter().any(|request| request.starts_with("DELETE")));
}

#[tokio::test]
async fn a_resource_that_is_gone_is_left_to_the_garbage_collector() {
    let mut bench = Bench::new(json!({}));
    bench.api.change(CLUSTER, |cluster| cluster["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:00:00Z"));
    bench.pass().await;
    bench.api.remove(CLUSTER);
    bench.pass().await;
    assert_eq!(bench.api.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_process_that_does_not_lead_writes_nothing() {
    let mut bench = Bench::new(json!({}));
    bench.context.leadership = Leadership::never();
    (bench.catch_up)(&bench.api);
    let error = pass(&bench.context, "default", "shop").await.expect_err("deposed");
    assert!(matches!(error, Error::Deposed));
    assert_eq!(bench.api.writes(), Vec::<String>::new());
}

/// The members' certificate as it is stored.
fn certificate(bench: &Bench) -> Value {
    bench.api.get(TLS).expect("the Secret")["data"]["tls.crt"].clone()
}

#[tokio::test]
async fn a_new_certificate_is_made_once_for_each_value_of_the_annotation() {
    let mut bench = Bench::new(json!({}));
    bench.pass().await;
    assert_eq!(bench.condition("LinksEncrypted").1, "MutualTls");
    let first = certificate(&bench);
    bench.api.change(CLUSTER, |cluster| cluster["metadata"]["annotations"] = json!({"holdfast.dev/rotate-certificates": "1"}));
    bench.pass().await;
    let second = certificate(&bench);
    assert_ne!(second, first);
    bench.api.requests();
    bench.pass().await;
    assert_eq!(certificate(&bench), second);
    assert_eq!(bench.api.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_new_authority_is_trusted_before_it_issues() {
    let mut bench = Bench::new(json!({}));
    bench.pass().await;
    let first = certificate(&bench);
    bench.api.change(CLUSTER, |cluster| cluster["metadata"]["annotations"] = json!({"holdfast.dev/rotate-authority": "1"}));
    bench.pass().await;
    assert_eq!(certificate(&bench), first);
    assert_eq!(bench.condition("LinksEncrypted").1, "AuthorityChanging");
    bench.pass().await;
    assert_eq!(certificate(&bench), first, "it waits");
    let long_ago = json!("2026-01-01T00:00:00Z");
    bench.api.change(TLS, |secret| secret["metadata"]["annotations"]["holdfast.dev/bundle-since"] = long_ago.clone());
    bench.pass().await;
    assert_ne!(certificate(&bench), first);
    bench.api.change(TLS, |secret| secret["metadata"]["annotations"]["holdfast.dev/certificate-since"] = long_ago);
    bench.pass().await;
    assert_eq!(bench.condition("LinksEncrypted").1, "MutualTls");
}

#[tokio::test]
async fn secrets_that_vanish_are_made_again_and_those_of_others_are_left_alone() {
    let mut bench = Bench::new(json!({}));
    bench.pass().await;
    let first = certificate(&bench);
    bench.api.remove(AUTHORITY);
    bench.pass().await;
    assert_eq!(certificate(&bench), first, "pods rely on it");
    assert_eq!(bench.condition("LinksEncrypted").1, "AuthorityChanging");
    bench.api.remove(TLS);
    bench.pass().await;
    assert_ne!(certificate(&bench), first);
    bench.api.change(TLS, |secret| secret["metadata"]["ownerReferences"] = json!([]));
    bench.pass().await;
    assert_eq!(bench.condition("Stalled").1, "NameTaken");
}

#[tokio::test]
async fn encryption_begins_and_ends_only_when_there_are_no_members() {
    let mode = |bench: &Bench| bench.api.get(MEMBERS).expect("there")["metadata"]["annotations"]["holdfast.dev/tls"].clone();
    let mut bench = Bench::new(json!({"security": {"tls": {"mode": "Disabled"}}}));
    bench.pass().await;
    assert_eq!((mode(&bench), bench.api.get(TLS)), (json!("Disabled"), None));
    assert_eq!(bench.condition("LinksEncrypted").1, "Disabled");
    // As a cluster that is older than encryption.
    bench.api.change(MEMBERS, |members| drop(members["metadata"]["annotations"].as_object_mut().expect("some").remove("holdfast.dev/tls")));
    bench.api.change(CLUSTER, |cluster| cluster["spec"]["security"]["tls"]["mode"] = json!("Managed"));
    bench.pass().await;
    assert_eq!((mode(&bench), bench.api.get(TLS)), (json!("Disabled"), None));
    assert_eq!(bench.condition("LinksEncrypted").1, "MadeWithout");
    bench.api.change(MEMBERS, |members| members["spec"]["replicas"] = json!(0));
    bench.pass().await;
    assert_eq!(mode(&bench), json!("Managed"));
    assert!(bench.api.get(TLS).is_some());
}
