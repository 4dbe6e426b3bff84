//! People at a shop: many users at once over HTTP, each with a session of their own, who remember what they were promised.
//! Every operation that was acknowledged must show in the cart, at each look and at the end; what the users saw is counted
//! phase by phase. The demo and the end-to-end tests drive a cluster with it.

mod histogram;
mod ledger;
mod outcome;
mod report;
mod tally;
mod user;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use report::{PhaseReport, Report};
pub use tally::Snapshot;

use tally::Book;
use user::User;

/// How the users behave. Everything is bounded: their number, each wait and the whole time.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many at once.
    pub users: usize,
    /// How long each looks at the page before the next request; drawn evenly.
    pub think: Range<Duration>,
    /// How long a user waits for one answer.
    pub patience: Duration,
    /// How long the look at the cart is tried again at the end before the cart counts as lost.
    pub last_look: Duration,
    /// After this time users stop by themselves.
    pub limit: Duration,
    /// Makes the choices repeatable.
    pub seed: u64,
}

impl Options {
    /// `users` who think for half a second on average.
    #[must_use]
    pub fn new(users: usize) -> Self {
        Self {
            users,
            think: Duration::from_millis(200)..Duration::from_millis(800),
            patience: Duration::from_secs(20),
            last_look: Duration::from_secs(60),
            limit: Duration::from_secs(30 * 60),
            seed: 1,
        }
    }
}

/// Why shopping could not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client could not be made.
    #[error("failed to set up the HTTP client of user {user}")]
    Client {
        /// Which user.
        user: usize,
        /// What the client says.
        source: reqwest::Error,
    },
}

/// Users at work. Dropping it ends them without a report.
#[derive(Debug)]
pub struct Shoppers {
    book: Arc<Book>,
    stop: CancellationToken,
    rounds: watch::Sender<u64>,
    users: JoinSet<()>,
    last_look: Duration,
}

impl Drop for Shoppers {
    fn drop(&mut self) {
        self.stop.cancel();
        self.users.abort_all();
    }
}

impl Shoppers {
    /// Lets `users` begin at `url` (scheme, host and port).
    ///
    /// # Errors
    /// When a client cannot be set up.
    pub fn start(url: &str, users: usize) -> Result<Self, Error> {
        Self::with(url, &Options::new(users))
    }

    /// As [`Self::start`], with all that can be chosen.
    ///
    /// # Errors
    /// When a client cannot be set up.
    pub fn with(url: &str, options: &Options) -> Result<Self, Error> {
        let book = Arc::new(Book::new(options.users));
        let stop = CancellationToken::new();
        let (rounds, round) = watch::channel(0);
        let mut users = JoinSet::new();
        let until = Instant::now() + options.limit;
        for number in 0..options.users {
            let user = User::new(number, url, options, Arc::clone(&book)).map_err(|source| Error::Client { user: number, source })?;
            users.spawn(user.shop(stop.clone(), round.clone(), until));
        }
        Ok(Self { book, stop, rounds, users, last_look: options.last_look })
    }

    /// From now on what happens is counted under `name`. A request counts where its answer falls.
    pub fn phase(&self, name: impl Into<String>) {
        self.book.begin_phase(name.into());
    }

    /// Says that these members are being disturbed in this phase: a user who leaves one of them was moved with good reason, and
    /// that is no break of affinity.
    pub fn disturb<M: Into<String>>(&self, members: impl IntoIterator<Item = M>) {
        self.book.disturb(members.into_iter().map(Into::into).collect());
    }

    /// The counts of the phase that runs, for a live line.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.book.snapshot()
    }

    /// How many users each member serves.
    #[must_use]
    pub fn users_by_member(&self) -> BTreeMap<String, usize> {
        self.book.users_by_member()
    }

    /// Lets every user look at their cart now, and waits until all have seen it or `limit` has passed. Answers who has not: the
    /// loss of a cart then counts in the phase that caused it.
    pub async fn look_at_all_carts(&self, limit: Duration) -> BTreeSet<usize> {
        let mut round = 0;
        self.rounds.send_modify(|number| {
            *number += 1;
            round = *number;
        });
        let end = Instant::now() + limit;
        loop {
            let missing = self.book.not_seen_since(round);
            if missing.is_empty() || Instant::now() >= end {
                return missing;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends the users home: each finishes the request that runs and looks at their cart a last time.
    pub async fn finish(mut self) -> Report {
        self.stop.cancel();
        let all_home = async { while self.users.join_next().await.is_some() {} };
        // A user's last look is bounded by itself; this limit only guards against a fault of the user's own.
        if tokio::time::timeout(self.last_look + Duration::from_secs(60), all_home).await.is_err() {
            self.users.abort_all();
        }
        self.book.report()
    }
}
