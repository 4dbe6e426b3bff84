//! A pretend API server: one SessionView that changes by PUT with its resourceVersion, and no pods.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use holdfast_process::serve;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

#[derive(Clone, Debug)]
pub(crate) struct ApiServer {
    view: Arc<watch::Sender<Value>>,
}

impl ApiServer {
    /// Starts it; the second is what a client needs to find it.
    pub(crate) async fn start() -> (Self, String, DropGuard) {
        let metadata = json!({"name": "shop", "namespace": "ns", "uid": "u", "resourceVersion": "1"});
        let view = json!({"apiVersion": "holdfast.dev/v1alpha1", "kind": "SessionView", "metadata": metadata, "spec": {}});
        let server = Self { view: Arc::new(watch::Sender::new(view)) };
        let views = "/apis/holdfast.dev/v1alpha1/namespaces/ns/sessionviews";
        let router = Router::new()
            .route(views, get(list))
            .route(&format!("{views}/shop"), get(read).put(write))
            .route("/api/v1/namespaces/ns/pods/{pod}", get(no_pod))
            .with_state(server.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shutdown = CancellationToken::new();
        tokio::spawn(serve(listener, router, shutdown.clone()));
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "u", "user": {}}],
        });
        (server, kubeconfig.to_string(), shutdown.drop_guard())
    }

    /// The names of the members in the view that are in this state.
    pub(crate) fn members(&self, state: &str) -> Vec<String> {
        let view = self.view.borrow();
        let members = view["spec"]["members"].as_array().cloned().unwrap_or_default();
        let name = |member: &Value| member["name"].as_str().expect("a name").to_owned();
        members.iter().filter(|member| member["state"] == state).map(name).collect()
    }
}

#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    watch: bool,
}

async fn list(State(server): State<ApiServer>, Query(options): Query<Options>) -> Response {
    if options.watch {
        let mut changes = server.view.subscribe();
        changes.mark_changed();
        let events = futures::stream::unfold(changes, async |mut changes| {
            changes.changed().await.ok()?;
            let event = json!({"type": "MODIFIED", "object": *changes.borrow_and_update()});
            Some((Ok::<_, Infallible>(format!("{event}\n")), changes))
        });
        return Body::from_stream(events).into_response();
    }
    let view = server.view.borrow().clone();
    let metadata = json!({"resourceVersion": view["metadata"]["resourceVersion"]});
    Json(json!({"apiVersion": "holdfast.dev/v1alpha1", "kind": "SessionViewList", "metadata": metadata, "items": [view]})).into_response()
}

async fn read(State(server): State<ApiServer>) -> Json<Value> {
    Json(server.view.borrow().clone())
}

async fn write(State(server): State<ApiServer>, Json(mut new): Json<Value>) -> Response {
    let is_successor = |view: &mut Value| {
        let known = &view["metadata"]["resourceVersion"];
        if new["metadata"]["resourceVersion"] != *known {
            return false;
        }
        let version: u64 = known.as_str().expect("text").parse().expect("a number");
        new["metadata"]["resourceVersion"] = json!((version + 1).to_string());
        *view = new.take();
        true
    };
    if server.view.send_if_modified(is_successor) { read(State(server)).await.into_response() } else { refusal(StatusCode::CONFLICT) }
}

async fn no_pod() -> Response {
    refusal(StatusCode::FORBIDDEN)
}

fn refusal(code: StatusCode) -> Response {
    (code, Json(json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(), "message": "", "reason": ""})))
        .into_response()
}
