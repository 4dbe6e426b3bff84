//! Ways from the host's loopback into the cluster. A listening socket of the host is handed to a small process inside the
//! control plane's namespace: that accepts here and dials there, so no route between the two is needed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use super::process::{self, Daemon, Identity};
use super::state::{self, State};
use super::topology::CONTROL_PLANE;

/// Why a forwarder was not started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port on the host is taken, or not ours to take.
    #[error("failed to listen on {address}: choose another port")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The process did not start.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// What it listens on could not be recorded.
    #[error(transparent)]
    State(#[from] state::Error),
}

/// A forwarder that ends when this is dropped, or when this process ends.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    _lifeline: Lifeline,
}

#[derive(Debug)]
pub(super) enum Lifeline {
    /// The process ends when its standard input, of which this is the other end, does.
    Process { _input: tokio::process::ChildStdin },
    /// The task is cancelled.
    Task { _guard: tokio_util::sync::DropGuard },
}

impl Forward {
    pub(super) fn new(address: SocketAddr, lifeline: Lifeline) -> Self {
        Self { address, _lifeline: lifeline }
    }

    /// Where it listens: 127.0.0.1 and a port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Listens on 127.0.0.1, on `port` or on one that the kernel picks.
pub(super) fn listen(port: Option<u16>) -> Result<(TcpListener, SocketAddr), Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
    let fail = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok((listener, address))
}

fn daemon(state: &State, name: &str, to: SocketAddr, lifeline: bool) -> Daemon {
    let mut args = vec![format!("-to={to}")];
    args.extend(lifeline.then(|| "-lifeline".to_owned()));
    Daemon { name: name.to_owned(), machine: CONTROL_PLANE.to_owned(), program: state.path("bin/forward"), args }
}

/// Starts a forwarder to `to` that lives as long as what this returns.
pub fn start(state: &State, to: SocketAddr, port: Option<u16>) -> Result<Forward, Error> {
    let (listener, address) = listen(port)?;
    let name = format!("{CONTROL_PLANE}.forward-{}", address.port());
    let output = Stdio::from(OwnedFd::from(listener));
    let (_, mut child) = daemon(state, &name, to, true).spawn_child(state, Stdio::piped(), Some(output))?;
    let input = child.stdin.take().expect("standard input is piped above");
    Ok(Forward::new(address, Lifeline::Process { _input: input }))
}

/// Starts a forwarder to `to` that lives until the cluster goes down, unless `name` is one that runs.
pub fn start_detached(state: &State, name: &str, to: SocketAddr, port: Option<u16>) -> Result<SocketAddr, Error> {
    let record = format!("forwards/{name}.json");
    if process::recorded(state, name)?.is_some_and(Identity::is_alive)
        && let Ok(text) = std::fs::read_to_string(state.path(&record))
        && let Ok((running_to, address)) = serde_json::from_str::<(SocketAddr, SocketAddr)>(&text)
        && running_to == to
        && port.is_none_or(|port| port == address.port())
    {
        return Ok(address);
    }
    let (listener, address) = listen(port)?;
    daemon(state, name, to, false).spawn(state, Stdio::null(), Some(Stdio::from(OwnedFd::from(listener))))?;
    state.write(record, serde_json::to_string(&(to, address)).expect("two addresses can be written as JSON"))?;
    Ok(address)
}
