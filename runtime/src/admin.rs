//! The admin API: health and metrics for everybody, questions about members, view and sessions for holders of the token, and the drain for whoever
//! shares the pod's unix socket. It shows what sessions are like, never what is in them.

mod answers;
mod control;
mod drain;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use holdfast_process::health::Health;
use holdfast_process::metrics::{self, PrometheusHandle};
use holdfast_process::token::Token;
use percent_encoding::percent_decode_str;

use crate::arbiter::spec_of;
use crate::member::{MemberControl, NoAnswer};

pub use drain::DrainLine;

/// Who this member is, for whoever asks.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The cluster.
    pub cluster: String,
    /// The name of its pod, which is its route.
    pub member: String,
    /// The UID of its pod.
    pub pod_uid: String,
}

/// What the API shows.
#[derive(Clone, Debug)]
struct Shown {
    identity: Arc<Identity>,
    control: MemberControl,
}

/// The API on port 4001.
pub fn router(identity: Identity, control: MemberControl, health: &Health, metrics: PrometheusHandle, token: &Token) -> Router {
    let guarded = Router::new()
        .route("/v1/members", get(members))
        .route("/v1/view", get(view))
        .route("/v1/sessions", get(sessions))
        .route("/v1/sessions/{*key}", get(session))
        .route("/v1/control", get(follow))
        .with_state(Shown { identity: Arc::new(identity), control });
    health.router().merge(metrics::router(metrics)).merge(token.protect(guarded))
}

/// The API on the unix socket.
pub fn local_router(control: MemberControl) -> Router {
    Router::new().route("/v1/drain", post(drain::drain)).with_state(control)
}

impl IntoResponse for NoAnswer {
    fn into_response(self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{self}\n")).into_response()
    }
}

async fn members(State(shown): State<Shown>) -> Result<Response, NoAnswer> {
    let links = shown.control.links().await?;
    let status = shown.control.status().borrow().clone();
    Ok(Json(answers::Members::new(&shown.identity, &status, &links)).into_response())
}

async fn view(State(shown): State<Shown>) -> Response {
    match &shown.control.status().borrow().view {
        Some(view) => Json(spec_of(view)).into_response(),
        None => (StatusCode::NOT_FOUND, "this member is in no view\n").into_response(),
    }
}

async fn sessions(State(shown): State<Shown>) -> Response {
    Json(answers::Sessions::new(&shown.identity, &shown.control.status().borrow())).into_response()
}

/// The key is the rest of the path, percent-decoded: it may hold any byte.
async fn session(State(shown): State<Shown>, uri: Uri) -> Result<Response, NoAnswer> {
    let encoded = uri.path().strip_prefix("/v1/sessions/").unwrap_or_default();
    let key: Vec<u8> = percent_decode_str(encoded).collect();
    let found = shown.control.session(Bytes::from(key.clone())).await?;
    let status = shown.control.status().borrow().clone();
    Ok(match found {
        Some(session) => Json(answers::Session::new(&key, &session, status.view.as_deref())).into_response(),
        None => (StatusCode::NOT_FOUND, "this member neither owns nor keeps such a session\n").into_response(),
    })
}

async fn follow(State(shown): State<Shown>) -> Response {
    control::stream(shown.identity, shown.control.status())
}
