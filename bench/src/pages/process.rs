//! A process of an application, with those that it starts itself.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use holdfast_support::command::{Run, last};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::sleep;

use crate::machine;

/// Until it takes connections.
const PATIENCE: Duration = Duration::from_secs(120);

/// Ended when it is dropped, and what it has started too.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Where users come in.
    pub(super) address: SocketAddr,
    child: Child,
    log: NamedTempFile,
}

impl Process {
    /// Starts it, and waits until it takes connections at this address.
    pub(super) async fn start(run: &Run, address: SocketAddr) -> anyhow::Result<Self> {
        let log = NamedTempFile::new().context("cannot make a log")?;
        let mut command = run.prepare();
        let said = log.reopen()?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("cannot start `{}`", run.describe()))?;
        let pid = child.id().context("it ended at once")?;
        let mut process = Self { pid, address, child, log };
        process.listens().await.with_context(|| format!("`{}` says: {}", run.describe(), process.said()))?;
        Ok(process)
    }

    async fn listens(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(self.address).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("it ended with {status}");
            }
            anyhow::ensure!(begun.elapsed() < PATIENCE, "it takes no connections at {}", self.address);
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// The end of what it has said.
    fn said(&self) -> String {
        let said = std::fs::read_to_string(self.log.path()).unwrap_or_default();
        last(&said, 2000)
    }

    /// SIGKILL; returns when it is gone.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("cannot kill an application")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // None when it has been waited for: then its number may be somebody else's by now.
        let Some(pid) = self.child.id() else { return };
        let family = machine::family(pid);
        // It first, so that it replaces none of the others. Whoever has ended by now needs no signal.
        for pid in family.into_iter().filter_map(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_a_process_has_started_ends_with_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let run = Run::new("sh", ["-c", "sleep 600 & sleep 600 & wait"]);
        let process = Process::start(&run, listener.local_addr().unwrap()).await.unwrap();
        let begun = Instant::now();
        let family = loop {
            let family = machine::family(process.pid);
            if family.len() == 3 {
                break family;
            }
            assert!(begun.elapsed() < PATIENCE, "{family:?}");
            sleep(Duration::from_millis(5)).await;
        };
        drop(process);
        while family.iter().any(|pid| is_running(*pid)) {
            assert!(begun.elapsed() < PATIENCE, "{family:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Not one that has ended and is not waited for yet.
    fn is_running(pid: u32) -> bool {
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    }
}
