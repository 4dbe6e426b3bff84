//! Leader election by a Lease: all replicas watch, only the holder writes.
//!
//! Small and our own, because the crates for it stand on older versions of kube. A holder that cannot renew stops writing before anybody else can
//! take over; even two writers at once would only apply the same objects twice.

mod election;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::Stream;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::election::{Election, Step};
use crate::apply::FIELD_MANAGER;
use crate::errors::chain;

/// A lease that is not renewed for this long is anybody's.
const DURATION: Duration = Duration::from_secs(15);
/// How long before that the holder stops writing.
const MARGIN: Duration = Duration::from_secs(5);
/// How often the lease is looked at.
const PERIOD: Duration = Duration::from_secs(2);
/// How long a request about the lease may take.
const REQUEST: Duration = Duration::from_secs(4);

/// Whether this process leads. Clones share one state.
#[derive(Clone, Debug)]
pub struct Leadership {
    start: Instant,
    /// Milliseconds after `start` until which this process leads.
    until: Arc<AtomicU64>,
    /// Changes each time this process becomes the leader.
    terms: watch::Receiver<u64>,
}

impl Leadership {
    /// Whether this process may write now.
    pub fn is_held(&self) -> bool {
        millis(self.start.elapsed()) < self.until.load(Ordering::Acquire)
    }

    /// Yields each time this process becomes the leader.
    pub fn gained(&self) -> impl Stream<Item = ()> + Send + 'static {
        futures::stream::unfold(self.terms.clone(), |mut terms| async move { terms.changed().await.ok().map(|()| ((), terms)) })
    }

    /// Leadership that never ends.
    #[cfg(test)]
    pub(crate) fn always() -> Self {
        Self { start: Instant::now(), until: Arc::new(AtomicU64::new(u64::MAX)), terms: watch::channel(0).1 }
    }

    /// Leadership that never begins.
    #[cfg(test)]
    pub(crate) fn never() -> Self {
        Self { until: Arc::default(), ..Self::always() }
    }
}

/// Takes part in an election.
#[derive(Debug)]
pub struct Elector {
    api: Api<Lease>,
    name: String,
    election: Election,
    leadership: Leadership,
    terms: watch::Sender<u64>,
    /// The lease as this process last wrote it.
    last: Option<Lease>,
}

