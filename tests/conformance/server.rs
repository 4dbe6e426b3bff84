//! By which server a suite is run: a member of a cluster, all of them in turn, or a real Redis to compare with.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use holdfast_support::redis_server::RedisServer;
use holdfast_support::world::{Ways, World};

/// How many members there are.
pub(crate) const MEMBERS: u8 = 3;

/// The choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The member at this place.
    Member(u8),
    /// Each new connection goes to the next member.
    InTurn,
    /// A real Redis.
    Redis,
}

impl Choice {
    /// What a suite has to pass.
    pub(crate) const ALL: [Self; 4] = [Self::Member(0), Self::Member(1), Self::Member(2), Self::InTurn];
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("turn", _) => Ok(Self::InTurn),
            ("redis", _) => Ok(Self::Redis),
            (_, Ok(id)) if id < MEMBERS => Ok(Self::Member(id)),
            _ => Err(format!("right are 0 to {}, `turn` and `redis`", MEMBERS - 1)),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(id) => id.fmt(to),
            Self::InTurn => "turn".fmt(to),
            Self::Redis => "redis".fmt(to),
        }
    }
}

/// It runs until it is dropped. New for each run, so that nothing of another one is in it.
#[derive(Debug)]
pub(crate) enum Server {
    Cluster(World),
    Redis(RedisServer),
}

impl Server {
    /// Starts what is needed for this choice.
    pub(crate) async fn start(choice: Choice) -> anyhow::Result<Self> {
        match choice {
            Choice::Redis => Ok(Self::Redis(RedisServer::start(&[]).await?)),
            Choice::Member(_) | Choice::InTurn => Ok(Self::Cluster(World::start(MEMBERS, 1, Ways::Direct).await?)),
        }
    }

    /// Where the suite's connections go.
    pub(crate) fn addresses(&self, choice: Choice) -> Vec<SocketAddr> {
        match (self, choice) {
            (Self::Redis(server), _) => vec![server.address],
            (Self::Cluster(world), Choice::Member(id)) => vec![world.redis(id)],
            (Self::Cluster(world), _) => world.members.values().map(|member| member.redis).collect(),
        }
    }
}
