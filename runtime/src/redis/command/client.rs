//! `CLIENT`: names of connections, who is connected, which replies are wanted, and whether all have to wait. `filter` has which connections are meant by `LIST` and `KILL`.

mod filter;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Plan;
use super::args::{Args, Refusal};
use super::introspection::help;
use super::table::Spec;
use crate::redis::Sessions;
use crate::redis::clients::{Client, Replies};
use crate::redis::context::Context;
use crate::redis::frame::{Value, parse_integer};
use crate::redis::pause::Extent;
use filter::{Filter, Kind};

pub(super) const COMMANDS: &[Spec] = &[Spec::server("client", -2, |args| Err(Refusal::arity(args.name))).with(&[
    Spec::server("client|id", 2, |_| Ok(Plan::Client(Action::Id))),
    Spec::server("client|getname", 2, |_| Ok(Plan::Client(Action::GetName))),
    Spec::server("client|setname", 3, |args| Ok(Plan::Client(Action::SetName(checked_name(args.get(2))?)))),
    Spec::server("client|setinfo", 4, set_info),
    Spec::server("client|info", 2, |_| Ok(Plan::Client(Action::Info))),
    Spec::server("client|list", -2, list),
    Spec::server("client|kill", -3, filter::kill),
    Spec::server("client|reply", 3, reply),
    Spec::server("client|pause", -3, pause),
    Spec::server("client|unpause", 2, |_| Ok(Plan::Client(Action::Unpause))),
    Spec::server("client|unblock", -3, unblock),
    Spec::server("client|tracking", -3, tracking),
    Spec::server("client|trackinginfo", 2, |_| Ok(Plan::Answer(tracking_info()))),
    Spec::server("client|getredir", 2, |_| Ok(Plan::Answer(Value::Int(-1)))),
    Spec::server("client|no-evict", 3, switch),
    Spec::server("client|no-touch", 3, switch),
    Spec::server("client|help", 2, |_| Ok(help("CLIENT", HELP))),
])];

const HELP: &[&str] = &[
    "GETNAME",
    "    Return the name of the current connection.",
    "GETREDIR",
    "    Return -1: tracking is not served.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections to this member. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "    * USER <username>",
    "    * SKIPME (YES|NO)",
    "    * ID <client-id>",
    "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB) | ID <id> [<id> ...]]",
    "    Return information about client connections to this member.",
    "NO-EVICT (ON|OFF)",
    "    Accepted: no connection is ever evicted.",
    "NO-TOUCH (ON|OFF)",
    "    Accepted: no command changes when a session is evicted, because none is.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Suspend all, or just write, clients of this member for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETINFO (LIB-NAME|LIB-VER) <value>",
    "    Tell which client library this is.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "TRACKING OFF",
    "    Accepted: tracking is not served.",
    "TRACKINGINFO",
    "    Report that tracking is off.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    Return 0: no command blocks.",
    "UNPAUSE",
    "    Stop the current client pause, resuming traffic.",
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
    /// Lines about all connections.
    List(Option<Kind>),
    /// Lines about those with these numbers.
    ListIds(Vec<i64>),
    /// Ends connections.
    Kill {
        /// Which.
        filter: Filter,
        /// Whether this one stays.
        skips_me: bool,
        /// Whether it is an error if there is none.
        is_one: bool,
    },
    /// All clients of this member wait.
    Pause {
        /// With what.
        extent: Extent,
        /// For how long, from when this begins.
        millis: u64,
    },
    /// They go on.
    Unpause,
    /// Which replies are wanted from now on.
    Reply(Replies),
    /// Who it is.
    WhoAmI,
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
    Ok(Plan::Client(match args.len() {
        2 => Action::List(None),
        4 if args.is(2, "type") => Action::List(Some(Kind::named(args.get(3))?)),
        4.. if args.is(2, "id") => {
            let id = |index| parse_integer(args.get(index)).ok_or(Refusal::fixed("ERR Invalid client ID"));
            // Each once: a line is far longer than a number.
            let ids: BTreeSet<i64> = (3..args.len()).map(id).collect::<Result<_, _>>()?;
            Action::ListIds(ids.into_iter().collect())
        }
        _ => return Err(Refusal::SYNTAX),
    }))
}

