//! `INFO`: what client libraries look for, each of it true, and a section of our own. It waits for nobody, neither a peer nor the engine.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use super::Plan;
use super::table::Spec;
use crate::redis::context::{Context, REDIS_VERSION};
use crate::redis::frame::Value;
use crate::redis::{Counts, Sessions};

pub(super) const COMMANDS: &[Spec] = &[Spec::server("info", -1, |args| {
    let names = (1..args.len()).map(|index| args.get(index).to_ascii_lowercase());
    Ok(Plan::Info(Sections::named(names)))
})];

/// The sections, in the order of the answer.
const SECTIONS: [&str; 9] = ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "Cluster", "Keyspace", "Holdfast"];

/// Which of [`SECTIONS`] are asked for.
pub(crate) struct Sections([bool; SECTIONS.len()]);

impl Sections {
    fn named(names: impl Iterator<Item = Vec<u8>>) -> Sections {
        let mut names = names.peekable();
        let mut sections = Sections([names.peek().is_none(); SECTIONS.len()]);
        for name in names {
            let whole = matches!(&name[..], b"default" | b"all" | b"everything");
            for (asked, section) in sections.0.iter_mut().zip(SECTIONS) {
                *asked |= whole || section.as_bytes().eq_ignore_ascii_case(&name);
            }
        }
        sections
    }

    pub(super) fn run<S: Sessions>(self, context: &Context<S>) -> Value {
        let counts = context.sessions.counts();
        let mut text = String::new();
        for section in SECTIONS.iter().zip(self.0).filter(|(_, asked)| *asked).map(|(section, _)| *section) {
            let gap = if text.is_empty() { "" } else { "\r\n" };
            // Writing to a String cannot fail.
            let _ = write!(text, "{gap}# {section}\r\n");
            for (name, value) in fields(section, &counts, context) {
                let _ = write!(text, "{name}:{value}\r\n");
            }
        }
        Value::Text(text)
    }
}

fn fields<S>(section: &str, counts: &Counts, context: &Context<S>) -> Vec<(&'static str, String)> {
    let front = &context.front;
    let (settings, statistics) = (&front.settings, &front.statistics);
    let up = front.started.elapsed().as_secs();
    match section {
        "Server" => vec![
            ("redis_version", REDIS_VERSION.into()),
            ("redis_mode", "standalone".into()),
            ("os", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
            ("arch_bits", usize::BITS.to_string()),
            ("process_id", std::process::id().to_string()),
            ("run_id", front.run_id.clone()),
            ("tcp_port", settings.listen.port().to_string()),
            ("uptime_in_seconds", up.to_string()),
            ("uptime_in_days", (up / 86_400).to_string()),
        ],
        "Clients" => vec![("connected_clients", front.clients.len().to_string()), ("maxclients", settings.max_clients.to_string())],
        "Memory" => vec![
            ("number_of_cached_scripts", context.front.scripts.len().to_string()),
            ("used_memory", counts.load.bytes.to_string()),
            ("maxmemory", counts.load.budget.unwrap_or_default().to_string()),
            ("maxmemory_policy", "noeviction".into()),
        ],
        // A member outside the view can do nothing yet. Libraries wait for 0 here before they send commands.
        "Persistence" => vec![("loading", u8::from(!counts.joined).to_string()), ("aof_enabled", "0".into())],
        "Stats" => vec![
            ("total_connections_received", statistics.accepted.load(Relaxed).to_string()),
            ("total_commands_processed", statistics.commands.load(Relaxed).to_string()),
            ("rejected_connections", statistics.rejected.load(Relaxed).to_string()),
        ],
        // To a client every member is a Redis that stands alone: who owns a session is our business.
        "Replication" => vec![("role", "master".into()), ("connected_slaves", "0".into())],
        "Cluster" => vec![("cluster_enabled", "0".into())],
        "Keyspace" if counts.owned == 0 => vec![],
        "Keyspace" => vec![("db0", format!("keys={}", counts.owned))],
        _ => vec![
            ("holdfast_version", env!("CARGO_PKG_VERSION").into()),
            ("cluster", settings.cluster.clone()),
            ("namespace", settings.namespace.clone()),
            ("member", settings.member.clone()),
            ("phase", counts.phase.clone()),
            ("epoch", counts.epoch.to_string()),
            ("members", counts.members.to_string()),
            ("copies", counts.copies.to_string()),
            ("sessions_owned", counts.owned.to_string()),
            ("sessions_kept", counts.kept.to_string()),
            ("max_bytes", settings.max_bytes.to_string()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(names: &[&str]) -> Vec<&'static str> {
        let sections = Sections::named(names.iter().map(|name| name.as_bytes().to_vec()));
        SECTIONS.into_iter().zip(sections.0).filter(|(_, asked)| *asked).map(|(section, _)| section).collect()
    }

    #[test]
    fn sections_are_asked_for_by_name() {
        assert_eq!(asked(&[]), SECTIONS);
        assert_eq!(asked(&["default"]), SECTIONS);
        assert_eq!(asked(&["holdfast", "server", "nosuch"]), ["Server", "Holdfast"]);
        assert!(asked(&["nosuch"]).is_empty());
    }
}
