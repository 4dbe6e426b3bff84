//! The layer around tower-sessions' `SessionManagerLayer`, with what Tomcat's `ReplicationValve` does. It is on both sides of it: outside, so that the store
//! knows which request it works for and a lock lasts until the session is saved; and inside, where the session is known.

mod bound;
mod scoped;

use std::sync::Arc;

use http::HeaderName;
use regex::Regex;
use tower_layer::Layer;

use crate::error::SettingError;
use crate::lock::Lock;
use crate::meters::Meters;
use crate::store::Store;

pub use bound::Bound;
pub use scoped::Scoped;

/// Whether this member owned the session before the request, as an extension of it: `ReplicationValve`'s primary indicator. Absent while there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Primary(pub bool);

/// Puts a session manager's layer between a store and its requests:
///
/// ```
/// # use holdfast::{Loopback, ReplicationLayer, SettingError};
/// # use tower_sessions::SessionManagerLayer;
/// # async fn application() -> Result<(), Box<dyn std::error::Error>> {
/// let member = Loopback::new("shop").member(0).start()?;
/// let store = member.store();
/// let sessions = SessionManagerLayer::new(store.clone());
/// let replication = ReplicationLayer::new(&store, sessions).filter(r".*\.(css|js|png)")?.primary_indicator();
/// let app: axum::Router = axum::Router::new().layer(replication);
/// # Ok(())
/// # }
/// ```
///
/// The reply leaves when all copies of the session have what the request changed, as the store's acknowledgement is waited for. That is so without this layer,
/// too, and what it adds is:
///
/// - requests that do not wait for that ([`filter`](Self::filter)),
/// - [`Primary`] and a header for it,
/// - attributes that are changed in place ([`crate::Live`]),
/// - ids that resolve for a while after a change ([`crate::renew_id`]), and are replaced in the browser by the first reply,
/// - a lock for each session ([`lock`](Self::lock)).
#[derive(Clone, Debug)]
pub struct ReplicationLayer<M> {
    manager: M,
    settings: Settings,
}

/// What the layer is told.
#[derive(Clone, Debug)]
struct Settings {
    store: Store,
    filters: Vec<Regex>,
    tells_primary: bool,
    primary_header: Option<HeaderName>,
    lock: Option<Lock>,
    meters: Arc<Meters>,
}

impl Settings {
    /// Whether a request for this path is one that does not wait for its copies.
    fn filters(&self, path: &str) -> bool {
        self.filters.iter().any(|filter| filter.is_match(path))
    }
}

impl<M> ReplicationLayer<M> {
    /// Around `manager`, which has this store or a clone of it. Its metrics go to the recorder that there is by now: see docs/rust.md.
    #[must_use]
    pub fn new(store: &Store, manager: M) -> Self {
        let settings = Settings {
            store: store.clone(),
            filters: Vec::new(),
            tells_primary: false,
            primary_header: None,
            lock: None,
            meters: Arc::new(Meters::new()),
        };
        Self { manager, settings }
    }

    /// Requests whose whole path matches one of the expressions given so do not wait for the copies of their session: what they change is sent on all the
    /// same, but the reply does not wait, and a member that fails just then takes it along. Nor do they prolong the session's life, take its lock, or say who
    /// is primary. For images and style sheets. A session that they begin is waited for.
    ///
    /// # Errors
    /// When it is no regular expression.
    pub fn filter(mut self, expression: &str) -> Result<Self, SettingError> {
        let filter = Regex::new(&format!("^(?:{expression})$"))
            .map_err(|source| SettingError::Filter { expression: expression.to_owned(), source })?;
        self.settings.filters.push(filter);
        Ok(self)
    }

    /// Gives each request of a session the extension [`Primary`].
    #[must_use]
    pub fn primary_indicator(mut self) -> Self {
        self.settings.tells_primary = true;
        self
    }

    /// The same, and says it in this header of the reply: `true` or `false`.
    #[must_use]
    pub fn primary_header(mut self, name: HeaderName) -> Self {
        self.settings.primary_header = Some(name);
        self.primary_indicator()
    }

    /// Lets the requests of a session run one after the other, wherever in the cluster they arrive, and gives each the extension [`crate::Fence`].
    ///
    /// # Errors
    /// When the lease is shorter than twice the time in which a write is acknowledged: a save could then come after its end.
    pub fn lock(mut self, lock: Lock) -> Result<Self, SettingError> {
        lock.check(self.settings.store.ack_timeout)?;
        self.settings.lock = Some(lock);
        Ok(self)
    }
}

impl<S, M: Layer<Bound<S>>> Layer<S> for ReplicationLayer<M> {
    type Service = Scoped<M::Service>;

    fn layer(&self, service: S) -> Self::Service {
        let settings = Arc::new(self.settings.clone());
        Scoped::new(self.manager.layer(Bound::new(service, settings.clone())), settings)
    }
}
