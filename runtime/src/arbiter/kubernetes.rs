//! The arbiter on Kubernetes: the SessionView of the cluster. A PUT with the resourceVersion that was read is the compare-and-swap, and the
//! resource's own rule refuses whatever is not the direct successor. A register that was lost is mended ([`super::restore`]). Calls end by a deadline of our own, since kube's client has none on reads.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use holdfast_api::{SessionView, names};
use holdfast_core::{Millis, Version, View};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client, ResourceExt};
use rand::RngExt;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

use super::convert::{ConvertError, spec_of, view_of};
use super::{Arbiter, ArbiterError, Shown, Swap, restore};
use crate::clock::Clock;

/// One call to the API server. Longer would delay a failover by more than it is worth; the outcome of a slower write is read instead.
const DEADLINE: Duration = Duration::from_secs(1);

/// How often the object is read although nothing was seen on the watch, which may have died unnoticed.
const REREAD: Duration = Duration::from_secs(5);

/// How soon it is read after it was seen to be deleted.
const DELETED: Duration = Duration::from_millis(500);

/// Who has not had an answer about the register for longer may have missed that it was lost and mended before.
const UNBROKEN: Millis = 15_000;

/// A register that is deleted again and again goes with its cluster.
const MADE_ANEW: Millis = 10_000;

/// How often one swap is repeated because only the object's metadata had changed.
const ATTEMPTS: usize = 3;

/// The SessionView of one cluster.
pub struct KubernetesArbiter {
    api: Api<SessionView>,
    name: String,
    /// Tells this writer from others, also from earlier lives of this member.
    manager: String,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest content seen, with the metadata that a swap sends back.
    latest: Option<(Version, SessionView)>,
    /// The UID of the SessionCluster to which the register belonged in which a view was seen. A register made anew for the same cluster is taken on; that
    /// of another one of the same name is nothing to this member.
    owner: Option<String>,
    /// What this member has adopted, and would put back.
    held: Option<Arc<View>>,
    /// The newest view that it has shown, with what a register that is made anew takes over. Unlike `latest` it stays when that is read anew.
    seen: Option<SessionView>,
    /// When the register last answered, or was last found missing by one who had followed it until then.
    followed: Option<Millis>,
    /// When this member has last made it anew.
    made: Option<Millis>,
    /// The trouble that was logged last, so that it is logged once and not at each read.
    trouble: Option<&'static str>,
}

impl fmt::Debug for KubernetesArbiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesArbiter").field("name", &self.name).finish_non_exhaustive()
    }
}

