//! The state that all parts of the gateway share: the routing table in use, what it depends on beside the EndpointSlices, and the bounded
//! resources of the requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::limits::Limits;
use crate::member::connect::ConnectError;
use crate::member::{Member, connect};
use crate::meters::{self, Meters};
use crate::proxy::budget::Budget;
use crate::proxy::hold::Room;
use crate::table::Table;

/// One gateway process.
pub struct Gateway {
    pub(crate) cluster: String,
    pub(crate) limits: Arc<Limits>,
    pub(crate) table: ArcSwap<Table>,
    pub(crate) budget: Budget,
    pub(crate) room: Room,
    /// Bytes that may still be set aside for bodies that are kept.
    pub(crate) memory: Arc<Semaphore>,
    pub(crate) meters: Meters,
    /// Upgraded connections, which no server's task waits for.
    pub(crate) tunnels: TaskTracker,
    /// Ends them.
    pub(crate) cut: CancellationToken,
    /// Wakes the director when a member's control stream changes.
    pub(crate) director: Notify,
    /// Whether any control stream has ever worked.
    controlled: AtomicBool,
    /// No response keeps its connection any more: the gateway ends.
    closing: AtomicBool,
    /// Nor while there are so many clients that others may have to wait.
    crowded: AtomicBool,
}

impl Gateway {
    /// A gateway for `cluster`, with an empty table.
    pub fn new(cluster: impl Into<String>, limits: Limits) -> Arc<Self> {
        meters::describe();
        let meters = Meters::new();
        Arc::new(Self {
            cluster: cluster.into(),
            table: ArcSwap::default(),
            budget: Budget::new(limits.retry_floor, limits.retry_percent),
            room: Room::new(limits.held, limits.hold, meters.held.clone()),
            memory: Arc::new(Semaphore::new(limits.replay_total)),
            meters,
            tunnels: TaskTracker::new(),
            cut: CancellationToken::new(),
            director: Notify::new(),
            controlled: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            limits: Arc::new(limits),
        })
    }

    /// Takes a table into use.
    pub(crate) fn swap(&self, table: Table) {
        meters::table(table.entries.len(), table.intent.generation);
        self.table.store(Arc::new(table));
        self.room.tell();
    }

    /// A member may have become usable, or be so no longer.
    pub(crate) fn members_changed(&self) {
        self.director.notify_one();
        self.room.tell();
    }

    /// A control stream works: from now on readiness alone is not enough.
    pub(crate) fn set_controlled(&self) {
        if !self.controlled.swap(true, Relaxed) {
            info!("the first control stream works");
        }
    }

    pub(crate) fn is_controlled(&self) -> bool {
        self.controlled.load(Relaxed)
    }

    pub(crate) fn set_closing(&self) {
        self.closing.store(true, Relaxed);
    }

    pub(crate) fn set_crowded(&self, crowded: bool) {
        self.crowded.store(crowded, Relaxed);
    }

    /// Whether a response is to be the last on its connection.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Relaxed) || self.crowded.load(Relaxed)
    }

    /// Takes a member that cannot be connected to out of use, until it can be.
    pub(crate) fn eject(self: &Arc<Self>, member: &Arc<Member>, error: &ConnectError) {
        let timeout = matches!(error, ConnectError::Timeout { .. });
        if timeout && member.unheard() >= self.limits.safe_heard {
            // Two signs that agree, from two ports: its node is cut off, and those who wait for its answers need not wait for the third.
            member.fall_silent();
        }
        if !member.eject() {
            return;
        }
        meters::ejection(&member.route, error.reason());
        warn!(member = member.route, %error, "a member is taken out of use");
        self.members_changed();
        let (gateway, member) = (self.clone(), member.clone());
        // A refusal is certain for a moment; no answer may have been one lost packet.
        let pause = if timeout { Duration::ZERO } else { self.limits.probe };
        tokio::spawn(async move {
            let gone = member.gone.clone();
            let _ = gone.run_until_cancelled(probe(&gateway, &member, pause)).await;
        });
    }
}

async fn probe(gateway: &Gateway, member: &Member, mut pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        if connect::dial(member, &gateway.limits).await.is_ok() {
            member.readmit();
            info!(member = member.route, "a member takes connections again");
            gateway.members_changed();
            return;
        }
        pause = gateway.limits.probe;
    }
}
