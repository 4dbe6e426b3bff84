//! A thread with an event loop of its own: what runs there is held up by nothing else of this process.
//!
//! A member has one for all that a command passes: connections of clients, links to other members, and the engine between them. What wakes another task there
//! costs no system call, what many connections say in one turn leaves in one write to each keeper, and nothing else, such as TLS to the API server, a page of
//! metrics, or an application, comes in between.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The thread; dropping this ends it, and all that runs there.
#[derive(Debug)]
pub struct OwnThread {
    handle: Handle,
    _stop: DropGuard,
}

impl OwnThread {
    /// Starts it under this name.
    ///
    /// # Errors
    /// When the operating system refuses a thread or what a runtime needs.
    pub fn start(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, stop) = (runtime.handle().clone(), CancellationToken::new());
        let stopped = stop.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(stopped.cancelled()))?;
        Ok(Self { handle, _stop: stop.drop_guard() })
    }

    /// Where to spawn what belongs there.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}
