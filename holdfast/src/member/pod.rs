//! The member of a pod, in the environment that the operator gives the runtime: the same variables, the same volumes, the same ports for other members, probes
//! and gateways. What is missing is the Redis protocol, which nobody needs here.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use holdfast_process::{from_env, metrics};
use holdfast_runtime::config::{DrainSettings, Settings};
use holdfast_runtime::memory;
use holdfast_runtime::node::Node;
use holdfast_runtime::thread::OwnThread;

use super::builder::{EVENTS, StartError};
use super::{Member, Runs};
use crate::events::Bus;

/// How long an application goes on serving at least once it hands over: the gateways hear of that at once, but what they have sent, and whoever reaches the
/// pod without them, is on its way.
pub(super) const LINGER: Duration = Duration::from_secs(5);

/// Of the memory that the container may have, the member takes the half: what the application needs for itself is unknown here.
const PARTS: u64 = 2;

impl Member {
    /// Starts the member of this pod, from the `HOLDFAST_*` variables in its environment. Its conversation with the API server, its probes and its admin API
    /// have a thread of their own, so that no handler of the application makes them late.
    ///
    /// Its sessions and copies take at most half of the memory that the container may have, less what the member needs for itself, unless
    /// `HOLDFAST_MEMORY_BYTES` says how much the member may take. Without a limit they take what they need.
    ///
    /// Metrics go to the recorder of the application if it has one by now; otherwise they are shown on the admin port.
    ///
    /// # Errors
    /// When a variable is not set or not right, a port is taken, a volume is missing, or there is no way to the API server.
    pub async fn from_env() -> Result<Self, StartError> {
        let settings: Settings = from_env().map_err(wrong)?;
        let settings = Settings { memory_bytes: settings.memory_bytes.or_else(|| Some(memory::limit()? / PARTS)), ..settings };
        let drain: DrainSettings = from_env().map_err(wrong)?;
        let config = settings.check().map_err(wrong)?;
        let (ack_timeout, drain_timeout) = (config.settings.ack_timeout, drain.timeout);
        let bus = Arc::new(Bus::new(EVENTS));
        let thread = OwnThread::start("holdfast").map_err(StartError::Thread)?;
        let witness = bus.clone();
        let starting = thread.handle().spawn(async move { Node::start(&config, metrics::install_if_none()?, witness).await });
        let node = starting.await.map_err(wrong)?.map_err(wrong)?;
        let (sessions, control) = (node.sessions(), node.control());
        Ok(Self { sessions, control, bus, ack_timeout, drain_timeout, runs: Runs::Pod { node, thread } })
    }
}

fn wrong(error: impl Into<Box<dyn Error + Send + Sync>>) -> StartError {
    StartError::Pod(error.into())
}
