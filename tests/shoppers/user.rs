//! One user: shops, thinks, remembers what was acknowledged, and complains when the cart disagrees.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use reqwest::{Client, Method, Response};
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Options;
use super::ledger::{Ledger, Loss};
use super::outcome::{self, Outcome};
use super::tally::{Book, Seen};

/// What the users buy, each made personal so that no two items are the same.
const PRODUCTS: [&str; 3] = ["mug", "rope", "boots"];
/// A cart with more surely in it is first emptied a little: sessions stay of a usual size however long the run.
const ENOUGH: usize = 30;
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What a user does next.
#[derive(Debug, Clone)]
enum Wish {
    Page,
    Cart,
    Add(String),
    Remove(String),
}

/// The part of the shop's answers that a user checks.
#[derive(Debug, Deserialize)]
struct Answer {
    requests: u64,
    #[serde(default)]
    items: Option<Vec<Item>>,
}

#[derive(Debug, Deserialize)]
struct Item {
    id: String,
}

/// See the module.
#[derive(Debug)]
pub(super) struct User {
    number: usize,
    http: Client,
    base: String,
    options: Options,
    dice: StdRng,
    ledger: Ledger,
    member: Option<String>,
    book: Arc<Book>,
}

impl User {
    pub(super) fn new(number: usize, base: &str, options: &Options, book: Arc<Book>) -> reqwest::Result<Self> {
        let http = Client::builder()
            .cookie_store(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT.min(options.patience))
            .timeout(options.patience)
            .pool_max_idle_per_host(1)
            .build()?;
        Ok(Self {
            number,
            http,
            base: base.trim_end_matches('/').to_owned(),
            options: options.clone(),
            dice: StdRng::seed_from_u64(options.seed.wrapping_mul(1_000_003) + number as u64),
            ledger: Ledger::default(),
            member: None,
            book,
        })
    }