fn reply(args: &Args<'_>) -> Result<Plan, Refusal> {
    let replies = match &args.get(2).to_ascii_lowercase()[..] {
        b"on" => Replies::On,
        b"off" => Replies::Off,
        b"skip" => Replies::SkipNext,
        _ => return Err(Refusal::SYNTAX),
    };
    Ok(Plan::Client(Action::Reply(replies)))
}

fn pause(args: &Args<'_>) -> Result<Plan, Refusal> {
    let extent = match args.len() {
        3 => Extent::Everything,
        4 if args.is(3, "write") => Extent::Writes,
        4 if args.is(3, "all") => Extent::Everything,
        4 => return Err(Refusal::fixed("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => {
            return Err(Refusal::quoting("ERR unknown subcommand or wrong number of arguments for '", args.get(1), "'. Try CLIENT HELP."));
        }
    };
    let millis = parse_integer(args.get(2)).ok_or(Refusal::fixed("ERR timeout is not an integer or out of range"))?;
    let millis = u64::try_from(millis).map_err(|_| Refusal::fixed("ERR timeout is negative"))?;
    Ok(Plan::Client(Action::Pause { extent, millis }))
}

/// No command blocks, so that there is nobody to unblock.
fn unblock(args: &Args<'_>) -> Result<Plan, Refusal> {
    match args.len() {
        3 => {}
        4 if args.is(3, "timeout") || args.is(3, "error") => {}
        4 => return Err(Refusal::fixed("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(Refusal::SYNTAX),
    }
    args.integer(2)?;
    Ok(Plan::Answer(Value::Int(0)))
}

fn tracking(args: &Args<'_>) -> Result<Plan, Refusal> {
    match args.len() {
        3 if args.is(2, "off") => Ok(Plan::Answer(Value::OK)),
        _ if args.is(2, "on") => Err(Refusal::fixed("ERR client tracking is not served: caches in clients would not be told of changes")),
        _ => Err(Refusal::SYNTAX),
    }
}

/// As Redis says it of a connection without tracking.
fn tracking_info() -> Value {
    Value::Map(vec![
        (Value::fixed("flags"), Value::Set(vec![Value::fixed("off")])),
        (Value::fixed("redirect"), Value::Int(-1)),
        (Value::fixed("prefixes"), Value::Array(Vec::new())),
    ])
}

fn switch(args: &Args<'_>) -> Result<Plan, Refusal> {
    if args.is(2, "on") || args.is(2, "off") { Ok(Plan::Answer(Value::OK)) } else { Err(Refusal::SYNTAX) }
}

fn lines(clients: impl IntoIterator<Item = Arc<Client>>, now: u64) -> Value {
    Value::Text(clients.into_iter().map(|client| client.describe(now)).collect())
}

impl Action {
    pub(super) fn run<S: Sessions>(self, context: &Context<S>) -> Value {
        let (client, clients) = (&context.client, &context.front.clients);
        let now = context.front.clock.load(Relaxed);
        match self {
            Action::Id => return Value::Int(client.id as i64),
            Action::GetName => return Value::bulk_or_null(client.state().name.clone().map(Bytes::from)),
            Action::Info => return Value::Text(client.describe(now)),
            Action::List(kind) => {
                return lines(clients.all().into_iter().filter(|client| kind.is_none_or(|kind| kind.is_of(client))), now);
            }
            Action::ListIds(ids) => return lines(clients.with_ids(&ids), now),
            Action::Kill { filter, skips_me, is_one } => return filter.kill(skips_me, is_one, context),
            Action::Pause { extent, millis } => context.front.pause.begin(extent, Instant::now() + Duration::from_millis(millis)),
            Action::Unpause => context.front.pause.end(),
            Action::WhoAmI => return Value::Bulk(Bytes::from(client.state().user().to_owned())),
            Action::Reply(replies) => {
                let before = client.state().replies;
                if (before, replies) != (Replies::Off, Replies::SkipNext) {
                    client.set_replies(replies);
                }
                if replies != Replies::On {
                    return Value::NOTHING;
                }
            }
            Action::SetName(name) => client.state().name = name,
            Action::SetLibrary(name) => client.state().library = name,
            Action::SetLibraryVersion(version) => client.state().library_version = version,
        }
        Value::OK
    }
}
