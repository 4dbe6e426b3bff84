//! The shop: a cart in the session, changed in place. It answers as examples/shop does, so that the same users can shop here.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use holdfast::{Attribute, Live, Member, ReplicationLayer};
use serde::{Deserialize, Serialize};
use tower_sessions::cookie::time::Duration;
use tower_sessions::{Expiry, SessionManagerLayer};

const SESSION_COOKIE: &str = "sessionid";
const SESSION_LASTS: Duration = Duration::minutes(30);
/// The most different items, and the longest name of one: a session stays at some kilobytes.
const MOST_ITEMS: usize = 100;
const LONGEST_ID: usize = 64;

/// What a user has asked for, and is about to buy.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Visit {
    requests: u64,
    items: Vec<Line>,
}

/// One line of the cart.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    id: String,
    quantity: u32,
}

impl Attribute for Visit {
    const NAME: &'static str = "visit";
}

impl Visit {
    /// Puts more of an item in; false if the cart is full, or there is no such item.
    fn add(&mut self, order: Line) -> bool {
        if let Some(line) = self.items.iter_mut().find(|line| line.id == order.id) {
            line.quantity = line.quantity.saturating_add(order.quantity);
            return true;
        }
        let has_room = self.items.len() < MOST_ITEMS && order.id.len() <= LONGEST_ID;
        if has_room {
            self.items.push(order);
        }
        has_room
    }
}

/// The shop on this member.
pub(crate) fn router(member: &Member) -> Router {
    let store = member.store();
    // Plain HTTP inside a cluster, so the cookie cannot be `Secure` here.
    let sessions = SessionManagerLayer::new(store.clone())
        .with_name(SESSION_COOKIE)
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(SESSION_LASTS));
    Router::new()
        .route("/", get(page))
        .route("/cart", get(show))
        .route("/cart/items", post(add))
        .route("/cart/items/{id}", delete(remove))
        .layer(ReplicationLayer::new(&store, sessions))
}

/// Each request counts, so each one writes: whoever asks again sees it.
fn begin(visit: &Live<Visit>) -> holdfast::LiveGuard<'_, Visit> {
    let mut visit = visit.lock();
    visit.requests += 1;
    visit
}

async fn page(visit: Live<Visit>) -> impl IntoResponse {
    let visit = begin(&visit);
    let page = format!(
        r#"<!doctype html><title>Kiosk</title><p>Request <b id="requests">{}</b>, with <b id="pieces">{}</b> things in your cart."#,
        visit.requests,
        visit.items.len()
    );
    ([(header::CACHE_CONTROL, "no-store")], Html(page))
}

async fn show(visit: Live<Visit>) -> impl IntoResponse {
    let visit = begin(&visit);
    let answer = Visit { requests: visit.requests, items: visit.items.clone() };
    ([(header::CACHE_CONTROL, "no-store")], Json(answer))
}

async fn add(visit: Live<Visit>, Json(order): Json<Line>) -> Result<impl IntoResponse, StatusCode> {
    let mut visit = begin(&visit);
    if visit.add(order) { Ok(Json(Counted { requests: visit.requests })) } else { Err(StatusCode::UNPROCESSABLE_ENTITY) }
}

/// Removing what is not there is no failure: the request may be one that is sent again.
async fn remove(visit: Live<Visit>, Path(id): Path<String>) -> impl IntoResponse {
    let mut visit = begin(&visit);
    visit.items.retain(|line| line.id != id);
    Json(Counted { requests: visit.requests })
}

/// The answer to a change.
#[derive(Serialize)]
struct Counted {
    requests: u64,
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Method, Request, Response};
    use holdfast::Loopback;
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;

    async fn ask(shop: &Router, method: Method, path: &str, cookie: Option<&str>, body: Value) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        shop.clone().oneshot(request.body(Body::from(body.to_string())).expect("a request")).await.expect("infallible")
    }

    async fn json_of(response: Response<Body>) -> Value {
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        serde_json::from_slice(&body).expect("JSON")
    }

    #[tokio::test]
    async fn a_cart_grows_and_shrinks_and_every_request_counts() {
        let member = Loopback::new("kiosk").member(0).start().expect("starts");
        member.joined().await.expect("joined");
        let shop = router(&member);
        let first = ask(&shop, Method::POST, "/cart/items", None, json!({"id": "mug.1", "quantity": 2})).await;
        let cookie = first.headers()[header::SET_COOKIE].to_str().expect("text").split(';').next().expect("a pair").to_owned();
        assert!(cookie.starts_with("sessionid="), "{cookie}");
        assert_eq!(json_of(first).await, json!({"requests": 1}));
        let cookie = Some(cookie.as_str());
        ask(&shop, Method::POST, "/cart/items", cookie, json!({"id": "rope.1", "quantity": 1})).await;
        let removed = ask(&shop, Method::DELETE, "/cart/items/mug.1", cookie, Value::Null).await;
        assert_eq!(json_of(removed).await, json!({"requests": 3}));
        let cart = json_of(ask(&shop, Method::GET, "/cart", cookie, Value::Null).await).await;
        assert_eq!(cart, json!({"requests": 4, "items": [{"id": "rope.1", "quantity": 1}]}));
        let page = ask(&shop, Method::GET, "/", cookie, Value::Null).await.into_body().collect().await.expect("a body").to_bytes();
        assert!(String::from_utf8_lossy(&page).contains(r#"id="requests">5<"#));
    }

    #[test]
    fn a_cart_is_bounded() {
        let line = |id: String| Line { id, quantity: 1 };
        let mut visit = Visit::default();
        assert!(!visit.add(line("x".repeat(LONGEST_ID + 1))));
        for n in 0..MOST_ITEMS {
            assert!(visit.add(line(format!("mug.{n}"))));
        }
        assert!(!visit.add(line("one more".to_owned())));
        assert!(visit.add(line("mug.0".to_owned())), "what is there already may still grow");
    }
}
