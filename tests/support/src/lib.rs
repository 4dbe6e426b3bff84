//! What tests and benchmarks share: processes of the runtime on loopback, with a pretend API server and name server around them, requests for them,
//! certificates for them; other programs, how they get here and how they are run; and lines that say how far a long command is. Nothing that is
//! shipped depends on it.

pub mod api_server;
pub mod apt;
pub mod cache;
pub mod certificates;
pub mod command;
pub mod install;
pub mod lock;
pub mod member;
pub mod name_server;
pub mod progress;
pub mod python;
pub mod redis_server;
pub mod resp;
pub mod world;

use std::net::{Ipv4Addr, TcpListener};

/// A port that is free on all of these addresses: members use the same one, as pods do.
///
/// # Errors
/// When one of the addresses is not to be had, or none was found.
pub fn free_port(addresses: &[Ipv4Addr]) -> anyhow::Result<u16> {
    for _ in 0..50 {
        let port = TcpListener::bind((addresses[0], 0))?.local_addr()?.port();
        if addresses.iter().all(|address| TcpListener::bind((*address, port)).is_ok()) {
            return Ok(port);
        }
    }
    anyhow::bail!("no port is free on all of {addresses:?}")
}
