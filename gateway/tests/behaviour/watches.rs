//! The watches of the API server: what they find is used, and their failure changes nothing.

use std::time::Duration;

use holdfast_gateway::discover::{self, Names};
use holdfast_gateway::table::endpoint::Endpoint;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::api_server::ApiServer;
use crate::world::{World, endpoint};

fn slice(name: &str, endpoints: &[Endpoint]) -> Value {
    let entries: Vec<_> = endpoints
        .iter()
        .map(|one| {
            json!({"addresses": [one.addr.ip().to_string()],
                "conditions": {"ready": one.ready, "serving": one.serving, "terminating": one.terminating},
                "targetRef": {"kind": "Pod", "name": one.pod, "uid": one.uid}})
        })
        .collect();
    let port = endpoints.first().map_or(80, |one| one.addr.port());
    json!({"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
        "metadata": {"name": name, "namespace": "ns", "labels": {"kubernetes.io/service-name": "shop-app"}, "resourceVersion": "1"},
        "endpoints": entries, "ports": [{"name": "http", "port": port}]})
}

fn intent(world: &World, generation: u64, cookie: &str) -> Value {
    let text = json!({"generation": generation, "cookie": cookie, "adminPort": world.intent.admin_port, "sources": []});
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "shop-gateway", "namespace": "ns", "resourceVersion": "1"},
        "data": {"intent.json": text.to_string()}})
}

/// Each pretend member has a port of its own, so each gets its own slice.
fn slices(world: &World, members: &[usize]) -> Vec<Value> {
    members.iter().map(|index| slice(&format!("shop-app-{index}"), &[endpoint(&world.members[*index])])).collect()
}

fn watch(world: &World, server: &ApiServer) -> JoinHandle<()> {
    let config = kube::Config::new(format!("http://{}", server.addr).parse().expect("an address"));
    let client = discover::client(config).expect("a client");
    let names = Names { cluster: "shop".to_owned(), service: "shop-app".to_owned(), config_map: "shop-gateway".to_owned() };
    let events = world.door.events.clone();
    tokio::spawn(async move { discover::run(client, "ns", names, events).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn members_and_intent_are_found_and_followed() {
    let world = World::start(3).await;
    world.members[2].kill(crate::member::Death::End);
    let server = ApiServer::start();
    server.set_slices(slices(&world, &[0, 1]));
    server.set_maps(vec![intent(&world, 7, "route")]);
    let watching = watch(&world, &server);
    world.until(|table| table.generation == 7 && table.members.len() == 2).await;
    let mut user = world.user();
    user.get("/").await;
    assert!(user.cookies.contains_key("route"), "{:?}", user.cookies);

    // Each asks for exactly what its role allows.
    let asked = server.asked.lock().expect("lock").clone();
    assert!(asked.iter().all(|uri| uri.contains("/namespaces/ns/")), "{asked:?}");
    let narrow = |uri: &String| {
        uri.contains("labelSelector=kubernetes.io%2Fservice-name%3Dshop-app") || uri.contains("fieldSelector=metadata.name%3Dshop-gateway")
    };
    assert!(asked.iter().all(narrow), "{asked:?}");

    world.members[2].start_app().await;
    world.members[2].start_runtime().await;
    server.set_slices(slices(&world, &[0, 1, 2]));
    world.until(|table| table.members.len() == 3).await;
    server.set_maps(vec![intent(&world, 8, "bad name")]);
    server.set_maps(vec![]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.door.table().await.generation, 7, "a wrong or missing intent changes nothing");
    server.set_maps(vec![intent(&world, 9, "route")]);
    world.until(|table| table.generation == 9).await;
    watching.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_stays_while_the_api_server_is_away_and_is_renewed_soon_after() {
    let world = World::start(3).await;
    let server = ApiServer::start();
    server.set_slices(slices(&world, &[0, 1]));
    let watching = watch(&world, &server);
    world.members[2].kill(crate::member::Death::End);
    world.until(|table| table.members.len() == 2).await;

    server.stop();
    let mut user = world.user_of("shop-1");
    for _ in 0..10 {
        assert_eq!(user.get("/").await.member(), "shop-1");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    world.members[2].start_app().await;
    world.members[2].start_runtime().await;
    server.set_slices(slices(&world, &[0, 1, 2]));
    // It answers again, at first only with errors.
    server.break_lists(true);
    server.resume();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.door.table().await.members.len(), 2);
    server.break_lists(false);
    world.until(|table| table.members.len() == 3).await;
    watching.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_an_api_server_is_not_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = holdfast_gateway::gateway::Gateway::new("shop", crate::world::limits());
    let health = holdfast_process::health::Health::new();
    let credentials = holdfast_gateway::credentials::Credentials::new(folder.path().join("token"));
    let (events, received) = tokio::sync::mpsc::channel(4);
    let ended = tokio_util::sync::CancellationToken::new();
    let director = holdfast_gateway::director::Director::new(gateway, credentials, health.clone());
    let director = tokio::spawn(director.run(received, ended.clone()));
    events.send(holdfast_gateway::director::Event::Intent(Default::default())).await.expect("a director");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(health.ready().expect_err("not yet").contains("EndpointSlices"));
    events.send(holdfast_gateway::director::Event::Endpoints(vec![])).await.expect("a director");
    tokio::time::timeout(Duration::from_secs(1), async {
        while health.ready().is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("ready with the first table");
    ended.cancel();
    director.await.expect("no panic");
}
