//! The application in Rust, which is built with this program: as the member of its pod, and with the runtime beside it.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::Context;
use holdfast_support::command::Run;
use holdfast_support::world::{Ways, World, built};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::contest::Contender;
use super::process::Process;

const PROGRAM: &str = "bench-page";

/// Until a member's application takes connections.
const PATIENCE: Duration = Duration::from_secs(20);

/// Applications in their pods; their processes end when this is dropped.
#[derive(Debug)]
pub(super) struct Pods {
    world: World,
    /// Those beside their runtimes, by place; none if applications are the members.
    applications: Vec<Process>,
}

impl Pods {
    /// So many applications that are members, with so many copies.
    pub(super) async fn inside(members: u8, copies: u8) -> anyhow::Result<Self> {
        let world = World::of_applications(PROGRAM, members, copies).await?;
        for id in 0..members {
            let begun = Instant::now();
            while TcpStream::connect(world.users(id)).await.is_err() {
                anyhow::ensure!(begun.elapsed() < PATIENCE, "an application takes no connections; it says: {}", world.members[&id].log());
                sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(Self { world, applications: Vec::new() })
    }

    /// So many applications, each beside a runtime, with so many copies.
    pub(super) async fn beside(members: u8, copies: u8) -> anyhow::Result<Self> {
        let world = World::start(members, copies, Ways::Direct).await?;
        let mut applications = Vec::new();
        for id in 0..members {
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            let run = Run::new(built(PROGRAM)?, [format!("--listen={address}"), format!("--redis-url=redis://{}", world.redis(id))]);
            applications.push(Process::start(&run, address).await?);
        }
        Ok(Self { world, applications })
    }

    /// The first pod takes the requests.
    pub(super) fn contender(&self, name: &str) -> Contender {
        let members = self.world.members.values().map(|member| member.pid);
        let (address, application, store) = match self.applications.first() {
            None => (self.world.users(0), vec![self.world.members[&0].pid], members.skip(1).collect()),
            Some(first) => (first.address, vec![first.pid], members.collect()),
        };
        Contender { name: name.to_owned(), address, application, store }
    }

    /// SIGKILL to all of the first pod.
    pub(super) async fn kill_first(&mut self) -> anyhow::Result<()> {
        if let Some(first) = self.applications.first_mut() {
            first.kill().await?;
        }
        self.world.kill(0).await
    }

    /// Where the second pod takes requests.
    pub(super) fn second(&self) -> anyhow::Result<SocketAddr> {
        match self.applications.get(1) {
            Some(second) => Ok(second.address),
            None => Ok(self.world.members.get(&1).context("there is one pod only")?.users),
        }
    }
}
