//! The shop's addresses. Each request loads the session, and the session library saves it before the answer goes out: an
//! acknowledged change is a saved one.

use std::sync::Arc;

use axum::extract::{FromRequest, Path, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{delete, get, post};
use axum::{Form, Json, Router};
use serde::{Deserialize, Serialize};
use tower_sessions::cookie::SameSite;
use tower_sessions::cookie::time::Duration;
use tower_sessions::{Expiry, Session, SessionManagerLayer, SessionStore};

use crate::cart::{Cart, Line};
use crate::failure::Failure;
use crate::pages;

/// The session cookie.
pub(crate) const SESSION_COOKIE: &str = "sessionid";
const SESSION_LASTS: Duration = Duration::minutes(30);

/// What every request needs.
#[derive(Debug)]
pub(crate) struct Shop {
    /// The name of the pod that answers.
    pub(crate) pod: String,
}

/// What an item's form or JSON says.
#[derive(Debug, Deserialize)]
struct Order {
    id: String,
    #[serde(default = "one")]
    quantity: u32,
}

fn one() -> u32 {
    1
}

impl<S: Send + Sync> FromRequest<S> for Order {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let refuse =
            |why: String| Failure::refused(format!("body: must be JSON or a form with `id`, and `quantity` unless it is 1: {why}"));
        if content_type.starts_with("application/json") {
            let Json(order) = Json::from_request(request, state).await.map_err(|why| refuse(why.body_text()))?;
            Ok(order)
        } else {
            let Form(order) = Form::from_request(request, state).await.map_err(|why| refuse(why.body_text()))?;
            Ok(order)
        }
    }
}

/// The answer to a change, and of `GET /cart` with all that is in it.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    pod: &'a str,
    requests: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<&'a [Line]>,
}

/// All routes over one session store.
pub(crate) fn router<S: SessionStore + Clone>(shop: Shop, store: S) -> Router {
    // Plain HTTP inside a cluster or on a laptop, so the cookie cannot be `Secure` here.
    let sessions = SessionManagerLayer::new(store)
        .with_name(SESSION_COOKIE)
        .with_secure(false)
        .with_same_site(SameSite::Lax)
        .with_expiry(Expiry::OnInactivity(SESSION_LASTS));
    Router::new()
        .route("/", get(page))
        .route("/cart", get(show))
        .route("/cart/items", post(add))
        .route("/cart/items/{id}", delete(remove))
        // A form of a browser cannot send DELETE.
        .route("/cart/items/{id}/remove", post(remove_by_form))
        .with_state(Arc::new(shop))
        .layer(sessions)
        .route("/healthz", get(|| async { "ok\n" }))
}

/// What the session holds for us.
struct Visit {
    session: Session,
    requests: u64,
    cart: Cart,
}

impl Visit {
    /// Loads the session and counts this request in it.
    async fn begin(session: Session) -> Result<Self, Failure> {
        let requests = session.get::<u64>("requests").await?.unwrap_or_default() + 1;
        let cart = session.get("cart").await?.unwrap_or_default();
        session.insert("requests", requests).await?;
        Ok(Self { session, requests, cart })
    }

    /// Puts the changed cart back; the session library saves it after the handler.
    async fn keep(&self) -> Result<(), Failure> {
        Ok(self.session.insert("cart", &self.cart).await?)
    }

    fn answer<'a>(&self, shop: &'a Shop) -> Answer<'a> {
        Answer { pod: &shop.pod, requests: self.requests, item: None, removed: None, items: None }
    }
}

async fn page(State(shop): State<Arc<Shop>>, session: Session) -> Result<Response, Failure> {
    let visit = Visit::begin(session).await?;
    let page = pages::shop(&shop.pod, visit.requests, &visit.cart);
    Ok(uncached(Html(page)))
}

async fn show(State(shop): State<Arc<Shop>>, session: Session) -> Result<Response, Failure> {
    let visit = Visit::begin(session).await?;
    Ok(uncached(Json(Answer { items: Some(visit.cart.lines()), ..visit.answer(&shop) })))
}

async fn add(State(shop): State<Arc<Shop>>, session: Session, headers: HeaderMap, order: Order) -> Result<Response, Failure> {
    let mut visit = Visit::begin(session).await?;
    let quantity = visit.cart.add(&order.id, order.quantity)?;
    visit.keep().await?;
    Ok(if wants_page(&headers) {
        Redirect::to("/").into_response()
    } else {
        let item = Some(Line { id: order.id, quantity });
        Json(Answer { item, ..visit.answer(&shop) }).into_response()
    })
}

/// Removing what is not there is no failure: the request may be one that is sent again.
async fn remove(State(shop): State<Arc<Shop>>, session: Session, Path(id): Path<String>) -> Result<Response, Failure> {
    let mut visit = Visit::begin(session).await?;
    let removed = Some(visit.cart.remove(&id));
    visit.keep().await?;
    Ok(Json(Answer { removed, ..visit.answer(&shop) }).into_response())
}

async fn remove_by_form(session: Session, Path(id): Path<String>) -> Result<Redirect, Failure> {
    let mut visit = Visit::begin(session).await?;
    visit.cart.remove(&id);
    visit.keep().await?;
    Ok(Redirect::to("/"))
}

/// Whether a person's browser asks, which wants to see the page again.
fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

/// A cart is its user's own: no cache may keep it.
fn uncached(answer: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], answer).into_response()
}

#[cfg(test)]
mod tests;
