//! The clients: several at each member, each with a connection of its own, one operation at a time. What they saw is the history;
//! all times are of this process' one clock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use holdfast_core::{Command, Key, Reply};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::door::{Door, Outcome, Way};
use super::keys::{self, Keys};
use super::schedule::Member;
use crate::cluster::Cluster;

/// Clients at each member.
const PER_MEMBER: u64 = 3;
/// Between two operations of a client.
const THINK_MILLIS: std::ops::Range<u64> = 20..70;
/// Before a client tries again where it was not let in, or nothing was done.
const PATIENCE: Duration = Duration::from_millis(150);

/// One operation as a client saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) key: Key,
    pub(super) command: Command,
    pub(super) member: Member,
    pub(super) client: u64,
    pub(super) invoked: u64,
    /// None: its outcome is not known.
    pub(super) answered: Option<u64>,
    pub(super) reply: Option<Reply>,
    /// Why there is no answer.
    pub(super) why: Option<String>,
}

/// The one clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since the start.
    pub(super) fn now(self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
}

/// What all clients have in common.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) clock: Clock,
    keys: Mutex<Keys>,
    seen: Mutex<Vec<Seen>>,
    odd: Mutex<Vec<String>>,
    /// When members refused an operation, with nothing done.
    refusals: Mutex<Vec<u64>>,
    /// Operations that were answered, of which nothing is known, and of which nothing was done.
    pub(super) answered: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// The clients at work.
pub(super) struct Clients {
    pub(super) book: Arc<Book>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Clients {
    /// Lets them begin. `pods` are the members' by ordinal; `seed` decides what they do, though not in which order it arrives.
    pub(super) fn begin(cluster: &Cluster, pods: &[String], seed: u64, clock: Clock) -> Self {
        let book = Arc::new(Book {
            clock,
            keys: Mutex::new(Keys::new(&format!("n{seed:x}"))),
            seen: Mutex::default(),
            odd: Mutex::default(),
            refusals: Mutex::default(),
            answered: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        for (member, pod) in (0..).zip(pods) {
            for number in 0..PER_MEMBER {
                let client = Client {
                    cluster: cluster.clone(),
                    member,
                    pod: pod.clone(),
                    number: u64::from(member) * PER_MEMBER + number,
                    way: if number == 0 { Way::Loopback } else { Way::Socket },
                    book: Arc::clone(&book),
                };
                let dice = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(client.number));
                tasks.spawn(client.work(dice, stop.clone()));
            }
        }
        Self { book, stop, tasks }
    }

    /// Lets each end the operation that it is at.
    pub(super) async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                self.book.note_odd(format!("a client of the test ended badly: {error}"));
            }
        }
    }
}

impl Book {
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn refusals(&self) -> Vec<u64> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn odd(&self) -> Vec<String> {
        self.odd.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_odd(&self, what: String) {
        self.odd.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn keep(&self, mut seen: Seen, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Answered(reply) => {
                self.answered.fetch_add(1, Relaxed);
                (seen.answered, seen.reply) = (Some(self.clock.now()), Some(reply));
            }
            Outcome::Refused(_) => {
                self.refused.fetch_add(1, Relaxed);
                self.refusals.lock().unwrap_or_else(PoisonError::into_inner).push(self.clock.now());
                return false;
            }
            Outcome::Unknown(why) => {
                self.unknown.fetch_add(1, Relaxed);
                seen.why = Some(why);
            }
            Outcome::Odd(what) => {
                self.note_odd(format!("{:?} of {} at member {}: {what}", seen.command, seen.key.escape_ascii(), seen.member));
                seen.why = Some(what);
            }
        }
        let is_answered = seen.answered.is_some();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        is_answered
    }
}

struct Client {
    cluster: Cluster,
    member: Member,
    pod: String,
    number: u64,
    way: Way,
    book: Arc<Book>,
}

impl Client {
    async fn work(self, mut dice: StdRng, stop: CancellationToken) {
        let mut door = None;
        let mut count = 0_u64;
        while !stop.is_cancelled() {
            let Some(open) = &mut door else {
                match Door::open(&self.cluster, &self.pod, self.way).await {
                    Ok(opened) => door = Some(opened),
                    Err(_) => tokio::time::sleep(PATIENCE).await,
                }
                continue;
            };
            count += 1;
            let unique = format!("{}.{count}", self.number);
            let (key, command) = {
                let mut keys = self.book.keys.lock().unwrap_or_else(PoisonError::into_inner);
                keys.next(self.book.clock.now(), &unique, &mut dice)
            };
            let outcome = self.operate(open, key, command).await;
            match outcome {
                Outcome::Answered(_) => {}
                Outcome::Refused(_) => tokio::time::sleep(PATIENCE).await,
                Outcome::Unknown(_) | Outcome::Odd(_) => door = None,
            }
            tokio::time::sleep(Duration::from_millis(dice.random_range(THINK_MILLIS))).await;
        }
    }

    async fn operate(&self, door: &mut Door, key: Key, command: Command) -> Outcome {
        let invoked = self.book.clock.now();
        let outcome = door.run(&key, &command).await;
        let seen = Seen { key, command, member: self.member, client: self.number, invoked, answered: None, reply: None, why: None };
        self.book.keep(seen, outcome.clone());
        outcome
    }
}

/// Reads all `keys` through a member, and adds that to the history. Answers what could not be read.
pub(super) async fn read_all(cluster: &Cluster, book: &Arc<Book>, member: Member, pod: &str, keys: &[Key]) -> Vec<(Key, Option<Reply>)> {
    let client = Client {
        cluster: cluster.clone(),
        member,
        pod: pod.to_owned(),
        number: 1_000 + u64::from(member),
        way: Way::Socket,
        book: Arc::clone(book),
    };
    let mut door = None;
    let mut read = Vec::new();
    for key in keys {
        let mut reply = None;
        for _ in 0..3 {
            if door.is_none() {
                door = Door::open(cluster, pod, Way::Socket).await.ok();
            }
            let Some(open) = &mut door else {
                tokio::time::sleep(PATIENCE).await;
                continue;
            };
            match client.operate(open, key.clone(), keys::reading(key)).await {
                Outcome::Answered(answer) => {
                    reply = Some(answer);
                    break;
                }
                Outcome::Refused(_) => tokio::time::sleep(PATIENCE).await,
                Outcome::Unknown(_) | Outcome::Odd(_) => door = None,
            }
        }
        read.push((key.clone(), reply));
    }
    read
}
