//! This process as a member of the cluster. The member has a thread of its own: however long a handler of the application keeps its thread, the others hear
//! signs of life, and sessions that belong here are served.

mod builder;
#[cfg(feature = "kubernetes")]
mod pod;

use std::sync::Arc;
use std::time::Duration;

use holdfast_runtime::member::{self, MemberControl};
use holdfast_runtime::session::SessionHandle;
use holdfast_runtime::status::{Phase, Status};
use holdfast_runtime::thread::OwnThread;
use thiserror::Error;
use tokio::time::{Instant, sleep_until, timeout};

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
    sessions: SessionHandle,
    control: MemberControl,
    bus: Arc<Bus>,
    ack_timeout: Duration,
    drain_timeout: Duration,
    runs: Runs,
}

/// What runs. The thread comes after what it is for, which so ends while there is still one.
#[derive(Debug)]
enum Runs {
    /// The member by itself.
    Bare { member: member::Member, _thread: OwnThread },
    /// With all that belongs to it in a pod.
    #[cfg(feature = "kubernetes")]
    Pod { node: holdfast_runtime::node::Node, thread: OwnThread },
}

impl Runs {
    /// How long the application goes on serving at least, once the member hands over.
    fn linger(&self) -> Duration {
        match self {
            Self::Bare { .. } => Duration::ZERO,
            #[cfg(feature = "kubernetes")]
            Self::Pod { .. } => pod::LINGER,
        }
    }

    /// Leaves the view; false if that has taken too long.
    async fn leave(self, control: &MemberControl) -> bool {
        match self {
            Self::Bare { mut member, .. } => {
                let leaving = async {
                    if control.finish().await.is_ok() {
                        member.ended().await;
                    }
                };
                timeout(FAREWELL, leaving).await.is_ok()
            }
            #[cfg(feature = "kubernetes")]
            Self::Pod { node, thread } => thread.handle().spawn(node.leave()).await.unwrap_or(false),
        }
    }
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
        self.sessions.clone()
    }

    /// Questions about the member, its links and single sessions.
    #[must_use]
    pub fn control(&self) -> MemberControl {
        self.control.clone()
    }

    /// What it is and holds at the moment.
    #[must_use]
    pub fn status(&self) -> Status {
        self.control.status().borrow().clone()
    }

    /// Waits until it counts as a member and its share of the sessions has arrived. Before that it answers with an error to whatever is asked of it, so the
    /// application should not serve yet.
    ///
    /// # Errors
    /// When it ends before.
    pub async fn joined(&self) -> Result<(), LeaveError> {
        reached(&self.control, |status| status.phase == Phase::Accepting).await
    }

    /// Hands everything over, and returns when nothing would be lost if this process ended; or at once if there is nobody to hand anything to. In a pod
    /// ([`Member::from_env`]) it takes 5 s in any case, in which the gateways turn to other members. It still serves, so requests that are running can end
    /// afterwards. There is no way back. Nothing is done before the future is first polled; it does not borrow the member, so that a server's graceful
    /// shutdown can have it.
    ///
    /// # Errors
    /// When it takes longer than [`Builder::drain_timeout`], or the member ends before.
    pub fn drain(&self) -> impl Future<Output = Result<(), LeaveError>> + Send + use<> {
        let (handed_over, linger) = (self.hand_over(), self.runs.linger());
        async move {
            let until = Instant::now() + linger;
            handed_over.await?;
            sleep_until(until).await;
            Ok(())
        }
    }

    fn hand_over(&self) -> impl Future<Output = Result<(), LeaveError>> + Send + use<> {
        let (control, limit) = (self.control.clone(), self.drain_timeout);
        async move {
            control.drain().await.map_err(|_| LeaveError::Ended)?;
            let done = |status: &Status| status.holds_nothing() || status.is_alone;
            match timeout(limit, reached(&control, done)).await {
                Ok(reached) => reached,
                Err(_) => {
                    let Status { owned, kept, .. } = control.status().borrow().clone();
                    Err(LeaveError::NotDrained { limit, owned, kept })
                }
            }
        }
    }

    /// Hands everything over, if [`Member::drain`] has not, and leaves the view. When the application has ended its last request.
    ///
    /// # Errors
    /// When it has not come to that in time; the member has ended all the same.
    pub async fn leave(self) -> Result<(), LeaveError> {
        self.hand_over().await?;
        if self.runs.leave(&self.control).await { Ok(()) } else { Err(LeaveError::StillInView) }
    }
}

async fn reached(control: &MemberControl, condition: impl Fn(&Status) -> bool) -> Result<(), LeaveError> {
    let mut status = control.status();
    status.wait_for(|status| condition(status)).await.map(drop).map_err(|_| LeaveError::Ended)
}
