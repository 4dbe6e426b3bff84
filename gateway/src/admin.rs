//! The gateway's own HTTP side: health and metrics for everybody, the routing table for whoever has the cluster's admin token.

use std::sync::Arc;

use axum::Router;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::credentials::Credentials;
use crate::gateway::Gateway;

/// `GET /table`.
pub fn table(gateway: Arc<Gateway>, credentials: Credentials) -> Router {
    let answer = move |headers: HeaderMap| {
        let (gateway, credentials) = (gateway.clone(), credentials.clone());
        async move { show(&gateway, &credentials, &headers).await }
    };
    Router::new().route("/table", get(answer))
}

async fn show(gateway: &Gateway, credentials: &Credentials, headers: &HeaderMap) -> Response {
    let Ok(token) = credentials.token().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "this gateway has no admin token yet\n").into_response();
    };
    if !token.permits(headers).await {
        let challenge = [(WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge, "this needs the cluster's admin token as a bearer token\n").into_response();
    }
    axum::Json(gateway.table.load().describe(gateway.is_controlled())).into_response()
}
