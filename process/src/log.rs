//! Logging to standard error, the process-wide TLS provider and the panic hook: what has to stand before anything else runs.
//! A binary that cannot go on ends through [`fail`], so that an operator finds exactly one line that says why.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;

use anyhow::Context;
use clap::{Args, ValueEnum};
use tracing::error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// kube's client logs each failed call as an error before it returns it; whoever called says what it means. `HOLDFAST_LOG` can undo it.
const QUIET: &str = "kube_client::client::builder=off";

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, for log collectors.
    #[default]
    Json,
    /// One readable line, for people.
    Text,
}

/// The logging settings, the same in every binary.
#[derive(Args, Clone, Debug)]
pub struct LogOptions {
    /// What to log, in the syntax of RUST_LOG: a level (`info`), or levels by module (`warn,holdfast_runtime=debug`).
    #[arg(long = "log", env = "HOLDFAST_LOG", default_value = "info", value_name = "FILTER")]
    pub filter: String,
    /// The format of a log line.
    #[arg(long = "log-format", env = "HOLDFAST_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT")]
    pub format: LogFormat,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::default() }
    }
}

/// Sets up logging, rustls' `ring` provider and a panic hook that logs. Call it first in `main`.
///
/// # Errors
/// When the filter does not parse, or when logging was set up before.
pub fn init(name: &'static str, log: &LogOptions) -> anyhow::Result<()> {
    // A second provider in the process would make rustls refuse to choose; whoever installed one first installed this one.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let filter = EnvFilter::try_new(format!("{QUIET},{}", log.filter)).with_context(|| {
        format!("HOLDFAST_LOG: `{}` is not a log filter; right is a level such as `info`, or `warn,holdfast_runtime=debug`", log.filter)
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_span_events(FmtSpan::NONE);
    match log.format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.try_init(),
    }
    .map_err(|error| anyhow::anyhow!("logging of {name} was set up twice: {error}"))?;

    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = Backtrace::capture();
        let backtrace = if backtrace.status() == BacktraceStatus::Captured { backtrace.to_string() } else { String::new() };
        error!(process = name, place, backtrace, "panic: {}", panic.payload_as_str().unwrap_or("without a message"));
    }));
    Ok(())
}

/// Ends the process with exit code 1 and exactly one error line that holds the whole chain of causes.
pub fn fail(name: &str, error: impl Into<anyhow::Error>) -> ! {
    let error = error.into();
    if !tracing::dispatcher::has_been_set() {
        // The settings themselves may be what is wrong, so the line is written in the default format.
        let _ = tracing_subscriber::fmt().with_writer(std::io::stderr).json().flatten_event(true).try_init();
    }
    error!(process = name, "{name} cannot go on: {error:#}");
    std::process::exit(1)
}
