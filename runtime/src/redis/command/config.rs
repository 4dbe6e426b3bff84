//! `CONFIG`: those of Redis' settings that have a true value here. Which keyspace notifications are wanted, and when idle clients are closed,
//! can be set; all else is as the SessionCluster says.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use holdfast_core::glob;

use super::Plan;
use super::args::{Args, Refusal};
use super::introspection::help;
use super::table::Spec;
use crate::redis::Sessions;
use crate::redis::context::Context;
use crate::redis::frame::{Value, parse_integer};
use crate::redis::notify::Invalid;
use crate::redis::settings::KEEPALIVE;

pub(super) const COMMANDS: &[Spec] = &[Spec::server("config", -2, |args| Err(Refusal::arity(args.name))).with(&[
    Spec::server("config|get", -3, get),
    Spec::server("config|set", -4, set),
    Spec::server("config|resetstat", 2, |_| Ok(Plan::Config(Action::ResetStatistics))),
    Spec::server("config|rewrite", 2, |_| Err(Refusal::fixed("ERR The server is running without a config file"))),
    Spec::server("config|help", 2, |_| Ok(help("CONFIG", HELP))),
])];

const HELP: &[&str] = &[
    "GET <pattern>",
    "    Return parameters matching the glob-like <pattern> and their values.",
    "SET notify-keyspace-events <classes>",
    "    Set which keyspace notifications the clients of this member are told.",
    "SET timeout <seconds>",
    "    Set when clients of this member that ask nothing are closed, 0 for never.",
    "RESETSTAT",
    "    Reset statistics reported by the INFO command.",
];

/// What can be set.
const NOTIFY: &str = "notify-keyspace-events";
const TIMEOUT: &str = "timeout";

/// The settings that have a true value here.
const SETTINGS: [&str; 13] = [
    "appendonly",
    "bind",
    "databases",
    "maxclients",
    "maxmemory",
    "maxmemory-policy",
    NOTIFY,
    "port",
    "save",
    "tcp-keepalive",
    TIMEOUT,
    "unixsocket",
    "unixsocketperm",
];

/// The longest `timeout`, in seconds.
const LONGEST: i64 = i32::MAX as i64;

/// The most letters of a setting.
const MOST_LETTERS: usize = 64;

/// The most patterns in one request: each is held against every setting.
const MOST_PATTERNS: usize = 64;

/// A subcommand of `CONFIG`.
pub(crate) enum Action {
    /// `GET` of the settings with these names.
    Get(Vec<Bytes>),
    /// `SET`.
    Set {
        /// The keyspace notifications that are wanted.
        notify: Option<Bytes>,
        /// After how many seconds idle clients are closed.
        timeout: Option<u64>,
    },
    /// What was counted is forgotten.
    ResetStatistics,
}

fn get(args: &Args<'_>) -> Result<Plan, Refusal> {
    let patterns: Vec<Bytes> = (2..args.len()).map(|index| args.pattern(index)).collect::<Result<_, _>>()?;
    if patterns.len() > MOST_PATTERNS {
        return Err(Refusal::new(format!("ERR more than {MOST_PATTERNS} patterns")));
    }
    Ok(Plan::Config(Action::Get(patterns)))
}

/// As in Redis: all names are looked at before any of them is set.
fn set(args: &Args<'_>) -> Result<Plan, Refusal> {
    if !args.len().is_multiple_of(2) {
        return Err(Refusal::arity(args.name));
    }
    let (mut notify, mut timeout) = (None, None);
    for index in (2..args.len()).step_by(2) {
        let is_again = if args.is(index, NOTIFY) {
            notify.replace(args.at_most(index + 1, "value", MOST_LETTERS)?).is_some()
        } else if args.is(index, TIMEOUT) {
            timeout.replace(args.at_most(index + 1, "value", MOST_LETTERS)?).is_some()
        } else if SETTINGS.iter().any(|name| args.is(index, name)) {
            return Err(failed(args.get(index), "can't set immutable config"));
        } else {
            return Err(Refusal::quoting("ERR Unknown option or number of arguments for CONFIG SET - '", args.get(index), "'"));
        };
        if is_again {
            return Err(failed(args.get(index), "duplicate parameter"));
        }
    }
    let timeout = timeout.map(|text| seconds(&text)).transpose()?;
    Ok(Plan::Config(Action::Set { notify, timeout }))
}

fn seconds(text: &[u8]) -> Result<u64, Refusal> {
    match parse_integer(text) {
        None => Err(failed(TIMEOUT.as_bytes(), "argument couldn't be parsed into an integer")),
        Some(number @ 0..=LONGEST) => Ok(number.unsigned_abs()),
        Some(_) => Err(failed(TIMEOUT.as_bytes(), "argument must be between 0 and 2147483647 inclusive")),
    }
}

fn failed(name: &[u8], why: &str) -> Refusal {
    Refusal::quoting("ERR CONFIG SET failed (possibly related to argument '", name, &format!("') - {why}"))
}

impl Action {
    pub(super) fn run<S: Sessions>(self, context: &Context<S>) -> Value {
        match self {
            Action::Get(patterns) => found(patterns, context),
            Action::Set { notify, timeout } => {
                match notify.map(|wanted| context.front.notify.set(&wanted)) {
                    Some(Ok(classes)) => context.sessions.want_notices(classes),
                    Some(Err(Invalid)) => return failed(NOTIFY.as_bytes(), "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.").into(),
                    None => {}
                }
                if let Some(timeout) = timeout {
                    context.front.timeout.store(timeout, Relaxed);
                }
                Value::OK
            }
            Action::ResetStatistics => {
                let statistics = &context.front.statistics;
                for count in [&statistics.accepted, &statistics.rejected, &statistics.commands] {
                    count.store(0, Relaxed);
                }
                Value::OK
            }
        }
    }
}

/// All settings, in the order of [`SETTINGS`].
fn values<S: Sessions>(context: &Context<S>) -> [String; SETTINGS.len()] {
    let settings = &context.front.settings;
    let socket = settings.socket.as_ref().map(|socket| socket.display().to_string());
    [
        "no".into(),
        settings.listen.ip().to_string(),
        "1".into(),
        settings.max_clients.to_string(),
        // Nothing is ever dropped to make room.
        context.sessions.counts().load.budget.unwrap_or_default().to_string(),
        "noeviction".into(),
        context.front.notify.text(),
        settings.listen.port().to_string(),
        String::new(),
        KEEPALIVE.as_secs().to_string(),
        context.front.timeout.load(Relaxed).to_string(),
        socket.unwrap_or_default(),
        "777".into(),
    ]
}

fn found<S: Sessions>(patterns: Vec<Bytes>, context: &Context<S>) -> Value {
    let values = values(context);
    let mut found: Vec<(Bytes, String)> = Vec::new();
    for pattern in patterns {
        let literal = !pattern.iter().any(|byte| b"[*?".contains(byte));
        for (name, value) in SETTINGS.iter().zip(&values) {
            let fits = if literal { pattern.eq_ignore_ascii_case(name.as_bytes()) } else { glob::matches_name(&pattern, name.as_bytes()) };
            if fits && !found.iter().any(|(before, _)| before.eq_ignore_ascii_case(name.as_bytes())) {
                // As in Redis: a name comes back as it was spelled, a pattern does not.
                found.push((if literal { pattern.clone() } else { Bytes::from_static(name.as_bytes()) }, value.clone()));
            }
        }
    }
    Value::Map(found.into_iter().map(|(name, value)| (Value::Bulk(name), Value::Bulk(value.into()))).collect())
}
