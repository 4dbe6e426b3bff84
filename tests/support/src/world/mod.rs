//! A cluster of real processes on loopback, with a pretend API server and name servers around it, and cables that can be cut.

mod cable;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::time::sleep;

use crate::api_server::ApiServer;
use crate::free_port;
use crate::member::{Member, Pod, Surroundings};
use crate::name_server::NameServer;

use cable::Cable;

/// Far longer than anything here may take; whoever reaches it has found a fault.
const PATIENCE: Duration = Duration::from_secs(180);

/// The most members of a cluster here.
const PLACES: u8 = 8;

/// The cluster. Its processes are killed when it is dropped.
#[derive(Debug)]
pub struct World {
    /// Its living members, by their places.
    pub members: BTreeMap<u8, Member>,
    api: ApiServer,
    name_servers: BTreeMap<u8, NameServer>,
    /// By the member that uses it, and the one to which it leads; none leads to the API server.
    cables: BTreeMap<(u8, Option<u8>), Cable>,
    net: u8,
    port: u16,
    copies: u8,
    threads: Option<u8>,
    /// The program of the applications that are the members; none if they are runtimes.
    application: Option<&'static str>,
    starts: u32,
}

/// How members reach each other and the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ways {
    /// Directly.
    Direct,
    /// Through cables that can be cut, one for each way.
    Cables,
}

impl World {
    /// A cluster of so many members, settled.
    ///
    /// # Errors
    /// When it cannot be started, or does not settle.
    pub async fn start(members: u8, copies: u8, ways: Ways) -> anyhow::Result<Self> {
        Self::start_with(members, copies, ways, None, None).await
    }

    /// A cluster of so many applications that are members themselves, settled: processes of the program of this name, built beside this one.
    ///
    /// # Errors
    /// When it cannot be started, or does not settle.
    pub async fn of_applications(name: &'static str, members: u8, copies: u8) -> anyhow::Result<Self> {
        Self::start_with(members, copies, Ways::Direct, None, Some(name)).await
    }

    /// One member by itself, which serves its clients on so many threads.
    ///
    /// # Errors
    /// When it cannot be started, or does not settle.
    pub async fn single(threads: u8) -> anyhow::Result<Self> {
        Self::start_with(1, 0, Ways::Direct, Some(threads), None).await
    }

    async fn start_with(
        members: u8,
        copies: u8,
        ways: Ways,
        threads: Option<u8>,
        application: Option<&'static str>,
    ) -> anyhow::Result<Self> {
        // Several of these may run on one machine.
        let net = 86 + (std::process::id() % 100) as u8;
        let port = free_port(&(0..PLACES).map(|id| ip(net, id)).collect::<Vec<_>>())?;
        let api = ApiServer::start().await?;
        let (none, name_servers, cables) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut world = Self { members: none, api, name_servers, cables, net, port, copies, threads, application, starts: 0 };
        for from in 0..PLACES {
            world.connect(from, ways).await?;
        }
        for id in 0..members {
            world.add(id)?;
        }
        world.settled(usize::from(members)).await?;
        Ok(world)
    }

    async fn connect(&mut self, from: u8, ways: Ways) -> anyhow::Result<()> {
        let mut addresses = Vec::new();
        for to in 0..PLACES {
            let ip = if ways == Ways::Direct || from == to { self.ip(to) } else { self.cable_ip(from, to) };
            addresses.push((format!("shop-{to}"), ip));
            if ways == Ways::Cables && from != to {
                let cable = Cable::lay((ip, self.port).into(), (self.ip(to), self.port).into()).await?;
                self.cables.insert((from, Some(to)), cable);
            }
        }
        if ways == Ways::Cables {
            self.cables.insert((from, None), Cable::lay((self.ip(from), 0).into(), self.api.address).await?);
        }
        self.name_servers.insert(from, NameServer::start(addresses, self.port).await?);
        Ok(())
    }

