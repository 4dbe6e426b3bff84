//! The Redis front door beside Redis 7: one member that keeps no copies, under the load of Redis' own `redis-benchmark`.

mod commands;
mod load;
mod memory;
mod scaling;
mod servers;

pub(crate) use commands::run as commands;
pub(crate) use memory::run as memory;
pub(crate) use scaling::run as scaling;