impl KubernetesArbiter {
    /// The register of `cluster` in `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, cluster: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: names::view(cluster),
            manager: format!("holdfast-member-{:016x}", rand::rng().random::<u64>()),
            clock: Clock::start(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Reads the object, and keeps it as the base of the next swap. If it is behind what this member has adopted, it puts that back.
    async fn fetch(&self) -> Result<Shown, ArbiterError> {
        // From before the read: what was adopted while the answer was on its way may well be newer than it.
        let held = self.state().held.clone();
        let result = match self.within_deadline(self.api.get(&self.name)).await {
            Ok(object) => match held.filter(|held| restore::is_behind(&object, held)) {
                Some(held) => self.put_back(object, &held).await,
                None => {
                    self.state().latest = None;
                    self.learn(object).inspect(|_| self.state().followed = Some(self.clock.now()))
                }
            },
            Err(missing @ ArbiterError::Missing { .. }) => self.make_anew(held, missing).await,
            Err(error) => Err(error),
        };
        self.log_once(result.as_ref().err());
        result
    }

    async fn within_deadline(&self, call: impl Future<Output = kube::Result<SessionView>>) -> Result<SessionView, ArbiterError> {
        match timeout(DEADLINE, call).await {
            Ok(Ok(object)) => Ok(object),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(ArbiterError::Missing { name: self.name.clone() }),
            Ok(Err(source)) => Err(ArbiterError::Api { name: self.name.clone(), source: source.into() }),
            Err(_) => Err(ArbiterError::Timeout { millis: DEADLINE.as_millis() as u64 }),
        }
    }

    /// Mends a register that was deleted or rewound. Whatever the outcome, it is read again; another member may have been faster.
    async fn put_back(&self, mut object: SessionView, held: &View) -> Result<Shown, ArbiterError> {
        self.check_owner(&object)?;
        let there = (object.spec.epoch, object.spec.sub);
        let view = restore::put_back(&mut object, held);
        warn!(?there, had = ?held.version, puts = view.version.epoch, "the view was lost or rewound: putting it back");
        let written = self.within_deadline(self.api.replace(&self.name, &PostParams::default(), &object)).await?;
        self.learn(written)
    }

    /// Makes a register anew that was deleted, if this member may ([`restore`]). Otherwise others do, or the operator.
    async fn make_anew(&self, held: Option<Arc<View>>, missing: ArbiterError) -> Result<Shown, ArbiterError> {
        let now = self.clock.now();
        let (held, mut object) = {
            let mut state = self.state();
            let is_followed = state.followed.is_some_and(|at| now - at < UNBROKEN);
            state.followed = is_followed.then_some(now);
            let is_again = state.made.is_some_and(|at| now - at < MADE_ANEW);
            match (held, &state.seen) {
                (Some(held), Some(seen)) if is_followed && !is_again && restore::may_make_anew(seen, &held) => {
                    let object = restore::empty_like(seen);
                    state.made = Some(now);
                    (held, object)
                }
                _ => return Err(missing),
            }
        };
        let view = restore::put_back(&mut object, &held);
        warn!(had = ?held.version, puts = view.version.epoch, "the register was deleted: making it anew with the view that this member has");
        // Not by force: if somebody else has made it meanwhile, this is refused unless it says the same.
        let params = PatchParams::apply(&self.manager);
        let written = self.within_deadline(self.api.patch(&self.name, &params, &Patch::Apply(&object))).await?;
        self.learn(written)
    }

    fn check_owner(&self, object: &SessionView) -> Result<(), ArbiterError> {
        let found = owner_of(object);
        match self.state().owner.clone() {
            Some(expected) if expected != found => Err(ArbiterError::Replaced { name: self.name.clone(), expected, found }),
            _ => Ok(()),
        }
    }

    /// Takes an object that was read, watched or written as the newest, unless it is older.
    fn learn(&self, object: SessionView) -> Result<Shown, ArbiterError> {
        self.check_owner(&object)?;
        if restore::is_lost(&object) {
            return Err(ArbiterError::Lost { name: self.name.clone() });
        }
        let malformed = |source: ConvertError| ArbiterError::Malformed { name: self.name.clone(), source: source.into() };
        let view = view_of(&object.spec).map_err(malformed)?;
        let copies = object.annotations().get(names::COPIES_ANNOTATION).and_then(|copies| copies.parse().ok());
        let mut state = self.state();
        if !view.members.is_empty() {
            state.owner = Some(owner_of(&object));
        }
        if state.latest.as_ref().is_none_or(|(version, _)| *version <= view.version) {
            if !view.members.is_empty() {
                state.seen = Some(object.clone());
            }
            state.latest = Some((view.version, object));
        }
        Ok(Shown { view, copies: copies.filter(|copies| u32::from(*copies) <= names::ALL_MEMBERS) })
    }

    /// What the watch showed. It may be late; what looks like a loss is read again.
    async fn watched(&self, object: SessionView) -> Result<Shown, ArbiterError> {
        let held = self.state().held.clone();
        if restore::is_lost(&object) || held.is_some_and(|held| restore::is_behind(&object, &held)) {
            self.fetch().await
        } else {
            self.learn(object)
        }
    }

    fn log_once(&self, result: Option<&ArbiterError>) {
        let trouble = result.map(|error| match error {
            ArbiterError::Timeout { .. } | ArbiterError::Api { .. } => "away",
            ArbiterError::Missing { .. } => "missing",
            ArbiterError::Lost { .. } => "lost",
            ArbiterError::Replaced { .. } => "replaced",
            ArbiterError::Malformed { .. } => "malformed",
        });
        let before = std::mem::replace(&mut self.state().trouble, trouble);
        match (result, before) {
            (Some(error), _) if trouble != before => match error {
                ArbiterError::Timeout { .. } | ArbiterError::Api { .. } => {
                    warn!(error = error as &dyn std::error::Error, "the arbiter is away; as long as no member fails, nobody notices");
                }
                ArbiterError::Missing { .. }
                | ArbiterError::Lost { .. }
                | ArbiterError::Replaced { .. }
                | ArbiterError::Malformed { .. } => {
                    error!(error = error as &dyn std::error::Error, "the arbiter is of no use; members can neither join nor be replaced");
                }
            },
            (None, Some(_)) => info!("the arbiter answers again"),
            _ => {}
        }
    }

    /// The object to send back, if the newest content seen is that of `expected`.
    fn base(&self, expected: Version) -> Option<SessionView> {
        self.state().latest.as_ref().filter(|(version, _)| *version == expected).map(|(_, object)| object.clone())
    }

    async fn try_swap(&self, expected: Version, new: View) -> Swap {
        for _ in 0..ATTEMPTS {
            let mut object = match self.base(expected) {
                Some(object) => object,
                None => match self.fetch().await {
                    Ok(Shown { view, .. }) if view.version != expected => return Swap::Conflict(view),
                    // The watch has learned something newer in between, so the swap cannot succeed: the next read will show it.
                    Ok(_) => match self.base(expected) {
                        Some(object) => object,
                        None => return Swap::Unknown,
                    },
                    Err(error) => return unreadable(&error),
                },
            };
            object.spec = spec_of(&new);
            if new.is_lossy {
                // The view says so until it settles; this stays.
                object.annotations_mut().insert(names::LOSSY_ANNOTATION.to_owned(), new.version.epoch.to_string());
            }
            let put = timeout(DEADLINE, self.api.replace(&self.name, &PostParams::default(), &object)).await;
            let status = match put {
                Ok(Ok(written)) => return self.written(&new, written),
                Ok(Err(kube::Error::Api(status))) => status,
                Ok(Err(error)) => {
                    warn!(error = &error as &dyn std::error::Error, "the outcome of a change of the view is not known");
                    return Swap::Unknown;
                }
                Err(_) => {
                    warn!(epoch = new.version.epoch, "no answer to a change of the view within {DEADLINE:?}: its outcome is not known");
                    return Swap::Unknown;
                }
            };
            match status.code {
                // Somebody was faster, or only the metadata changed (409); or the rule in the resource refuses (422).
                409 | 422 => {
                    self.state().latest = None;
                    match self.fetch().await {
                        Ok(Shown { view, .. }) if view.version != expected => return Swap::Conflict(view),
                        Ok(_) if status.code == 409 => {}
                        Ok(Shown { view, .. }) => {
                            error!(reason = status.message, "the API server refuses a valid successor of the view");
                            return Swap::Conflict(view);
                        }
                        Err(error) => return unreadable(&error),
                    }
                }
                401 | 403 | 404 => {
                    error!(code = status.code, reason = status.message, "this member may not change the view");
                    return Swap::Unavailable;
                }
                code => {
                    warn!(code, reason = status.message, "the outcome of a change of the view is not known");
                    return Swap::Unknown;
                }
            }
        }
        Swap::Unknown
    }

    /// A success is one only if the answer shows what was sent: a server that drops an unknown field must not be believed.
    fn written(&self, new: &View, written: SessionView) -> Swap {
        match self.learn(written) {
            Ok(Shown { view, .. }) if view == *new => Swap::Done,
            Ok(Shown { view, .. }) => {
                error!(sent = ?new, stored = ?view, "the API server stored another view than was sent");
                Swap::Unknown
            }
            Err(error) => unreadable(&error),
        }
    }
}

/// What to say of a swap that ended because the register could not be read. Nothing of this call was applied then, but an attempt of an earlier
/// call may still be.
fn unreadable(error: &ArbiterError) -> Swap {
    match error {
        ArbiterError::Missing { .. } | ArbiterError::Replaced { .. } | ArbiterError::Malformed { .. } => Swap::Unavailable,
        ArbiterError::Timeout { .. } | ArbiterError::Api { .. } | ArbiterError::Lost { .. } => Swap::Unknown,
    }
}

/// UID of the SessionCluster that the register belongs to.
fn owner_of(object: &SessionView) -> String {
    let owner = object.owner_references().iter().find(|owner| owner.controller == Some(true));
    owner.map(|owner| owner.uid.clone()).unwrap_or_default()
}

impl Arbiter for KubernetesArbiter {
    fn read(&self) -> BoxFuture<'_, Result<Shown, ArbiterError>> {
        self.fetch().boxed()
    }

