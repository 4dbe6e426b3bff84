//! A pretend API server: one SessionView that changes by PUT with its resourceVersion, and no pods, so that no death can be proven.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
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

/// The cluster that the register is of.
pub const CLUSTER: &str = "shop";

/// Its namespace.
pub const NAMESPACE: &str = "ns";

/// The register; clones share it. It ends with the last of them.
#[derive(Clone, Debug)]
pub struct ApiServer {
    view: Arc<watch::Sender<Value>>,
    /// Where it listens.
    pub address: SocketAddr,
    _running: Arc<DropGuard>,
}

impl ApiServer {
    /// Starts it, with a register that holds no view yet.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> anyhow::Result<Self> {
        let metadata = json!({"name": CLUSTER, "namespace": NAMESPACE, "uid": "u", "resourceVersion": "1"});
        let view = json!({"apiVersion": "holdfast.dev/v1alpha1", "kind": "SessionView", "metadata": metadata, "spec": {}});
        let view = Arc::new(watch::Sender::new(view));
        let views = format!("/apis/holdfast.dev/v1alpha1/namespaces/{NAMESPACE}/sessionviews");
        let router = Router::new()
            .route(&views, get(list))
            .route(&format!("{views}/{CLUSTER}"), get(read).put(write).patch(annotate))
            .fallback(async || refusal(StatusCode::FORBIDDEN))
            .with_state(view.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shutdown = CancellationToken::new();
        tokio::spawn(serve(listener, router, shutdown.clone()));
        Ok(Self { view, address, _running: Arc::new(shutdown.drop_guard()) })
    }

    /// The names of the members in the view that are in this state.
    #[must_use]
    pub fn members(&self, state: &str) -> Vec<String> {
        let view = self.view.borrow();
        let members = view["spec"]["members"].as_array().map(Vec::as_slice).unwrap_or_default();
        let name = |member: &Value| member["name"].as_str().unwrap_or_default().to_owned();
        members.iter().filter(|member| member["state"] == state).map(name).collect()
    }

    /// What stands on the register under this name.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<String> {
        self.view.borrow()["metadata"]["annotations"][name].as_str().map(str::to_owned)
    }

    /// Whether everything is protected in the view.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.view.borrow()["spec"]["sub"].as_u64().is_some_and(|sub| sub > 0)
    }

    /// The view, for an error.
    #[must_use]
    pub fn shown(&self) -> String {
        self.view.borrow()["spec"].to_string()
    }
}

/// What a kubeconfig for the API server at `address` holds.
#[must_use]
pub fn kubeconfig(address: SocketAddr) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "u", "user": {}}],
    })
    .to_string()
}

type Register = State<Arc<watch::Sender<Value>>>;

#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    watch: bool,
}

async fn list(State(register): Register, Query(options): Query<Options>) -> Response {
    if options.watch {
        let mut changes = register.subscribe();
        changes.mark_changed();
        let events = futures::stream::unfold(changes, async |mut changes| {
            changes.changed().await.ok()?;
            let event = json!({"type": "MODIFIED", "object": *changes.borrow_and_update()});
            Some((Ok::<_, Infallible>(format!("{event}\n")), changes))
        });
        return Body::from_stream(events).into_response();
    }
    let view = register.borrow().clone();
    let metadata = json!({"resourceVersion": view["metadata"]["resourceVersion"]});
    Json(json!({"apiVersion": "holdfast.dev/v1alpha1", "kind": "SessionViewList", "metadata": metadata, "items": [view]})).into_response()
}

async fn read(State(register): Register) -> Json<Value> {
    Json(register.borrow().clone())
}

async fn write(State(register): Register, Json(mut new): Json<Value>) -> Response {
    let is_successor = |view: &mut Value| {
        let known = &view["metadata"]["resourceVersion"];
        if new["metadata"]["resourceVersion"] != *known {
            return false;
        }
        new["metadata"]["resourceVersion"] = json!(successor(known));
        *view = new.take();
        true
    };
    if register.send_if_modified(is_successor) { read(State(register)).await.into_response() } else { refusal(StatusCode::CONFLICT) }
}

/// A merge patch of annotations; nothing else is patched by members.
async fn annotate(State(register): Register, body: Bytes) -> Response {
    let Ok(Value::Object(new)) = serde_json::from_slice(&body).map(|patch: Value| patch["metadata"]["annotations"].clone()) else {
        return refusal(StatusCode::UNPROCESSABLE_ENTITY);
    };
    register.send_modify(|view| {
        let metadata = &mut view["metadata"];
        for (name, text) in new {
            metadata["annotations"][name] = text;
        }
        metadata["resourceVersion"] = json!(successor(&metadata["resourceVersion"]));
    });
    read(State(register)).await.into_response()
}

/// The resourceVersion after this one.
fn successor(version: &Value) -> String {
    (version.as_str().and_then(|text| text.parse::<u64>().ok()).unwrap_or_default() + 1).to_string()
}

fn refusal(code: StatusCode) -> Response {
    (code, Json(json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(), "message": "", "reason": ""})))
        .into_response()
}
