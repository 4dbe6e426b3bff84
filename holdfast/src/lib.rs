//! Replicated sessions for Rust applications: the application itself is a member of the cluster, and [`tower-sessions`](tower_sessions_core) keeps its
//! sessions in it. No other process, no network hop to a session that belongs here, and no acknowledged write lost when a member fails.
//!
//! - [`Member`] is this process as a member; [`Loopback`] is a whole cluster of them in one process, for tests.
//! - [`Store`] is the `SessionStore` on it.
//! - [`ReplicationLayer`] goes around tower-sessions' `SessionManagerLayer`, and does what Tomcat's `ReplicationValve` does: it decides which requests
//!   replicate, says whether this member owned the session before the request ([`Primary`]), sees what was changed in place ([`Live`]), lets an old id
//!   resolve for a while ([`renew_id`]), and runs the requests of a session one after the other if asked to ([`Lock`]).
//! - [`Events`] tells what happens to sessions and to the cluster.
//!
//! docs/rust.md goes through them by task.

mod content;
mod error;
mod events;
#[cfg(feature = "axum")]
mod extract;
mod keys;
mod layer;
mod live;
mod lock;
mod loopback;
mod member;
mod meters;
mod principal;
mod renew;
mod scope;
mod store;

pub use error::{SettingError, StoreError};
pub use events::{Event, Events};
#[cfg(feature = "axum")]
pub use extract::Missing;
pub use layer::{Bound, Primary, ReplicationLayer, Scoped};
pub use live::{Attribute, Live, LiveGuard, Lives};
pub use lock::{Fence, Lock};
pub use loopback::Loopback;
pub use member::{Builder, LeaveError, Member, StartError};
pub use principal::Principal;
pub use renew::renew_id;
pub use store::Store;

/// What a member is made of, for whoever brings an arbiter, a way to find the others, or TLS of their own.
pub mod parts {
    pub use holdfast_core::engine::{Acknowledge, Compression, Config, OnUnderReplicated};
    pub use holdfast_runtime::arbiter::memory::MemoryArbiter;
    pub use holdfast_runtime::arbiter::{Arbiter, ArbiterError, Shown, Swap};
    pub use holdfast_runtime::member::MemberControl;
    pub use holdfast_runtime::peers::{PeerError, PeerResolver};
    pub use holdfast_runtime::proof::{Death, ProofError, Prover};
    pub use holdfast_runtime::session::SessionHandle;
    pub use holdfast_runtime::status::{Phase, Status};
    pub use holdfast_runtime::tls::Tls;
}
