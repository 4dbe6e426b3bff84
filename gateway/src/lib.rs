//! The sticky gateway of a SessionCluster: it keeps each user on the member that owns their session, and when that member goes, sends them to
//! another that holds it, without a failed request where that is possible at all.
//!
//! The parts: [`discover`] watches the API server, [`control`] follows each member's own account of itself, the [`director`] makes a routing
//! [`table`] of both, and [`serve`] takes clients, whose requests go by the table alone. docs/gateway.md says how it behaves.

pub mod admin;
mod clock;
pub mod control;
mod cookie;
pub mod credentials;
pub mod director;
pub mod discover;
pub mod gateway;
pub mod intent;
pub mod limits;
mod member;
mod meters;
mod proxy;
pub mod serve;
pub mod settings;
pub mod table;
