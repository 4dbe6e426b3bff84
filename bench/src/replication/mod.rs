//! The replication: what a synchronous write costs beside Redis, how costs grow with the cluster, how long a failure is felt, and what a million
//! sessions take.

mod failover;
mod growth;
mod million;
mod writes;

pub(crate) use failover::run as failover;
pub(crate) use growth::run as growth;
pub(crate) use million::run as million;
pub(crate) use writes::run as writes;
