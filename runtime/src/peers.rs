//! Where the other members are. The view says who counts; this only turns a member's name into an address, and no failure of it ever removes
//! anybody.

use std::fmt::Debug;
use std::net::SocketAddr;

use futures::future::BoxFuture;
use thiserror::Error;

/// Why there is no address.
#[derive(Clone, Debug, Error)]
pub enum PeerError {
    /// The name server could not be asked, or knows no such member, and it never did.
    #[error("failed to look up member `{name}`: {reason}")]
    Lookup {
        /// The member.
        name: String,
        /// What the resolver said.
        reason: String,
    },
}

/// Turns names of members into addresses: DNS on Kubernetes, a map in tests.
pub trait PeerResolver: Debug + Send + Sync + 'static {
    /// The address of a member's replication port. Answers within about a second, from what was known last if need be.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<SocketAddr, PeerError>>;

    /// The address of this member led nowhere: look it up anew next time.
    fn forget(&self, name: &str);
}
