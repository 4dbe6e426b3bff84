//! Commands about the connection: which protocol it speaks, who it is, and whether anybody is there.

use bytes::Bytes;

use super::Plan;
use super::args::{Args, Refusal};
use super::client::checked_name;
use super::table::Spec;
use crate::redis::Sessions;
use crate::redis::context::{Context, REDIS_VERSION};
use crate::redis::frame::{Protocol, Value, parse_integer};

pub(super) const COMMANDS: &[Spec] = &[
    Spec::server("hello", -1, hello),
    Spec::server("auth", -2, auth),
    Spec::server("ping", -1, ping),
    Spec::server("echo", 2, |args| Ok(Plan::Answer(Value::Bulk(args.bytes(1))))),
    Spec::server("time", 1, time),
    Spec::server("select", 2, select),
    Spec::server("reset", 1, |_| Ok(Plan::Connection(Change::Reset))),
    Spec::server("quit", -1, |_| Ok(Plan::Last(Value::OK))),
];

const WRONG_PASSWORD: Refusal = Refusal::fixed("WRONGPASS invalid username-password pair or user is disabled.");

/// What a command changes about its connection.
pub(crate) enum Change {
    /// `HELLO`.
    Hello {
        /// The protocol from now on.
        protocol: Option<Protocol>,
        /// The name of the client: `Some(None)` takes it away.
        name: Option<Option<String>>,
    },
    /// `RESET`: as at its begin.
    Reset,
}

fn hello(args: &Args<'_>) -> Result<Plan, Refusal> {
    let protocol = match args.len() {
        1 => None,
        _ => Some(match parse_integer(args.get(1)) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(Refusal::fixed("NOPROTO unsupported protocol version")),
            None => return Err(Refusal::fixed("ERR Protocol version is not an integer or out of range")),
        }),
    };
    let mut name = None;
    let mut index = 2;
    while index < args.len() {
        let more = args.len() - index - 1;
        if args.is(index, "auth") && more >= 2 {
            check_user(args.get(index + 1))?;
            index += 3;
        } else if args.is(index, "setname") && more >= 1 {
            name = Some(checked_name(args.get(index + 1))?);
            index += 2;
        } else {
            return Err(Refusal::quoting("ERR Syntax error in HELLO option '", args.get(index), "'"));
        }
    }
    Ok(Plan::Connection(Change::Hello { protocol, name }))
}

/// There is no password: as in a Redis without one, its default user may give any.
fn check_user(user: &[u8]) -> Result<(), Refusal> {
    if user == b"default" { Ok(()) } else { Err(WRONG_PASSWORD) }
}

fn auth(args: &Args<'_>) -> Result<Plan, Refusal> {
    match args.len() {
        2 => Err(Refusal::fixed(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        )),
        3 => check_user(args.get(1)).map(|()| Plan::Answer(Value::OK)),
        _ => Err(Refusal::SYNTAX),
    }
}

fn ping(args: &Args<'_>) -> Result<Plan, Refusal> {
    match args.len() {
        1 => Ok(Plan::Ping(None)),
        2 => Ok(Plan::Ping(Some(args.bytes(1)))),
        _ => Err(Refusal::arity(args.name)),
    }
}

/// Seconds since 1970, and microseconds.
fn time(args: &Args<'_>) -> Result<Plan, Refusal> {
    let parts = [args.now / 1000, args.now % 1000 * 1000];
    Ok(Plan::Answer(Value::Array(parts.map(|part| Value::Bulk(part.to_string().into())).to_vec())))
}

fn select(args: &Args<'_>) -> Result<Plan, Refusal> {
    match args.integer(1)? {
        0 => Ok(Plan::Answer(Value::OK)),
        number if i32::try_from(number).is_err() => {
            Err(Refusal::fixed("ERR value is out of range, value must between -2147483648 and 2147483647"))
        }
        // Redis stops before the colon. Somebody who separates applications by database number has to learn what to do instead.
        _ => Err(Refusal::fixed("ERR DB index is out of range: only database 0 is served, use a SessionCluster for each application")),
    }
}

impl Change {
    pub(super) fn run<S: Sessions>(self, context: &Context<S>) -> Value {
        match self {
            Change::Hello { protocol, name } => {
                let mut state = context.client.state();
                if let Some(name) = name {
                    state.name = name;
                }
                if let Some(protocol) = protocol {
                    state.protocol = protocol;
                }
                greeting(context.client.id, state.protocol)
            }
            Change::Reset => {
                context.front.subscriptions.end(&context.client);
                let mut state = context.client.state();
                state.protocol = Protocol::Resp2;
                state.name = None;
                state.watched.clear();
                Value::Status("RESET")
            }
        }
    }
}

fn greeting(id: u64, protocol: Protocol) -> Value {
    let number = match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    };
    Value::Map(vec![
        (Value::fixed("server"), Value::fixed("redis")),
        (Value::fixed("version"), Value::Bulk(Bytes::from_static(REDIS_VERSION.as_bytes()))),
        (Value::fixed("proto"), Value::Int(number)),
        (Value::fixed("id"), Value::Int(id as i64)),
        (Value::fixed("mode"), Value::fixed("standalone")),
        (Value::fixed("role"), Value::fixed("master")),
        (Value::fixed("modules"), Value::Array(Vec::new())),
    ])
}
