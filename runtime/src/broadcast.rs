//! What is told to all members: messages that clients publish, and what happened to keys. Front doors listen here; whoever falls behind misses some.

use bytes::Bytes;
use holdfast_core::{Key, Notice};
use tokio::sync::broadcast;

/// How many of them a listener may be behind. A listener only distributes, so it is never far behind; each may hold a value.
const BEHIND: usize = 4096;

/// Something that is told to many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// A client somewhere in the cluster has published this.
    Published {
        /// Where.
        channel: Bytes,
        /// What.
        payload: Bytes,
    },
    /// Something happened to a key, of a class that is wanted here ([`crate::session::SessionHandle::want_notices`]).
    Noticed {
        /// The key.
        key: Key,
        /// What happened.
        notice: Notice,
    },
}

pub(crate) type Teller = broadcast::Sender<Broadcast>;

/// Where listeners are told.
pub(crate) fn teller() -> Teller {
    broadcast::channel(BEHIND).0
}
