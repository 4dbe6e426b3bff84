//! Proof of death: it lets a member be evicted beyond the budget of suspicions (rule R3). Whatever leaves a doubt is no proof.

#[cfg(feature = "server")]
mod pod_status;

use std::error::Error;
use std::fmt::{self, Debug};
use std::time::Duration;

use futures::future::BoxFuture;
use thiserror::Error;

#[cfg(feature = "server")]
pub use pod_status::PodStatus;

/// How a member is known to be dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// There is no such pod any more.
    PodGone,
    /// The pod of that name is another one.
    PodReplaced,
    /// The container of that life has ended.
    ContainerEnded,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Death::PodGone => "its pod is gone",
            Death::PodReplaced => "its pod has been replaced",
            Death::ContainerEnded => "its container has ended",
        })
    }
}

/// Why no answer was found.
#[derive(Debug, Error)]
pub enum ProofError {
    /// No answer within the deadline.
    #[error("no answer about pod `{pod}` within {limit:?}")]
    Timeout {
        /// The pod.
        pod: String,
        /// The deadline.
        limit: Duration,
    },
    /// The API server refused or could not be reached.
    #[error("failed to read the status of pod `{pod}`")]
    Api {
        /// The pod.
        pod: String,
        /// What the client said.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Looks for proof of death: the API server on Kubernetes, a list in tests.
pub trait Prover: Debug + Send + Sync + 'static {
    /// How this life of a member is known to be dead; `None` if it may live.
    fn seek<'a>(&'a self, pod: &'a str, uid: &'a str, incarnation: u64) -> BoxFuture<'a, Result<Option<Death>, ProofError>>;
}
