//! The checker is checked: users against a shop in this process that breaks its promises in every way that matters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::*;

/// A way in which the shop goes wrong, at every so-manieth request of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Fault {
    #[default]
    None,
    /// Answers 200 to an add and does not keep it.
    ForgetsAdds,
    /// Answers 200 to a remove and keeps the item.
    ForgetsRemoves,
    /// Loses the session with all that is in it.
    LosesSessions,
    /// Writes an older state of the session back: the lost update.
    RollsBack,
    /// Answers 502 `in-flight` to an add, which it carries out every other time.
    BreaksInFlight,
    /// Answers 502 `unsent` to an add that it carries out.
    LiesAboutUnsent,
    /// Answers a look with 500.
    FailsLooks,
    /// Keeps a look waiting for 300 ms.
    Dawdles,
    /// Is answered by another member each time.
    Wanders,
    /// Cannot be read any more.
    GoesDark,
}

#[derive(Debug, Clone, Default)]
struct Session {
    requests: u64,
    items: Vec<String>,
}

#[derive(Debug, Default)]
struct Stub {
    fault: Mutex<Fault>,
    sessions: Mutex<BTreeMap<u64, (Session, Session)>>,
    counter: AtomicU64,
}

impl Stub {
    fn is(&self, fault: Fault) -> bool {
        *self.fault.lock().expect("nobody panics while holding it") == fault
    }

    /// Whether the fault strikes this time.
    fn strikes(&self, fault: Fault) -> bool {
        self.is(fault) && self.counter.fetch_add(1, Ordering::SeqCst) % 10 == 9
    }

    fn visit(&self, headers: &HeaderMap, change: impl FnOnce(&mut Session)) -> (u64, Session) {
        let mut sessions = self.sessions.lock().expect("nobody panics while holding it");
        let cookie = headers.get(header::COOKIE).and_then(|value| value.to_str().ok()?.strip_prefix("sessionid=")?.parse().ok());
        let next = sessions.len() as u64;
        let id = cookie.filter(|id| sessions.contains_key(id)).unwrap_or(next);
        let (before, now) = sessions.entry(id).or_default();
        if self.strikes(Fault::LosesSessions) {
            *now = Session::default();
        }
        let older = std::mem::replace(before, now.clone());
        now.requests += 1;
        change(now);
        let answer = now.clone();
        if self.strikes(Fault::RollsBack) {
            *now = older;
        }
        (id, answer)
    }
}

fn answer(stub: &Stub, (id, session): (u64, Session), body: Value) -> Response {
    let wandered = if stub.is(Fault::Wanders) { stub.counter.fetch_add(1, Ordering::SeqCst) % 2 } else { 0 };
    let mut body = body;
    body["requests"] = json!(session.requests);
    let headers = [("set-cookie", format!("sessionid={id}; Path=/")), ("x-holdfast-member", format!("shop-{wandered}"))];
    (headers, Json(body)).into_response()
}

fn gateway_error(reason: &'static str) -> Response {
    (StatusCode::BAD_GATEWAY, [("x-holdfast-error", reason)]).into_response()
}

async fn page(State(stub): State<Arc<Stub>>, headers: HeaderMap) -> Response {
    if stub.is(Fault::GoesDark) {
        return gateway_error("no-member");
    }
    let (id, session) = stub.visit(&headers, |_| ());
    let page = format!(r#"<dd id="requests">{}</dd>"#, session.requests);
    ([("set-cookie", format!("sessionid={id}; Path=/")), ("x-holdfast-member", "shop-0".to_owned())], page).into_response()
}

async fn look(State(stub): State<Arc<Stub>>, headers: HeaderMap) -> Response {
    if stub.is(Fault::GoesDark) {
        return gateway_error("no-member");
    }
    if stub.strikes(Fault::FailsLooks) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if stub.strikes(Fault::Dawdles) {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let seen = stub.visit(&headers, |_| ());
    let items: Vec<_> = seen.1.items.iter().map(|id| json!({"id": id, "quantity": 1})).collect();
    answer(&stub, seen, json!({ "items": items }))
}

async fn add(State(stub): State<Arc<Stub>>, headers: HeaderMap, Json(order): Json<Value>) -> Response {
    let id = order["id"].as_str().expect("an id").to_owned();
    let (lies, breaks) = (stub.strikes(Fault::LiesAboutUnsent), stub.strikes(Fault::BreaksInFlight));
    let forgets = stub.strikes(Fault::ForgetsAdds) || (breaks && stub.counter.load(Ordering::SeqCst).is_multiple_of(20));
    let seen = stub.visit(&headers, |session| {
        if !forgets {
            session.items.push(id);
        }
    });
    match (lies, breaks) {
        (true, _) => gateway_error("unsent"),
        (_, true) => gateway_error("in-flight"),
        _ => answer(&stub, seen, json!({})),
    }
}

async fn remove(State(stub): State<Arc<Stub>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let forgets = stub.strikes(Fault::ForgetsRemoves);
    let seen = stub.visit(&headers, |session| session.items.retain(|item| forgets || *item != id));
    answer(&stub, seen, json!({}))
}

/// Users at a stub: half a second without fault, half a second with it, and all look at their carts.
async fn shop_with(fault: Fault) -> Report {
    let stub = Arc::new(Stub::default());
    let router = Router::new()
        .route("/", get(page))
        .route("/cart", get(look))
        .route("/cart/items", post(add))
        .route("/cart/items/{id}", delete(remove))
        .with_state(Arc::clone(&stub));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });

    let options = Options {
        think: Duration::from_millis(2)..Duration::from_millis(12),
        patience: Duration::from_secs(5),
        last_look: Duration::from_millis(500),
        ..Options::new(20)
    };
    let shoppers = Shoppers::with(&url, &options).expect("users");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(shoppers.look_at_all_carts(Duration::from_secs(5)).await, BTreeSet::new());
    shoppers.phase("fault");
    *stub.fault.lock().expect("nobody panics while holding it") = fault;
    tokio::time::sleep(Duration::from_millis(500)).await;
    if fault != Fault::GoesDark {
        *stub.fault.lock().expect("nobody panics while holding it") = Fault::None;
        assert_eq!(shoppers.look_at_all_carts(Duration::from_secs(5)).await, BTreeSet::new());
    }
    shoppers.phase("end");
    let report = shoppers.finish().await;
    server.abort();

    let calm = report.phase("start").expect("the first phase");
    assert!(calm.requests > 200, "{report}");
    assert_eq!((calm.failed, calm.in_flight, calm.carts_lost, calm.moves), (0, 0, 0, 0), "{report}{}", report.complaints());
    report
}

