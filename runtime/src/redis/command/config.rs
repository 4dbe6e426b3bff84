//! `CONFIG GET`: those of Redis' settings that have a true value here. None of them can be set: the SessionCluster says what is so.

use bytes::Bytes;
use holdfast_core::glob;

use super::Plan;
use super::args::{Args, Refusal};
use super::introspection::help;
use super::table::Spec;
use crate::redis::Sessions;
use crate::redis::context::Context;
use crate::redis::frame::Value;

pub(super) const COMMANDS: &[Spec] = &[Spec::server("config", -2, |args| Err(Refusal::arity(args.name))).with(&[
    Spec::server("config|get", -3, get),
    Spec::server("config|help", 2, |_| {
        Ok(help("CONFIG", &["GET <pattern>", "    Return parameters matching the glob-like <pattern> and their values."]))
    }),
])];

/// The most patterns in one request: each is held against every setting.
const MOST_PATTERNS: usize = 64;

/// What names of settings are asked for.
pub(crate) struct Patterns(Vec<Bytes>);

fn get(args: &Args<'_>) -> Result<Plan, Refusal> {
    let patterns: Vec<Bytes> = (2..args.len()).map(|index| args.pattern(index)).collect::<Result<_, _>>()?;
    if patterns.len() > MOST_PATTERNS {
        return Err(Refusal::new(format!("ERR more than {MOST_PATTERNS} patterns")));
    }
    Ok(Plan::Config(Patterns(patterns)))
}

impl Patterns {
    pub(super) fn run<S: Sessions>(self, context: &Context<S>) -> Value {
        let settings = &context.front.settings;
        let socket = settings.socket.as_ref().map(|socket| socket.display().to_string());
        let all: [(&'static str, String); 12] = [
            ("appendonly", "no".into()),
            ("bind", settings.listen.ip().to_string()),
            ("databases", "1".into()),
            ("maxclients", settings.max_clients.to_string()),
            // No limit on all values together, and nothing is ever dropped to make room.
            ("maxmemory", "0".into()),
            ("maxmemory-policy", "noeviction".into()),
            ("notify-keyspace-events", String::new()),
            ("port", settings.listen.port().to_string()),
            ("save", String::new()),
            // Idle connections are never closed.
            ("timeout", "0".into()),
            ("unixsocket", socket.unwrap_or_default()),
            ("unixsocketperm", "777".into()),
        ];
        let mut found: Vec<(Bytes, String)> = Vec::new();
        for pattern in self.0 {
            let literal = !pattern.iter().any(|byte| b"[*?".contains(byte));
            for (name, value) in &all {
                let fits =
                    if literal { pattern.eq_ignore_ascii_case(name.as_bytes()) } else { glob::matches_name(&pattern, name.as_bytes()) };
                if fits && !found.iter().any(|(before, _)| before.eq_ignore_ascii_case(name.as_bytes())) {
                    // As in Redis: a name comes back as it was spelled, a pattern does not.
                    found.push((if literal { pattern.clone() } else { Bytes::from_static(name.as_bytes()) }, value.clone()));
                }
            }
        }
        Value::Map(found.into_iter().map(|(name, value)| (Value::Bulk(name), Value::Bulk(value.into()))).collect())
    }
}
