//! Whole members in one process, over real sockets on loopback, with the arbiter in memory: what a cluster promises, and what happens to it.

mod admin;
mod cluster;
mod failure;
mod links;
mod membership;
mod network;
mod parted;
mod placement;
mod sessions;
mod tls;
mod turmoil;