fn counts(report: &Report) -> (u64, u64, usize) {
    (report.total.failed, report.total.in_flight, report.total.carts_lost)
}

#[tokio::test]
async fn an_honest_shop_gets_no_complaint() {
    let report = shop_with(Fault::None).await;
    assert_eq!(counts(&report), (0, 0, 0), "{report}{}", report.complaints());
    assert_eq!(report.complaints(), "");
    assert!(report.phases.iter().all(|phase| phase.requests > 0), "{report}");
}

#[tokio::test]
async fn a_forgotten_add_is_a_lost_cart() {
    let report = shop_with(Fault::ForgetsAdds).await;
    assert!(report.total.failed == 0 && report.phase("fault").expect("it").carts_lost > 3, "{report}");
    assert!(report.complaints().contains("was acknowledged and is gone"), "{}", report.complaints());
}

#[tokio::test]
async fn a_removed_item_that_stays_is_a_lost_cart() {
    let report = shop_with(Fault::ForgetsRemoves).await;
    assert!(report.phase("fault").expect("it").carts_lost > 0, "{report}");
    assert!(report.complaints().contains("should not be there and is"), "{}", report.complaints());
}

#[tokio::test]
async fn a_lost_session_is_a_lost_cart() {
    assert!(shop_with(Fault::LosesSessions).await.phase("fault").expect("it").carts_lost > 10);
}

#[tokio::test]
async fn a_lost_update_is_a_lost_cart() {
    let report = shop_with(Fault::RollsBack).await;
    assert!(report.phase("fault").expect("it").carts_lost > 10, "{report}");
    assert!(report.complaints().contains("request count went from"), "{}", report.complaints());
}

#[tokio::test]
async fn an_unknown_outcome_may_be_either_and_is_counted_apart() {
    let report = shop_with(Fault::BreaksInFlight).await;
    assert!(report.phase("fault").expect("it").in_flight > 3, "{report}");
    assert_eq!((report.total.failed, report.total.carts_lost), (0, 0), "{report}{}", report.complaints());
}

#[tokio::test]
async fn what_the_gateway_calls_unsent_must_not_have_happened() {
    let report = shop_with(Fault::LiesAboutUnsent).await;
    assert!(report.total.failed > 3 && report.total.carts_lost > 3, "{report}");
}

#[tokio::test]
async fn a_failed_look_is_a_failed_request_and_no_lost_cart() {
    let report = shop_with(Fault::FailsLooks).await;
    assert!(report.phase("fault").expect("it").failed > 3 && report.total.carts_lost == 0, "{report}");
    assert!(report.complaints().contains("GET /cart: 500"), "{}", report.complaints());
}

#[tokio::test]
async fn the_longest_wait_is_seen() {
    let report = shop_with(Fault::Dawdles).await;
    let longest = report.phase("fault").expect("it").longest;
    assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&longest), "{report}");
}

#[tokio::test]
async fn leaving_a_healthy_member_breaks_affinity() {
    let report = shop_with(Fault::Wanders).await;
    let phase = report.phase("fault").expect("it");
    assert!(phase.affinity_breaks > 10 && phase.affinity_breaks == phase.moves, "{report}");
}

#[tokio::test]
async fn a_cart_that_cannot_be_read_at_the_end_is_lost() {
    let report = shop_with(Fault::GoesDark).await;
    assert_eq!(report.phase("end").expect("it").carts_lost, report.users, "{report}");
}

#[test]
fn leaving_a_disturbed_member_is_a_move_with_good_reason() {
    let book = Book::new(1);
    book.begin_phase("kill".to_owned());
    book.disturb(BTreeSet::from(["shop-1".to_owned()]));
    for (from, to) in [("shop-1", "shop-2"), ("shop-2", "shop-0")] {
        book.saw(tally::Seen {
            user: 0,
            outcome: outcome::Outcome::Done,
            took: Duration::from_millis(1),
            member: Some(to.to_owned()),
            moved_from: Some(from.to_owned()),
            what: String::new(),
        });
    }
    let report = book.report();
    assert_eq!((report.total.moves, report.total.affinity_breaks), (2, 1));
    assert_eq!(book.users_by_member(), BTreeMap::from([("shop-0".to_owned(), 1)]));
}

#[tokio::test]
async fn nobody_there_is_failures_and_lost_carts_within_the_limits() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    let options = Options {
        think: Duration::from_millis(2)..Duration::from_millis(12),
        last_look: Duration::from_millis(100),
        limit: Duration::from_millis(200),
        ..Options::new(3)
    };
    let began = Instant::now();
    let shoppers = Shoppers::with(&url, &options).expect("users");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let report = shoppers.finish().await;
    assert!(report.total.failed > 3 && report.total.carts_lost == 3, "{report}");
    assert!(began.elapsed() < Duration::from_secs(10));
}
