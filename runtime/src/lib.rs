//! The runtime of one member: sockets, timers, DNS, the arbiter's client and the front doors around the rules in `holdfast-core`.
//! The rules decide; everything here carries out, and reports what happened.

pub mod admin;
pub mod announce;
pub mod arbiter;
pub mod broadcast;
mod clock;
pub mod config;
pub mod data;
pub mod dns;
pub mod drain;
pub mod incarnation;
mod links;
pub mod member;
pub mod peers;
pub mod place;
pub mod proof;
pub mod redis;
pub mod run;
pub mod session;
mod socket;
pub mod status;
pub mod tls;
