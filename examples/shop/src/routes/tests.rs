//! The routes over a session store in memory, and over one that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_sessions::MemoryStore;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store;

use super::*;

/// Memory that can be told to refuse.
#[derive(Debug, Clone, Default)]
struct Moody {
    memory: MemoryStore,
    refuses_loads: Arc<AtomicBool>,
    refuses_saves: Arc<AtomicBool>,
}

fn unless(refuses: &AtomicBool) -> session_store::Result<()> {
    if refuses.load(Ordering::SeqCst) {
        return Err(session_store::Error::Backend("NOREPLICAS".to_owned()));
    }
    Ok(())
}

#[async_trait]
impl SessionStore for Moody {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        unless(&self.refuses_saves)?;
        self.memory.create(record).await
    }
    async fn save(&self, record: &Record) -> session_store::Result<()> {
        unless(&self.refuses_saves)?;
        self.memory.save(record).await
    }
    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        unless(&self.refuses_loads)?;
        self.memory.load(id).await
    }
    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        self.memory.delete(id).await
    }
}

/// One user with a cookie jar of one cookie.
struct User {
    router: Router,
    store: Moody,
    cookie: Option<String>,
}

impl User {
    fn new() -> Self {
        let store = Moody::default();
        Self { router: router(Shop { pod: "shop-1".to_owned() }, store.clone()), store, cookie: None }
    }

    async fn send(&mut self, method: Method, path: &str, headers: &[(header::HeaderName, &str)], body: &str) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        if let Some(cookie) = response.headers().get(SET_COOKIE) {
            self.cookie = cookie.to_str().expect("ascii").split(';').next().map(str::to_owned);
        }
        response
    }

    async fn json(&mut self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let response = self.send(method, path, &[(CONTENT_TYPE, "application/json")], &body.to_string()).await;
        let status = response.status();
        let text = text(response).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("utf-8")
}

#[tokio::test]
async fn what_is_added_stays_until_it_is_removed() {
    let mut user = User::new();
    let (status, added) = user.json(Method::POST, "/cart/items", json!({"id": "mug.ada", "quantity": 2})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(added, json!({"pod": "shop-1", "requests": 1, "item": {"id": "mug.ada", "quantity": 2}}));
    user.json(Method::POST, "/cart/items", json!({"id": "rope"})).await;
    let (_, cart) = user.json(Method::GET, "/cart", Value::Null).await;
    assert_eq!(cart, json!({"pod": "shop-1", "requests": 3, "items": [{"id": "mug.ada", "quantity": 2}, {"id": "rope", "quantity": 1}]}));
    let (_, removed) = user.json(Method::DELETE, "/cart/items/mug.ada", Value::Null).await;
    assert_eq!(removed, json!({"pod": "shop-1", "requests": 4, "removed": true}));
    let (status, again) = user.json(Method::DELETE, "/cart/items/mug.ada", Value::Null).await;
    assert_eq!((status, &again["removed"]), (StatusCode::OK, &json!(false)), "sent again it does no harm");
}

#[tokio::test]
async fn a_browser_fills_in_forms_and_sees_the_page_again() {
    let mut user = User::new();
    let form = [(CONTENT_TYPE, "application/x-www-form-urlencoded"), (ACCEPT, "text/html,*/*;q=0.8")];
    let added = user.send(Method::POST, "/cart/items", &form, "id=boots").await;
    assert_eq!((added.status(), &added.headers()[LOCATION]), (StatusCode::SEE_OTHER, &header::HeaderValue::from_static("/")));
    let page = user.send(Method::GET, "/", &[], "").await;
    assert_eq!(page.headers()[header::CACHE_CONTROL], "no-store");
    assert!(text(page).await.contains(r#"action="/cart/items/boots/remove""#));
    let removed = user.send(Method::POST, "/cart/items/boots/remove", &form, "").await;
    assert_eq!(removed.status(), StatusCode::SEE_OTHER);
    assert!(text(user.send(Method::GET, "/", &[], "").await).await.contains("Nothing in it yet."));
}

#[tokio::test]
async fn a_change_that_could_not_be_saved_is_not_acknowledged() {
    let mut user = User::new();
    user.json(Method::POST, "/cart/items", json!({"id": "mug"})).await;
    user.store.refuses_saves.store(true, Ordering::SeqCst);
    let (status, _) = user.json(Method::POST, "/cart/items", json!({"id": "rope"})).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let (status, _) = user.json(Method::DELETE, "/cart/items/mug", Value::Null).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(User { cookie: None, ..user }.json(Method::GET, "/cart", Value::Null).await.0, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_session_that_could_not_be_read_is_neither_empty_nor_overwritten() {
    let mut user = User::new();
    user.json(Method::POST, "/cart/items", json!({"id": "mug"})).await;
    user.store.refuses_loads.store(true, Ordering::SeqCst);
    let (status, _) = user.json(Method::POST, "/cart/items", json!({"id": "rope"})).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    user.store.refuses_loads.store(false, Ordering::SeqCst);
    let (_, cart) = user.json(Method::GET, "/cart", Value::Null).await;
    assert_eq!(cart["items"], json!([{"id": "mug", "quantity": 1}]));
}

#[tokio::test]
async fn bad_input_is_refused_with_the_field_and_what_is_right() {
    let mut user = User::new();
    for (body, says) in [
        (json!({"id": "anchor"}), "id \"anchor\": no such product"),
        (json!({"id": "mug", "quantity": 100}), "quantity 100: must be 1 to 99"),
        (json!({"id": "mug", "quantity": -1}), "quantity"),
        (json!({"quantity": 1}), "missing field `id`"),
    ] {
        let (status, text) = user.json(Method::POST, "/cart/items", body.clone()).await;
        let text = text.as_str().expect("a message");
        assert!(status == StatusCode::UNPROCESSABLE_ENTITY && text.contains(says), "{body}: {status} {text}");
    }
}

#[tokio::test]
async fn health_does_not_depend_on_the_store() {
    let mut user = User::new();
    user.store.refuses_loads.store(true, Ordering::SeqCst);
    user.store.refuses_saves.store(true, Ordering::SeqCst);
    let health = user.send(Method::GET, "/healthz", &[], "").await;
    assert_eq!((health.status(), health.headers().get(SET_COOKIE)), (StatusCode::OK, None));
}
