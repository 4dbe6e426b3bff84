//! The arbiter: the one linearizable register that holds the current view. Members read it, watch it, and replace its content by compare-and-swap;
//! whenever the outcome of a swap is not certain it is called unknown, and the engine reads again (rule R2).

#[cfg(feature = "server")]
mod convert;
#[cfg(feature = "server")]
pub mod kubernetes;
pub mod memory;
#[cfg(feature = "server")]
mod restore;

use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;

use futures::future::BoxFuture;
use holdfast_core::{Version, View};
use thiserror::Error;
use tokio::sync::mpsc;

#[cfg(feature = "server")]
pub use convert::ConvertError;
#[cfg(feature = "server")]
pub(crate) use convert::spec_of;

/// What the register shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The view.
    pub view: View,
    /// How many copies of each session are asked for, if it says so: the view is brought there by the members.
    pub copies: Option<u8>,
}

/// What became of a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The register holds the new view.
    Done,
    /// It was not applied: the register holds this view, whose version is not the expected one.
    Conflict(View),
    /// It may have been applied, may be applied later, or not at all: read again.
    Unknown,
    /// It was not applied, and nothing can be read: the register is missing or forbidden.
    Unavailable,
}

/// Why the register could not be read.
#[derive(Debug, Error)]
pub enum ArbiterError {
    /// No answer within the deadline.
    #[error("no answer from the arbiter within {millis} ms")]
    Timeout {
        /// The deadline.
        millis: u64,
    },
    /// There is no such object.
    #[error("the SessionView `{name}` is not there; the operator makes it")]
    Missing {
        /// Its name.
        name: String,
    },
    /// The register belongs to another cluster of the same name.
    #[error(
        "the SessionView `{name}` belongs to another SessionCluster (UID `{found}`) than the one that this member joined (UID `{expected}`)"
    )]
    Replaced {
        /// Its name.
        name: String,
        /// UID of the resource seen first.
        expected: String,
        /// UID of the resource seen now.
        found: String,
    },
    /// The register was made anew, and waits for a member that has the view.
    #[error(
        "the SessionView `{name}` was deleted and made anew; a member that has the view puts it back, and until then nobody founds another"
    )]
    Lost {
        /// Its name.
        name: String,
    },
    /// The API server refused or could not be reached.
    #[error("failed to read the SessionView `{name}`")]
    Api {
        /// Its name.
        name: String,
        /// What the client said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// What it holds is no view.
    #[error("the SessionView `{name}` holds no valid view")]
    Malformed {
        /// Its name.
        name: String,
        /// What is wrong.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// A linearizable register that holds a view.
pub trait Arbiter: Debug + Send + Sync + 'static {
    /// Reads it linearizably. Answers within a few seconds.
    fn read(&self) -> BoxFuture<'_, Result<Shown, ArbiterError>>;

    /// Replaces its content by `new` if the version there is `expected`. Answers within a few seconds.
    fn swap(&self, expected: Version, new: View) -> BoxFuture<'_, Swap>;

    /// Sends what the register holds into `views`, soon after each change and now and then without one, until nobody receives any more. What is
    /// sent was in the register once, but may be older than what a read has shown.
    fn watch(&self, views: mpsc::Sender<Shown>) -> BoxFuture<'_, ()>;

    /// Tells the view that this member has adopted and has a voice in, `None` while there is none: what is put back when the register is lost.
    fn hold(&self, view: Option<Arc<View>>);
}
