//! `CLIENT`: names of connections, and who is connected.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::Plan;
use super::args::{Args, Refusal};
use super::introspection::help;
use super::table::Spec;
use crate::redis::Sessions;
use crate::redis::context::Context;
use crate::redis::frame::{Value, parse_integer};

pub(super) const COMMANDS: &[Spec] = &[Spec::server("client", -2, |args| Err(Refusal::arity(args.name))).with(&[
    Spec::server("client|id", 2, |_| Ok(Plan::Client(Action::Id))),
    Spec::server("client|getname", 2, |_| Ok(Plan::Client(Action::GetName))),
    Spec::server("client|setname", 3, |args| Ok(Plan::Client(Action::SetName(checked_name(args.get(2))?)))),
    Spec::server("client|setinfo", 4, set_info),
    Spec::server("client|info", 2, |_| Ok(Plan::Client(Action::Info))),
    Spec::server("client|list", -2, list),
    Spec::server("client|no-evict", 3, switch),
    Spec::server("client|no-touch", 3, switch),
    Spec::server("client|help", 2, |_| Ok(help("CLIENT", HELP))),
])];

const HELP: &[&str] = &[
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB) | ID <id> [<id> ...]]",
    "    Return information about client connections to this member.",
    "NO-EVICT (ON|OFF)",
    "    Accepted: no connection is ever evicted.",
    "NO-TOUCH (ON|OFF)",
    "    Accepted: no command changes when a session is evicted, because none is.",
    "SETINFO (LIB-NAME|LIB-VER) <value>",
    "    Tell which client library this is.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
];

/// The longest name, in bytes: it is kept as long as the connection.
const MAX_NAME: usize = 256;

/// A sub-command of `CLIENT`.
pub(crate) enum Action {
    /// The number of the connection.
    Id,
    /// Its name.
    GetName,
    /// Gives it a name, or takes it away.
    SetName(Option<String>),
    /// The library that uses it.
    SetLibrary(Option<String>),
    /// That library's version.
    SetLibraryVersion(Option<String>),
    /// A line about it.
    Info,
    /// Lines about all connections, or those with these numbers.
    List(Option<Vec<i64>>),
}

/// A name as it is kept, `None` for an empty one; `Err` if it would break the lines of `CLIENT LIST`.
pub(super) fn checked_name(name: &[u8]) -> Result<Option<String>, Refusal> {
    checked(name, "Client names")
}

fn checked(name: &[u8], what: &str) -> Result<Option<String>, Refusal> {
    if name.len() > MAX_NAME {
        return Err(Refusal::new(format!("ERR {what} cannot be longer than {MAX_NAME} bytes.")));
    }
    match std::str::from_utf8(name) {
        Ok("") => Ok(None),
        Ok(name) if name.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Some(name.to_owned())),
        _ => Err(Refusal::new(format!("ERR {what} cannot contain spaces, newlines or special characters."))),
    }
}

fn set_info(args: &Args<'_>) -> Result<Plan, Refusal> {
    // Redis repeats the option as it was sent.
    let value = || checked(args.get(3), &String::from_utf8_lossy(args.get(2)));
    if args.is(2, "lib-name") {
        Ok(Plan::Client(Action::SetLibrary(value()?)))
    } else if args.is(2, "lib-ver") {
        Ok(Plan::Client(Action::SetLibraryVersion(value()?)))
    } else {
        Err(Refusal::quoting("ERR Unrecognized option '", args.get(2), "'"))
    }
}

fn list(args: &Args<'_>) -> Result<Plan, Refusal> {
    let ids = match args.len() {
        2 => None,
        4 if args.is(2, "type") => match &args.get(3).to_ascii_lowercase()[..] {
            b"normal" => None,
            b"master" | b"replica" | b"slave" | b"pubsub" => Some(Vec::new()),
            _ => return Err(Refusal::quoting("ERR Unknown client type '", args.get(3), "'")),
        },
        4.. if args.is(2, "id") => {
            let id = |index| parse_integer(args.get(index)).ok_or(Refusal::fixed("ERR Invalid client ID"));
            // Each once: a line is far longer than a number.
            let ids: BTreeSet<i64> = (3..args.len()).map(id).collect::<Result<_, _>>()?;
            Some(ids.into_iter().collect())
        }
        _ => return Err(Refusal::SYNTAX),
    };
    Ok(Plan::Client(Action::List(ids)))
}

fn switch(args: &Args<'_>) -> Result<Plan, Refusal> {
    if args.is(2, "on") || args.is(2, "off") { Ok(Plan::Answer(Value::OK)) } else { Err(Refusal::SYNTAX) }
}

impl Action {
    pub(super) fn run<S: Sessions>(self, context: &Context<S>) -> Value {
        let client = &context.client;
        match self {
            Action::Id => return Value::Int(client.id as i64),
            Action::GetName => return Value::bulk_or_null(client.state().name.clone().map(Bytes::from)),
            Action::Info => return Value::Text(client.describe()),
            Action::List(ids) => return Value::Text(context.front.clients.describe(ids.as_deref())),
            Action::SetName(name) => client.state().name = name,
            Action::SetLibrary(name) => client.state().library = name,
            Action::SetLibraryVersion(version) => client.state().library_version = version,
        }
        Value::OK
    }
}