    fn ip(&self, id: u8) -> Ipv4Addr {
        ip(self.net, id)
    }

    fn cable_ip(&self, from: u8, to: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.net, 100 + from, to + 1)
    }

    /// Starts the member at this place, in a new pod.
    ///
    /// # Errors
    /// When there is no such place, or the runtime is not built or cannot be started.
    pub fn add(&mut self, id: u8) -> anyhow::Result<()> {
        self.starts += 1;
        let pod = Pod { id, uid: format!("uid-{}", self.starts), ip: self.ip(id), replication: self.port };
        let surroundings = Surroundings {
            api_server: self.cables.get(&(id, None)).map_or(self.api.address, |cable| cable.address),
            name_server: self.name_servers.get(&id).context("no such place")?.address,
            copies: self.copies,
            threads: self.threads,
        };
        let member = match self.application {
            None => Member::start(&built("holdfast-runtime")?, &pod, surroundings)?,
            Some(name) => Member::start_application(&built(name)?, &pod, surroundings)?,
        };
        self.members.insert(id, member);
        Ok(())
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When there is no such member, or it cannot be killed.
    pub async fn kill(&mut self, id: u8) -> anyhow::Result<()> {
        self.members.remove(&id).context("no such member")?.kill().await
    }

    /// Cuts a member off from the others and the API server, without telling anybody; or connects it again.
    pub fn set_cut(&self, id: u8, is_cut: bool) {
        for ((from, to), cable) in &self.cables {
            if *from == id || *to == Some(id) {
                cable.set_cut(is_cut);
            }
        }
    }

    /// Where the sessions are reached at this member.
    ///
    /// # Panics
    /// When there is no such member.
    #[must_use]
    pub fn redis(&self, id: u8) -> SocketAddr {
        self.members[&id].redis
    }

    /// Where the users of this member come in, if members are applications.
    ///
    /// # Panics
    /// When there is no such member.
    #[must_use]
    pub fn users(&self, id: u8) -> SocketAddr {
        self.members[&id].users
    }

    /// Whether the view has so many Full members, nobody else, and everything is protected.
    #[must_use]
    pub fn is_settled(&self, members: usize) -> bool {
        self.has_full(members) && self.api.members("Join").is_empty() && self.api.members("Leave").is_empty() && self.api.is_settled()
    }

    /// Whether the view has so many Full members.
    #[must_use]
    pub fn has_full(&self, members: usize) -> bool {
        self.api.members("Full").len() == members
    }

    /// Waits until [`World::is_settled`].
    ///
    /// # Errors
    /// When it takes too long, with what the members have logged last.
    pub async fn settled(&self, members: usize) -> anyhow::Result<()> {
        self.wait(|| self.is_settled(members)).await.with_context(|| format!("{members} members did not settle"))
    }

    /// Waits until a condition of the view holds.
    ///
    /// # Errors
    /// When it takes too long, with what the members have logged last.
    pub async fn wait(&self, condition: impl Fn() -> bool) -> anyhow::Result<()> {
        let start = Instant::now();
        while !condition() {
            if start.elapsed() > PATIENCE {
                let logs: Vec<String> = self.members.values().map(last_lines).collect();
                anyhow::bail!("not within {PATIENCE:?}; the view is {}; logs:\n{}", self.api.shown(), logs.join("\n---\n"));
            }
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

fn ip(net: u8, id: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, net, 1, id + 1)
}

/// What a member has logged last, for an error.
fn last_lines(member: &Member) -> String {
    let log = member.log();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// A program that was built beside this one.
///
/// # Errors
/// When it is not there.
pub fn built(name: &str) -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe().context("cannot find this program")?;
    let path = here.with_file_name(name);
    anyhow::ensure!(
        path.exists(),
        "`{}` is not there: build it in the same profile (`make bench` and `make conformance` do)",
        path.display()
    );
    Ok(path)
}
