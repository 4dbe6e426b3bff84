//! This process as a member of the cluster. The member has a thread of its own: however long a handler of the application keeps its thread, the others hear
//! signs of life, and sessions that belong here are served.

mod builder;

use std::sync::Arc;
use std::time::Duration;

use holdfast_runtime::data::DataThread;
use holdfast_runtime::member::{self, MemberControl};
use holdfast_runtime::session::SessionHandle;
use holdfast_runtime::status::{Phase, Status};
use thiserror::Error;
use tokio::time::timeout;

use crate::events::Bus;
use crate::store::Store;

pub(crate) use builder::Door;
pub use builder::{Builder, StartError};

/// How long leaving the view may take, once nothing would be lost by it.
const FAREWELL: Duration = Duration::from_secs(12);

/// Why a member has not left in order. What it had not handed over is taken over from its copies.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LeaveError {
    /// It took too long to hand everything over.
    #[error("failed to hand everything over within {limit:?}: {owned} sessions are still owned here, and {kept} kept")]
    NotDrained {
        /// The limit.
        limit: Duration,
        /// Sessions that it owns.
        owned: u64,
        /// Sessions of others that it keeps, and that have no other copy yet.
        kept: u64,
    },
    /// It is still in the view.
    #[error("failed to leave the view within {FAREWELL:?}: the others will find out that this member is gone")]
    StillInView,
    /// Its task is gone.
    #[error("the member has ended before it was told to")]
    Ended,
}

/// A member that runs in this process. Dropping it ends it abruptly, as a crash would.
#[derive(Debug)]
pub struct Member {
    inner: member::Member,
    bus: Arc<Bus>,
    ack_timeout: Duration,
    drain_timeout: Duration,
    /// After the member, so that its tasks end while there is a thread for them.
    _data: DataThread,
}

impl Member {
    /// The sessions of the cluster, as tower-sessions stores them.
    #[must_use]
    pub fn store(&self) -> Store {
        Store::new(self.sessions(), self.control(), self.bus.clone(), self.ack_timeout)
    }

    /// The sessions of the cluster, command by command.
    #[must_use]
    pub fn sessions(&self) -> SessionHandle {
        self.inner.sessions()
    }

    /// Questions about the member, its links and single sessions.
    #[must_use]
    pub fn control(&self) -> MemberControl {
        self.inner.control()
    }

    /// What it is and holds at the moment.
    #[must_use]
    pub fn status(&self) -> Status {
        self.control().status().borrow().clone()
    }

    /// Waits until it counts as a member and its share of the sessions has arrived. Before that it answers with an error to whatever is asked of it, so the
    /// application should not serve yet.
    ///
    /// # Errors
    /// When it ends before.
    pub async fn joined(&self) -> Result<(), LeaveError> {
        self.reached(|status| status.phase == Phase::Accepting).await
    }

    /// Hands everything over, and returns when nothing would be lost if this process ended; or at once if there is nobody to hand anything to. It still
    /// serves, so requests that are running can end afterwards. There is no way back.
    ///
    /// # Errors
    /// When it takes longer than [`Builder::drain_timeout`], or the member ends before.
    pub async fn drain(&self) -> Result<(), LeaveError> {
        self.control().drain().await.map_err(|_| LeaveError::Ended)?;
        let limit = self.drain_timeout;
        match timeout(limit, self.reached(|status| status.holds_nothing() || status.is_alone)).await {
            Ok(reached) => reached,
            Err(_) => {
                let Status { owned, kept, .. } = self.status();
                Err(LeaveError::NotDrained { limit, owned, kept })
            }
        }
    }

    /// Drains, and leaves the view. When the application has ended its last request.
    ///
    /// # Errors
    /// When it has not come to that in time; the member has ended all the same.
    pub async fn leave(mut self) -> Result<(), LeaveError> {
        self.drain().await?;
        self.control().finish().await.map_err(|_| LeaveError::Ended)?;
        timeout(FAREWELL, self.inner.ended()).await.map_err(|_| LeaveError::StillInView)
    }

    async fn reached(&self, condition: impl Fn(&Status) -> bool) -> Result<(), LeaveError> {
        let mut status = self.control().status();
        status.wait_for(|status| condition(status)).await.map(drop).map_err(|_| LeaveError::Ended)
    }
}
