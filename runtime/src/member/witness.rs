//! Whoever wants to hear at once what happens to a member: probes, and the events of an application.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_core::View;

/// Is told by the member's tasks, under the lock of its engine: what it does must not wait for anything.
pub trait Witness: Debug + Send + Sync + 'static {
    /// The member's task has had a turn.
    fn alive(&self) {}

    /// This view has been adopted.
    fn view_changed(&self, _: &Arc<View>) {}

    /// The time to live of a session of this member is over, and all its copies know. Said by one member of the cluster.
    fn expired(&self, _: &Bytes) {}
}

/// Nobody.
impl Witness for () {}
