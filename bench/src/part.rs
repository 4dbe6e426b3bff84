//! What can be measured.

use clap::ValueEnum;

use crate::report::Report;
use crate::{pages, redis, replication};

/// What is compared with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// The runtimes among themselves.
    Replication,
    /// The Redis front door beside Redis.
    Redis,
    /// Whole pages of applications.
    Pages,
}

/// A part of a benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Replication: synchronous writes beside Redis with one replica.
    Writes,
    /// Replication: cost of a write, a lookup and of being there, by the number of members.
    Growth,
    /// Replication: time until the sessions of a lost member answer.
    Failover,
    /// Replication: a million sessions: memory, joining, protection after a loss.
    Million,
    /// Redis: GET and SET, by connections, pipelines and the way in.
    Commands,
    /// Redis: what a second thread brings.
    Scaling,
    /// Redis: what a session takes beyond its bytes.
    Memory,
    /// Pages: applications in Django and Express, with their sessions in Redis or in Holdfast.
    Frameworks,
    /// Pages: an application in Rust beside a servlet in a cluster of Tomcats.
    Tomcat,
}

impl Subject {
    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Replication => "replication",
            Self::Redis => "redis",
            Self::Pages => "pages",
        }
    }
}

impl Part {
    pub(crate) fn subject(self) -> Subject {
        match self {
            Self::Writes | Self::Growth | Self::Failover | Self::Million => Subject::Replication,
            Self::Commands | Self::Scaling | Self::Memory => Subject::Redis,
            Self::Frameworks | Self::Tomcat => Subject::Pages,
        }
    }

    pub(crate) async fn run(self, quick: bool, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Self::Writes => replication::writes(quick, report).await,
            Self::Growth => replication::growth(quick, report),
            Self::Failover => replication::failover(quick, report).await,
            Self::Million => replication::million(quick, report).await,
            Self::Commands => redis::commands(quick, report).await,
            Self::Scaling => redis::scaling(quick, report).await,
            Self::Memory => redis::memory(quick, report).await,
            Self::Frameworks => pages::frameworks(quick, report).await,
            Self::Tomcat => pages::tomcat(quick, report).await,
        }
    }
}
