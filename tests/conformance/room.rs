//! Where a suite runs: a network of its own in which the server is at the address that an application has it at in its pod, and that suites take
//! for granted. So they need no change, several may run on one machine, and whatever a suite starts ends with it.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd as _;

use anyhow::Context;
use holdfast_support::apt::{Needed, SEARCH_PATH};
use holdfast_support::command::Run;
use nix::sched::{CloneFlags, unshare};
use tokio::task::JoinSet;

use crate::door::{self, Turns};

/// What it takes to make one.
pub(crate) const PROGRAMS: &[Needed] = &[("ip", "iproute2"), ("nsenter", "util-linux"), ("unshare", "util-linux")];

/// The room; it is gone when this is dropped and nothing runs in it any more.
#[derive(Debug)]
pub(crate) struct Room {
    network: File,
    _doors: JoinSet<()>,
}

impl Room {
    /// A room with a door at each of these ports of 127.0.0.1.
    pub(crate) async fn new(ports: &'static [u16], turns: &Turns) -> anyhow::Result<Self> {
        let (made, wait) = tokio::sync::oneshot::channel();
        // A thread of its own enters the new network and ends in it; sockets stay where they were made.
        std::thread::Builder::new().name("room".to_owned()).spawn(move || {
            // Nobody waits any more: then what was made is dropped.
            drop(made.send(enter(ports)));
        })?;
        let (network, listeners) =
            wait.await.context("the thread that makes a network ended")?.context("cannot make a network (as root?)")?;
        let mut doors = JoinSet::new();
        for listener in listeners {
            listener.set_nonblocking(true)?;
            doors.spawn(door::open(tokio::net::TcpListener::from_std(listener)?, turns.clone()));
        }
        Ok(Self { network, _doors: doors })
    }

    /// The run in this room. All that it starts ends with it.
    pub(crate) fn run(&self, run: Run) -> Run {
        let network = format!("--net=/proc/{}/fd/{}", std::process::id(), self.network.as_raw_fd());
        run.under("unshare", ["--pid", "--fork", "--kill-child", "--mount-proc", "--"]).under("nsenter", [network.as_str(), "--"])
    }
}

fn enter(ports: &[u16]) -> io::Result<(File, Vec<TcpListener>)> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).env("PATH", SEARCH_PATH).status()?;
    if !up.success() {
        return Err(io::Error::other("the loopback device does not come up"));
    }
    let listeners = ports.iter().map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port))).collect::<io::Result<_>>()?;
    Ok((File::open("/proc/thread-self/ns/net")?, listeners))
}
