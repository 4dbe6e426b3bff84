//! The admin API of a member in a real cluster: who may ask what, the stream that gateways follow, and the drain as the preStop hook does it.

use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use futures::StreamExt;
use holdfast_process::health::Health;
use holdfast_process::metrics::{self, PrometheusHandle};
use holdfast_process::token::Token;
use holdfast_runtime::admin::{self, Identity};
use holdfast_runtime::config::DrainSettings;
use holdfast_runtime::drain::{DrainError, drain};
use holdfast_runtime::status::Phase;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::cluster::{Cluster, key, set};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| metrics::install().expect("the only recorder")).clone()
}

async fn api(cluster: &Cluster, id: u8) -> Router {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, SECRET).expect("written");
    let token = Token::open(path).await.expect("usable");
    let identity = Identity { cluster: "shop".to_owned(), member: format!("shop-{id}"), pod_uid: format!("uid-{}", id + 1) };
    admin::router(identity, cluster.members[&id].member.control(), &Health::new(), recorder(), &token)
}

async fn get(api: &Router, path: &str) -> (u16, String) {
    let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {SECRET}"));
    let response = api.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("infallible");
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn json_of(api: &Router, path: &str) -> Value {
    let (status, body) = get(api, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_only_health_and_metrics_are_shown() {
    let cluster = Cluster::start(1).await;
    let api = api(&cluster, 0).await;
    for (path, expected) in [
        ("/livez", 200),
        ("/metrics", 200),
        ("/v1/members", 401),
        ("/v1/view", 401),
        ("/v1/sessions", 401),
        ("/v1/sessions/a", 401),
        ("/v1/control", 401),
    ] {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        assert_eq!(api.clone().oneshot(request).await.expect("infallible").status().as_u16(), expected, "{path}");
    }
    let drain = Request::post("/v1/drain").header(header::AUTHORIZATION, format!("Bearer {SECRET}"));
    let refused = api.oneshot(drain.body(Body::empty()).expect("a request")).await.expect("infallible");
    assert_eq!(refused.status().as_u16(), 404, "the drain is not for the network");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_view_and_sessions_are_shown_but_never_a_value() {
    let cluster = Cluster::start(3).await;
    let odd = bytes::Bytes::from_static(b"sess:\xff/x y");
    for key in [key(1), odd.clone()] {
        cluster.sessions(0).execute(key, set("very secret")).await;
    }
    cluster.wait_for(0, |status| status.owned == 2).await;
    let api = api(&cluster, 0).await;

    let members = json_of(&api, "/v1/members").await;
    assert_eq!((&members["cluster"], &members["member"]), (&json!("shop"), &json!("shop-0")));
    let entries = members["members"].as_array().expect("a list");
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[1]["name"], "shop-1");
    assert_eq!((&entries[1]["link"]["ready"], &entries[0]["link"]), (&json!(true), &Value::Null));

    let view = json_of(&api, "/v1/view").await;
    assert_eq!((&view["copies"], &view["members"][2]["state"]), (&json!(1), &json!("Full")));

    let counts = json_of(&api, "/v1/sessions").await;
    assert_eq!((&counts["state"], &counts["owned"]), (&json!("Accepting"), &json!(2)));

    let session = json_of(&api, "/v1/sessions/sess:1").await;
    assert_eq!((&session["owner"], &session["key"]), (&json!("shop-0"), &json!("sess:1")));
    assert_eq!(session["holders"].as_array().expect("a list").len(), 1);
    assert!(!session.to_string().contains("secret"));
    json_of(&api, "/v1/sessions/sess:%ff/x%20y").await;
    assert_eq!(get(&api, "/v1/sessions/none").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_stream_speaks_at_once_at_each_change_and_every_second() {
    let mut cluster = Cluster::start(2).await;
    let api = api(&cluster, 0).await;
    let request = Request::get("/v1/control").header(header::AUTHORIZATION, format!("Bearer {SECRET}"));
    let response = api.oneshot(request.body(Body::empty()).expect("a request")).await.expect("infallible");
    let mut lines = response.into_body().into_data_stream();
    let mut next = async || {
        let line = timeout(Duration::from_secs(5), lines.next()).await.expect("in time").expect("no end").expect("no error");
        serde_json::from_slice::<Value>(&line).expect("one line of JSON")
    };

    let first = next().await;
    assert_eq!(first["state"], "Accepting");
    assert_eq!(first["incarnation"], cluster.status(0).member.incarnation.to_string());
    assert_eq!(first["podUID"], "uid-1");
    let start = Instant::now();
    next().await;
    assert!((900..1500).contains(&start.elapsed().as_millis()), "silent for {:?}", start.elapsed());

    let start = Instant::now();
    cluster.add(2).await;
    while next().await["epoch"] == first["epoch"] {}
    assert!(start.elapsed() < Duration::from_millis(900), "a new view was told after {:?}", start.elapsed());
    cluster.members[&0].member.control().drain().await.expect("runs");
    while next().await["state"] != "Drained" {}
}

async fn serve_locally(cluster: &Cluster, id: u8) -> (tempfile::TempDir, DrainSettings, tokio_util::sync::DropGuard) {
    let folder = tempfile::tempdir().expect("a folder");
    let admin_socket = folder.path().join("admin.sock");
    let listener = UnixListener::bind(&admin_socket).expect("a new socket");
    let shutdown = CancellationToken::new();
    tokio::spawn(holdfast_process::serve(listener, admin::local_router(cluster.members[&id].member.control()), shutdown.clone()));
    (folder, DrainSettings { admin_socket, timeout: Duration::from_secs(10) }, shutdown.drop_guard())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pre_stop_hook_returns_when_nothing_would_be_lost() {
    let cluster = Cluster::start(3).await;
    for n in 0..50 {
        cluster.sessions(1).execute(key(n), set("x")).await;
    }
    let (_folder, settings, _guard) = serve_locally(&cluster, 1).await;
    let mut out = Vec::new();
    drain(&settings, &mut out).await.expect("drained");
    let out = String::from_utf8(out).expect("text");
    assert!(out.ends_with("drained\n"), "{out}");
    assert!(cluster.status(1).holds_nothing());
    // Again, as a kubelet that was restarted would.
    drain(&settings, &mut Vec::new()).await.expect("still drained");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_member_says_that_its_sessions_end_with_it() {
    let cluster = Cluster::start(1).await;
    cluster.sessions(0).execute(key(0), set("x")).await;
    cluster.wait_for(0, |status| status.owned == 1).await;
    let (_folder, settings, _guard) = serve_locally(&cluster, 0).await;
    let mut out = Vec::new();
    drain(&settings, &mut out).await.expect("nothing to wait for");
    assert!(String::from_utf8_lossy(&out).contains("1 sessions end with it"), "{}", String::from_utf8_lossy(&out));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_cannot_end_gives_up_by_its_own_deadline() {
    let cluster = Cluster::start(2).await;
    cluster.sessions(0).execute(key(0), set("x")).await;
    cluster.arbiter.set_away(true);
    let (_folder, mut settings, _guard) = serve_locally(&cluster, 0).await;
    settings.timeout = Duration::from_millis(700);
    let error = drain(&settings, &mut Vec::new()).await.expect_err("nobody can leave without the arbiter");
    assert!(matches!(error, DrainError::Timeout { .. }), "{error}");
    assert!(error.to_string().contains("HOLDFAST_DRAIN_TIMEOUT"), "{error}");
    assert_eq!(cluster.status(0).phase, Phase::Draining);
}