    fn swap(&self, expected: Version, new: View) -> BoxFuture<'_, Swap> {
        self.try_swap(expected, new).boxed()
    }

    fn watch(&self, views: mpsc::Sender<Shown>) -> BoxFuture<'_, ()> {
        async move {
            let mut changes = pin!(watch_object(self.api.clone(), &self.name).default_backoff());
            // Spread over the members, so that they do not all read at the same moment.
            let mut reread = interval(REREAD.mul_f64(rand::rng().random_range(0.8..1.2)));
            reread.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let shown = tokio::select! {
                    () = views.closed() => return,
                    change = changes.next() => match change {
                        Some(Ok(Some(object))) => self.watched(object).await,
                        // Deleted: it is read soon, and not at once by all members.
                        Some(Ok(None)) => {
                            reread.reset_after(DELETED.mul_f64(rand::rng().random_range(0.5..1.5)));
                            continue;
                        }
                        // The watch is interrupted and will be taken up again with a backoff: the read below finds out and logs.
                        Some(Err(_)) => continue,
                        None => return,
                    },
                    _ = reread.tick() => self.fetch().await,
                };
                if let Ok(shown) = shown
                    && views.send(shown).await.is_err()
                {
                    return;
                }
            }
        }
        .boxed()
    }

    fn hold(&self, view: Option<Arc<View>>) {
        self.state().held = view;
    }
}

#[cfg(test)]
mod tests;
