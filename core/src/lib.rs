//! The rules of Holdfast: replication, views, placement and the wire format, without sockets, clocks or randomness. Everything from outside comes
//! in as an argument, and everything to be done comes out as a value, so that a simulator can drive it through any schedule.

pub mod command;
pub mod engine;
pub mod glob;
pub mod placement;
pub mod scan;
pub mod value;
pub mod view;
pub mod wire;

pub use command::{
    Command, CommandError, Comparison, Condition, ExpireCondition, Expiry, Guard, Key, MemberBound, Range, Reply, ScoreBound, ValueType,
};

/// Milliseconds on a monotonic clock of this member; where it starts does not matter.
pub type Millis = u64;

pub use scan::{ScanPage, ScanPart};
pub use value::{Notice, NoticeClass, Score};
pub use view::{Member, MemberSet, MemberState, NodeId, Place, Version, View, ViewEntry};
