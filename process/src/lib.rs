//! What every Holdfast binary shares: logging, the TLS provider, settings that fail with one clear line, signals, and the small HTTP server for
//! health and metrics. It knows nothing about sessions, so that each binary's main only composes.

pub mod health;
mod http;
mod log;
pub mod metrics;
mod settings;
mod signals;
pub mod token;

pub use http::{bind, serve};
pub use log::{LogFormat, LogOptions, fail, init};
pub use settings::{from_env, parse};
pub use signals::shutdown;
