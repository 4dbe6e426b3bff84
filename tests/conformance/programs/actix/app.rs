//! A small web application whose sessions actix-session keeps in Redis. The middleware saves before the answer leaves, and answers 500 if that fails.

use actix_session::storage::RedisSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::{get, post, web, App, Error, HttpResponse, HttpServer};
use serde::Deserialize;

#[derive(Deserialize)]
struct Order {
    number: u64,
}

#[post("/")]
async fn save(session: Session, order: web::Query<Order>) -> Result<HttpResponse, Error> {
    session.insert("number", order.number)?;
    Ok(HttpResponse::Ok().body("saved"))
}

#[get("/")]
async fn number(session: Session) -> Result<HttpResponse, Error> {
    let number: Option<u64> = session.get("number")?;
    Ok(number.map_or_else(|| HttpResponse::NotFound().finish(), |number| HttpResponse::Ok().body(number.to_string())))
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let store = RedisSessionStore::new("redis://127.0.0.1:6379").await.map_err(std::io::Error::other)?;
    let key = Key::generate();
    let shop = move || {
        let sessions = SessionMiddleware::builder(store.clone(), key.clone()).cookie_secure(false).build();
        App::new().wrap(sessions).service(save).service(number)
    };
    HttpServer::new(shop).workers(2).bind(("127.0.0.1", 8080))?.run().await
}