    /// Shops until told to stop, or until `until`; then looks at the cart a last time.
    pub(super) async fn shop(mut self, stop: CancellationToken, mut rounds: watch::Receiver<u64>, until: Instant) {
        let mut seen_round = 0;
        // Nobody enters at the same instant as everybody else.
        let mut pause = self.dice.random_range(Duration::ZERO..self.options.think.end);
        let mut wish = Wish::Page;
        while Instant::now() < until {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
                changed = rounds.changed() => if changed.is_err() { break },
            }
            let round = *rounds.borrow_and_update();
            if round > seen_round {
                wish = Wish::Cart;
            }
            let looked = matches!(wish, Wish::Cart);
            let outcome = self.fulfil(wish).await;
            if looked && outcome == Outcome::Done {
                seen_round = round;
                self.book.cart_seen(self.number, round);
            }
            wish = if seen_round < round { Wish::Cart } else { self.next_wish() };
            pause = self.dice.random_range(self.options.think.clone());
        }
        self.last_look().await;
    }

    fn next_wish(&mut self) -> Wish {
        let present = self.ledger.present();
        let full = present.len() >= ENOUGH;
        let some_item = present.choose(&mut self.dice).cloned();
        match (self.dice.random_range(0..100), some_item) {
            (0..15, _) => Wish::Page,
            (15..40, _) => Wish::Cart,
            (40..55, Some(id)) => Wish::Remove(id),
            (_, Some(id)) if full => Wish::Remove(id),
            _ => {
                let product = PRODUCTS[self.dice.random_range(0..PRODUCTS.len())];
                Wish::Add(self.ledger.next_id(product, self.number))
            }
        }
    }

    /// The cart must be readable at last, and be right.
    async fn last_look(&mut self) {
        let end = Instant::now() + self.options.last_look;
        while self.fulfil(Wish::Cart).await != Outcome::Done {
            if Instant::now() >= end {
                let waited = self.options.last_look.as_secs();
                self.book.lost(self.number, &format!("the cart could not be read for {waited} s"), self.member.as_deref());
                return;
            }
            tokio::time::sleep(self.options.think.end.min(Duration::from_secs(1))).await;
        }
    }

    async fn fulfil(&mut self, wish: Wish) -> Outcome {
        let (method, path) = match &wish {
            Wish::Page => (Method::GET, "/".to_owned()),
            Wish::Cart => (Method::GET, "/cart".to_owned()),
            Wish::Add(_) => (Method::POST, "/cart/items".to_owned()),
            Wish::Remove(id) => (Method::DELETE, format!("/cart/items/{id}")),
        };
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Wish::Add(id) = &wish {
            request = request.json(&serde_json::json!({"id": id, "quantity": 1}));
        }
        let began = Instant::now();
        let (outcome, answer, member, what) = match read(&method, request.send().await, &wish).await {
            Ok(read) => read,
            Err(error) => (outcome::of_error(&error), None, None, describe(&error)),
        };
        let took = began.elapsed();

        let moved_from = match (&self.member, &member) {
            (Some(before), Some(now)) if before != now => Some(before.clone()),
            _ => None,
        };
        let seen = Seen { user: self.number, outcome, took, member: member.clone(), moved_from, what: format!("{method} {path}: {what}") };
        self.book.saw(seen);
        self.member = member.or(self.member.take());
        self.remember(wish, outcome, answer);
        outcome
    }

    fn remember(&mut self, wish: Wish, outcome: Outcome, answer: Option<Answer>) {
        match (wish, outcome) {
            (Wish::Add(id), Outcome::Done) => self.ledger.added(id),
            (Wish::Add(id), Outcome::Unknown | Outcome::InFlight) => self.ledger.maybe_added(id),
            (Wish::Remove(id), Outcome::Done) => self.ledger.removed(&id),
            (Wish::Remove(id), Outcome::Unknown | Outcome::InFlight) => self.ledger.maybe_removed(id),
            (Wish::Page | Wish::Cart, _) | (_, Outcome::NotDone) => {}
        }
        let Some(answer) = answer else { return };
        let mut losses: Vec<Loss> = self.ledger.check_requests(answer.requests).into_iter().collect();
        if let Some(items) = answer.items {
            let cart: BTreeSet<String> = items.into_iter().map(|item| item.id).collect();
            losses.extend(self.ledger.check_cart(&cart));
        }
        for loss in losses {
            self.book.lost(self.number, &loss, self.member.as_deref());
        }
    }
}

/// Reads an answer to its end; a good status with a body that cannot be read was no acknowledgement.
async fn read(
    method: &Method,
    response: reqwest::Result<Response>,
    wish: &Wish,
) -> reqwest::Result<(Outcome, Option<Answer>, Option<String>, String)> {
    let response = response?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (status, member, gateway_error) = (response.status(), header(outcome::MEMBER), header(outcome::GATEWAY_ERROR));
    let outcome = outcome::of_answer(method, status, gateway_error.as_deref());
    let what = match gateway_error {
        Some(reason) => format!("{status}, by the gateway: {reason}"),
        None => status.to_string(),
    };
    let body = response.bytes().await?;
    if outcome != Outcome::Done {
        return Ok((outcome, None, member, what));
    }
    let answer = match wish {
        Wish::Page => requests_on(&String::from_utf8_lossy(&body)).map(|requests| Answer { requests, items: None }),
        Wish::Cart => serde_json::from_slice(&body).ok().filter(|answer: &Answer| answer.items.is_some()),
        Wish::Add(_) | Wish::Remove(_) => serde_json::from_slice(&body).ok(),
    };
    Ok(match answer {
        Some(answer) => (outcome, Some(answer), member, what),
        None => (Outcome::Unknown, None, member, format!("{what} with a body of {} bytes that is not the shop's", body.len())),
    })
}

/// The page shows `id="requests">12<`.
fn requests_on(page: &str) -> Option<u64> {
    let (_, rest) = page.split_once(r#"id="requests">"#)?;
    rest.split_once('<')?.0.parse().ok()
}

fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
