//! Commands about the connection: which protocol it speaks, who it is, and whether anybody is there.

use bytes::Bytes;

use super::Plan;
use super::args::{Args, Refusal};
use super::client::checked_name;
use super::table::Spec;
use crate::redis::Sessions;
use crate::redis::clients::Replies;
use crate::redis::context::{Context, REDIS_VERSION};
use crate::redis::frame::{Protocol, Value, parse_integer};
use crate::redis::users::{DEFAULT, Verdict};

pub(super) const COMMANDS: &[Spec] = &[
    Spec::server("hello", -1, hello).for_strangers(),
    Spec::server("auth", -2, auth).for_strangers(),
    Spec::server("ping", -1, ping),
    Spec::server("echo", 2, |args| Ok(Plan::Answer(Value::Bulk(args.bytes(1))))),
    Spec::server("time", 1, time),
    Spec::server("select", 2, select),
    Spec::server("reset", 1, |_| Ok(Plan::Connection(Change::Reset))).for_strangers(),
    Spec::server("quit", -1, |_| Ok(Plan::Last(Value::OK))).for_strangers(),
];

const STRANGE_HELLO: Refusal = Refusal::fixed(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to \
     authenticate the client and select the RESP protocol version at the same time",
);

const WRONG_PASSWORD: Refusal = Refusal::fixed("WRONGPASS invalid username-password pair or user is disabled.");
const TOO_MANY_GUESSES: Refusal = Refusal::fixed("BUSY too many wrong passwords at the same time: try again");
const NO_PASSWORDS: Refusal = Refusal::fixed(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
);

/// What a command changes about its connection.
pub(crate) enum Change {
    /// `HELLO`.
    Hello {
        /// The protocol from now on.
        protocol: Option<Protocol>,
        /// The name of the client: `Some(None)` takes it away.
        name: Option<Option<String>>,
        /// Who it says to be.
        credentials: Option<Credentials>,
    },
    /// `AUTH`.
    Auth(Credentials),
    /// `RESET`: as at its begin.
    Reset,
}

/// The answer to everything else before the client has said who it is.
pub(super) fn stranger(name: &str) -> Refusal {
    Refusal::fixed(match name {
        "exec" => "EXECABORT Transaction discarded because of: NOAUTH Authentication required.",
        _ => "NOAUTH Authentication required.",
    })
}

/// Who a client says to be.
pub(crate) struct Credentials {
    /// The default user, if nobody is named.
    user: Option<Bytes>,
    password: Bytes,
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
    let (mut name, mut credentials) = (None, None);
    let mut index = 2;
    while index < args.len() {
        let more = args.len() - index - 1;
        if args.is(index, "auth") && more >= 2 {
            credentials = Some(Credentials { user: Some(args.bytes(index + 1)), password: args.bytes(index + 2) });
            index += 3;
        } else if args.is(index, "setname") && more >= 1 {
            name = Some(checked_name(args.get(index + 1))?);
            index += 2;
        } else {
            return Err(Refusal::quoting("ERR Syntax error in HELLO option '", args.get(index), "'"));
        }
    }
    Ok(Plan::Connection(Change::Hello { protocol, name, credentials }))
}

fn auth(args: &Args<'_>) -> Result<Plan, Refusal> {
    let credentials = match args.len() {
        2 => Credentials { user: None, password: args.bytes(1) },
        3 => Credentials { user: Some(args.bytes(1)), password: args.bytes(2) },
        _ => return Err(Refusal::SYNTAX),
    };
    Ok(Plan::Connection(Change::Auth(credentials)))
}

impl Credentials {
    async fn check<S: Sessions>(self, context: &Context<S>) -> Result<(), Refusal> {
        let user = self.user.as_deref().unwrap_or(DEFAULT.as_bytes());
        let Some(users) = &context.front.settings.users else {
            // As in a Redis without passwords, whose default user may give any.
            return match &self.user {
                None => Err(NO_PASSWORDS),
                Some(_) if user == DEFAULT.as_bytes() => Ok(()),
                Some(_) => Err(WRONG_PASSWORD),
            };
        };
        match users.check(user, &self.password).await {
            Verdict::Right => {
                context.client.state().user = Some(String::from_utf8_lossy(user).into_owned());
                Ok(())
            }
            Verdict::Wrong => Err(WRONG_PASSWORD),
            Verdict::TooMany => Err(TOO_MANY_GUESSES),
        }
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
    let parts = [args.now() / 1000, args.now() % 1000 * 1000];
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
    pub(super) async fn run<S: Sessions>(self, context: &Context<S>) -> Value {
        match self {
            Change::Hello { protocol, name, credentials } => {
                if let Some(credentials) = credentials
                    && let Err(refusal) = credentials.check(context).await
                {
                    return refusal.into();
                }
                // As in Redis, also of a stranger, who is refused next.
                if let Some(name) = name {
                    context.client.state().name = name;
                }
                if context.is_stranger() {
                    return STRANGE_HELLO.into();
                }
                let mut state = context.client.state();
                if let Some(protocol) = protocol {
                    state.protocol = protocol;
                }
                greeting(context.client.id, state.protocol)
            }
            Change::Auth(credentials) => credentials.check(context).await.map_or_else(Value::from, |()| Value::OK),
            Change::Reset => {
                context.front.subscriptions.end(&context.client);
                context.client.set_replies(Replies::On);
                let mut state = context.client.state();
                state.user = None;
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