/// The lease could not be read or written.
#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error("failed to {0} the lease")]
    Api(&'static str, #[source] kube::Error),
    #[error("failed to {0} the lease: no answer from the API server")]
    NoAnswer(&'static str),
}

impl Elector {
    /// An election about the Lease `name` in `namespace`, as `identity`.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> (Self, Leadership) {
        let (terms, receiver) = watch::channel(0);
        let leadership = Leadership { start: Instant::now(), until: Arc::default(), terms: receiver };
        let elector = Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            election: Election::new(identity, DURATION),
            leadership: leadership.clone(),
            terms,
            last: None,
        };
        (elector, leadership)
    }

    /// Takes part until `shutdown`, and gives the lease up then. While the API server is away it goes on trying.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut failing = false;
        while !shutdown.is_cancelled() {
            let was_held = self.leadership.is_held();
            match self.step().await {
                Ok(()) => failing = false,
                // The first failure is news, the following ones are the same.
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(error = chain(&error), "cannot take part in the election");
                }
                Err(error) => tracing::debug!(error = chain(&error), "cannot take part in the election"),
            }
            let is_held = self.leadership.is_held();
            metrics::gauge!("holdfast_operator_leader").set(if is_held { 1.0 } else { 0.0 });
            if is_held && !was_held {
                tracing::info!(lease = self.name, "this process leads");
                self.terms.send_modify(|term| *term += 1);
            } else if was_held && !is_held {
                tracing::warn!(lease = self.name, "this process leads no longer");
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
        self.release().await;
    }

    async fn step(&mut self) -> Result<(), LeaseError> {
        let read = within("read", self.api.get_opt(&self.name)).await?;
        // From before the write: the lease's time runs from when others may have seen it, and that cannot be earlier.
        let asked = Instant::now();
        let step = self.election.observe(read.as_ref(), asked);
        let spec = self.election.held(read.as_ref(), jiff::Timestamp::now());
        let written = match step {
            Step::Wait => {
                self.leadership.until.store(0, Ordering::Release);
                return Ok(());
            }
            Step::Create => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                within("create", self.api.create(&post(), &Lease { metadata, spec: Some(spec) })).await
            }
            Step::Take | Step::Renew => {
                let lease = Lease { spec: Some(spec), ..read.unwrap_or_default() };
                within("write", self.api.replace(&self.name, &post(), &lease)).await
            }
        };
        match written {
            Ok(lease) => {
                self.last = Some(lease);
                let until = asked.duration_since(self.leadership.start) + DURATION - MARGIN;
                self.leadership.until.store(millis(until), Ordering::Release);
                Ok(())
            }
            // Somebody was faster; the next look tells who.
            Err(LeaseError::Api(_, kube::Error::Api(status))) if status.is_conflict() || status.is_already_exists() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives the lease up, so that another replica need not wait for it to run out.
    async fn release(self) {
        self.leadership.until.store(0, Ordering::Release);
        let Some(last) = self.last else { return };
        let Some(spec) = self.election.released(&last) else { return };
        let lease = Lease { spec: Some(spec), ..last };
        match within("release", self.api.replace(&self.name, &post(), &lease)).await {
            Ok(_) => tracing::info!(lease = self.name, "gave the lease up"),
            Err(error) => tracing::warn!(error = chain(&error), "the lease will have to run out"),
        }
    }
}

async fn within<T>(what: &'static str, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, LeaseError> {
    match tokio::time::timeout(REQUEST, request).await {
        Ok(result) => result.map_err(|source| LeaseError::Api(what, source)),
        Err(_) => Err(LeaseError::NoAnswer(what)),
    }
}

fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::api::FakeApi;

    fn elector(api: &FakeApi, identity: &str) -> (Elector, Leadership) {
        Elector::new(api.client(), "default", "operator", identity)
    }

    #[tokio::test]
    async fn the_first_one_leads_and_the_second_one_only_after_it_gave_up() {
        let api = FakeApi::default();
        let (mut first, first_leads) = elector(&api, "a");
        let (mut second, second_leads) = elector(&api, "b");
        first.step().await.expect("created");
        second.step().await.expect("looked");
        first.step().await.expect("renewed");
        assert!(first_leads.is_held() && !second_leads.is_held());
        first.release().await;
        assert!(!first_leads.is_held());
        second.step().await.expect("taken");
        assert!(second_leads.is_held());
    }

    #[tokio::test]
    async fn of_two_that_take_a_free_lease_at_once_one_leads() {
        let api = FakeApi::default();
        let (mut first, first_leads) = elector(&api, "a");
        let (mut second, second_leads) = elector(&api, "b");
        let (one, other) = tokio::join!(first.step(), second.step());
        one.and(other).expect("losing is no error");
        assert!(first_leads.is_held() != second_leads.is_held());
    }

    #[tokio::test]
    async fn a_lease_that_somebody_else_wrote_in_between_is_not_overwritten() {
        let api = FakeApi::default();
        let (mut first, _) = elector(&api, "a");
        first.step().await.expect("created");
        let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/operator";
        let mine = api.get(path).expect("the lease");
        api.change(path, |lease| lease["spec"]["holderIdentity"] = serde_json::json!("b"));
        let stale: Lease = serde_json::from_value(mine).expect("a lease");
        let written = within("write", first.api.replace("operator", &post(), &stale)).await;
        assert!(matches!(written, Err(LeaseError::Api(_, kube::Error::Api(status))) if status.is_conflict()));
    }
}
