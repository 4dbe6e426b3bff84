//! The application: a cart in a session, users who log in, and all that a member's layer adds.

use std::time::Duration;

use axum::extract::Path;
use axum::http::{HeaderName, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use holdfast::{Attribute, Live, Lock, Member, Primary, Principal, ReplicationLayer, SettingError, renew_id};
use serde::{Deserialize, Serialize};
use tower_sessions::cookie::time::Duration as Span;
use tower_sessions::{Expiry, Session, SessionManagerLayer};

/// What a user is about to buy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cart {
    items: Vec<String>,
}

impl Attribute for Cart {
    const NAME: &'static str = "cart";
}

/// The application on this member, with sessions that live for `idle` without a request.
///
/// # Errors
/// When a setting of the layer cannot work.
pub(crate) fn router(member: &Member, idle: Duration) -> Result<Router, SettingError> {
    let store = member.store().with_id_grace(Duration::from_secs(10))?;
    let sessions = SessionManagerLayer::new(store.clone())
        // The example is served without TLS.
        .with_secure(false)
        .with_always_save(true)
        .with_expiry(Expiry::OnInactivity(Span::try_from(idle).unwrap_or(Span::MAX)));
    let replication = ReplicationLayer::new(&store, sessions)
        .filter(r"/static/.*|.*\.css")?
        .primary_header(HeaderName::from_static("x-primary"))
        .lock(Lock::new(Duration::from_secs(15), Duration::from_secs(5))?)?;
    Ok(Router::new()
        .route("/cart", get(show))
        .route("/cart/{item}", post(add))
        .route("/member", get(is_primary))
        .route("/login/{name}", post(log_in))
        .route("/me", get(me))
        .route("/renew", post(renew))
        .route("/logout", post(log_out))
        .route("/style.css", get(|| async { "body { font-family: sans-serif }" }))
        .layer(replication))
}

async fn show(cart: Live<Cart>) -> Json<Vec<String>> {
    Json(cart.lock().items.clone())
}

/// Changes the cart in place: that is all there is to do.
async fn add(cart: Live<Cart>, Path(item): Path<String>) -> Json<Vec<String>> {
    let mut cart = cart.lock();
    cart.items.push(item);
    Json(cart.items.clone())
}

async fn is_primary(primary: Option<Primary>) -> &'static str {
    match primary {
        Some(Primary(true)) => "your session belongs to this member\n",
        Some(Primary(false)) => "your session belongs to another member\n",
        None => "you have no session\n",
    }
}

async fn log_in(session: Session, Path(name): Path<String>) -> Result<(), StatusCode> {
    Principal::new(name).with_role("customer").log_in(&session).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn me(principal: Principal) -> Json<Principal> {
    Json(principal)
}

async fn renew(session: Session) -> Result<(), StatusCode> {
    renew_id(&session).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn log_out(session: Session) -> Result<(), StatusCode> {
    Principal::log_out(&session).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}
