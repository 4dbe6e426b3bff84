//! `COMMAND`: what is served, told to clients that ask.

use super::Plan;
use super::args::Refusal;
use super::table::{Spec, commands, find};
use crate::redis::frame::Value;

pub(super) const COMMANDS: &[Spec] =
    &[Spec::server("command", -1, |_| Ok(Plan::Answer(Value::Array(commands().iter().map(|spec| info(spec)).collect())))).with(&[
        Spec::server("command|count", 2, |_| Ok(Plan::Answer(Value::Int(commands().len() as i64)))),
        // Documentation is Redis' own; an empty answer means that there is none.
        Spec::server("command|docs", -2, |_| Ok(Plan::Answer(Value::Map(Vec::new())))),
        Spec::server("command|info", -2, |args| {
            let infos = match args.len() {
                2 => commands().iter().map(|spec| info(spec)).collect(),
                count if count - 2 > MOST_NAMES => return Err(Refusal::new(format!("ERR more than {MOST_NAMES} names"))),
                count => (2..count).map(|index| named(args.get(index)).map_or(Value::Null, info)).collect(),
            };
            Ok(Plan::Answer(Value::Array(infos)))
        }),
        Spec::server("command|list", -2, |args| match args.len() {
            2 => Ok(Plan::Answer(Value::Array(names().map(Value::fixed).collect()))),
            _ => Err(Refusal::SYNTAX),
        }),
        Spec::server("command|help", 2, |_| Ok(help("COMMAND", HELP))),
    ])];

/// The most names in one request: an answer is a hundred times as long.
const MOST_NAMES: usize = 1000;

const HELP: &[&str] = &[
    "(no subcommand)",
    "    Return details about all commands that are served.",
    "COUNT",
    "    Return the number of commands that are served.",
    "DOCS [<command-name> ...]",
    "    Return an empty answer: there is no documentation of commands here.",
    "INFO [<command-name> ...]",
    "    Return details about multiple commands.",
    "LIST",
    "    Return the names of all commands that are served.",
];

/// The answer to `HELP` below `command`.
pub(super) fn help(command: &'static str, lines: &'static [&'static str]) -> Plan {
    let title = match command {
        "ACL" => "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CLIENT" => "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CONFIG" => "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "SCRIPT" => "SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "PUBSUB" => "PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        _ => "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    };
    let lines = [title].into_iter().chain(lines.iter().copied()).chain(["HELP", "    Prints this help."]);
    Plan::Answer(Value::Array(lines.map(Value::Status).collect()))
}

/// The command or, as `client|id`, subcommand of this name.
fn named(name: &[u8]) -> Option<&'static Spec> {
    let mut parts = name.splitn(2, |byte| *byte == b'|');
    let command = find(parts.next()?)?.1;
    match parts.next() {
        None => Some(command),
        Some(_) if command.subcommands.is_empty() => None,
        Some(name) => command.subcommand(name),
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    commands().iter().flat_map(|spec| std::iter::once(spec.name).chain(spec.subcommands.iter().map(|spec| spec.name)))
}

/// In the form of Redis 7: ten elements, of which categories, hints and key specifications are left empty.
fn info(spec: &'static Spec) -> Value {
    let [first, last, step] = spec.keys;
    Value::Array(vec![
        Value::fixed(spec.name),
        Value::Int(spec.arity),
        Value::Set(spec.flags.iter().copied().map(Value::Status).collect()),
        Value::Int(first),
        Value::Int(last),
        Value::Int(step),
        Value::Set(Vec::new()),
        Value::Set(Vec::new()),
        Value::Set(Vec::new()),
        Value::Set(spec.subcommands.iter().map(info).collect()),
    ])
}
