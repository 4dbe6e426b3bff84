//! The replication: what a synchronous write costs beside Redis, how costs grow with the cluster, how long a failure is felt, and what a million
//! sessions take.

mod failover;
mod growth;
mod million;
mod writes;

use clap::ValueEnum;

use crate::report::Report;

/// A part of this benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Synchronous writes beside Redis with one replica.
    Writes,
    /// Cost of a write, a lookup and of being there, by the number of members.
    Growth,
    /// Time until the sessions of a lost member answer.
    Failover,
    /// A million sessions: memory, joining, protection after a loss.
    Million,
}

/// Runs these parts, one after the other.
pub(crate) async fn run(parts: &[Part], quick: bool, report: &mut Report) -> anyhow::Result<()> {
    for part in parts {
        match part {
            Part::Writes => writes::run(quick, report).await?,
            Part::Growth => growth::run(quick, report)?,
            Part::Failover => failover::run(quick, report).await?,
            Part::Million => million::run(quick, report).await?,
        }
    }
    Ok(())
}
