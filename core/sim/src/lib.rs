//! A seeded simulator of whole clusters: real [`holdfast_core::engine::Engine`]s under a pretend network, clock and arbiter, with everything that
//! can go wrong going wrong, and a check of each history. A seed always gives the same run; what was done in it is written down, so that it can be
//! shortened and kept.

mod action;
mod arbiter;
mod brink;
#[cfg(feature = "broken-rules")]
mod broken;
mod chaos;
mod checks;
mod clients;
mod drills;
mod excuses;
pub mod history;
mod network;
mod perform;
mod rest;
mod rng;
mod scenario;
mod schedule;
mod setup;
mod shorten;
mod stats;
mod step;
mod together;
mod world;

pub use action::{Action, Ask, Pod};
#[cfg(feature = "broken-rules")]
pub use broken::{Where, catch, redundant, shows};
pub use drills::Drill;
pub use rest::REST_WITHIN;
pub use schedule::{Schedule, Violation, histories, replay, run, run_kind, run_skipped_view};
pub use setup::{Kind, Setup};
pub use shorten::shorten;
pub use stats::Stats;
