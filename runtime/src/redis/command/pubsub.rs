//! Publishing, and listening to what is published at any member.

use bytes::Bytes;

use super::args::{Args, Refusal};
use super::introspection::help;
use super::table::Spec;
use super::{Plan, plain};
use crate::redis::context::Context;
use crate::redis::frame::{Protocol, Value};
use crate::redis::subscriptions::{Kind, MOST_SUBSCRIPTIONS};
use crate::redis::{MAX_KEY, Sessions};

pub(super) const COMMANDS: &[Spec] = &[
    Spec::server("publish", 3, |args| Ok(Plan::Publish { channel: args.key(1)?, payload: args.bytes(2) })),
    Spec::server("subscribe", -2, |args| begin(args, Kind::Channel)),
    Spec::server("psubscribe", -2, |args| begin(args, Kind::Pattern)),
    Spec::server("unsubscribe", -1, |args| end(args, Kind::Channel)),
    Spec::server("punsubscribe", -1, |args| end(args, Kind::Pattern)),
    Spec::server("pubsub", -2, |args| Err(Refusal::arity(args.name))).with(&[
        Spec::server("pubsub|channels", -2, |args| match args.len() {
            2 => Ok(Plan::Subscribed(Question::Channels(None))),
            3 => Ok(Plan::Subscribed(Question::Channels(Some(args.pattern(2)?)))),
            _ => Err(Refusal::arity(args.name)),
        }),
        Spec::server("pubsub|numsub", -2, |args| Ok(Plan::Subscribed(Question::Listeners(names(args, 2)?)))),
        Spec::server("pubsub|numpat", 2, |_| Ok(Plan::Subscribed(Question::Patterns))),
        Spec::server("pubsub|help", 2, |_| Ok(help("PUBSUB", HELP))),
    ]),
];

const HELP: &[&str] = &[
    "CHANNELS [<pattern>]",
    "    Return the currently active channels of this member matching a <pattern> (default: '*').",
    "NUMPAT",
    "    Return number of subscriptions to patterns at this member.",
    "NUMSUB [<channel> ...]",
    "    Return the number of subscribers for the specified channels at this member, excluding pattern subscriptions.",
];

/// A change of what a connection listens to.
pub(crate) struct Change {
    kind: Kind,
    /// What begins or ends; when nothing is named, everything ends.
    names: Vec<Bytes>,
    begins: bool,
}

/// What is asked about subscriptions at this member.
pub(crate) enum Question {
    /// The channels, as far as they match.
    Channels(Option<Bytes>),
    /// How many listen to each of these.
    Listeners(Vec<Bytes>),
    /// How many patterns there are.
    Patterns,
}

fn names(args: &Args<'_>, from: usize) -> Result<Vec<Bytes>, Refusal> {
    if args.len() - from > MOST_SUBSCRIPTIONS {
        return Err(Refusal::new(format!("ERR a connection has at most {MOST_SUBSCRIPTIONS} subscriptions")));
    }
    (from..args.len()).map(|index| args.at_most(index, "channel", MAX_KEY)).collect()
}

fn begin(args: &Args<'_>, kind: Kind) -> Result<Plan, Refusal> {
    let names = match kind {
        Kind::Channel => names(args, 1)?,
        Kind::Pattern => (1..args.len()).map(|index| args.pattern(index)).collect::<Result<_, _>>()?,
    };
    Ok(Plan::Subscription(Change { kind, names, begins: true }))
}

fn end(args: &Args<'_>, kind: Kind) -> Result<Plan, Refusal> {
    Ok(Plan::Subscription(Change { kind, names: names(args, 1)?, begins: false }))
}

impl Change {
    pub(super) fn run<S: Sessions>(self, context: &Context<S>) -> Value {
        let (subscriptions, client) = (&context.front.subscriptions, &context.client);
        let word = match (self.kind, self.begins) {
            (Kind::Channel, true) => "subscribe",
            (Kind::Pattern, true) => "psubscribe",
            (Kind::Channel, false) => "unsubscribe",
            (Kind::Pattern, false) => "punsubscribe",
        };
        let told = |name: Value, count: usize| Value::Push(vec![Value::fixed(word), name, Value::Int(count as i64)]);
        let mut names = self.names;
        if names.is_empty() {
            let mut state = client.state();
            names = state.subscribed(self.kind).iter().cloned().collect();
            if names.is_empty() {
                return told(Value::Null, state.subscriptions());
            }
        }
        let mut answers = Vec::with_capacity(names.len());
        for name in names {
            let count = match self.begins {
                true => subscriptions.subscribe(client, self.kind, name.clone()),
                false => Some(subscriptions.unsubscribe(client, self.kind, &name)),
            };
            answers.push(match count {
                Some(count) => told(Value::Bulk(name), count),
                None => Refusal::new(format!("ERR a connection has at most {MOST_SUBSCRIPTIONS} subscriptions")).into(),
            });
        }
        Value::Several(answers)
    }
}

impl Question {
    pub(super) fn run<S: Sessions>(self, context: &Context<S>) -> Value {
        let subscriptions = &context.front.subscriptions;
        match self {
            Question::Channels(pattern) => Value::Array(subscriptions.channels(pattern.as_deref()).into_iter().map(Value::Bulk).collect()),
            Question::Listeners(names) => {
                let pair = |name: Bytes| [Value::Int(subscriptions.listeners(&name) as i64), Value::Bulk(name)];
                Value::Array(names.into_iter().flat_map(|name| pair(name).into_iter().rev()).collect())
            }
            Question::Patterns => Value::Int(subscriptions.patterns() as i64),
        }
    }
}

/// How many clients of this member get it: as in a cluster of Redis, those of other members are not counted.
pub(super) fn publish<S: Sessions>(channel: Bytes, payload: Bytes, context: &Context<S>) -> Value {
    let receivers = context.front.subscriptions.receivers(&channel);
    match context.sessions.publish(channel, payload) {
        Ok(()) => Value::Int(receivers as i64),
        Err(error) => plain(holdfast_core::Reply::Error(error)),
    }
}

/// Whether a connection that listens, and has only one kind of replies, may send this.
pub(super) fn is_allowed(name: &str) -> bool {
    matches!(name, "subscribe" | "psubscribe" | "unsubscribe" | "punsubscribe" | "ping" | "quit" | "reset")
}

/// What such a connection is told if it may not.
pub(super) fn refusal(name: &str) -> Refusal {
    Refusal::new(format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    ))
}

/// What `PING` answers a connection that listens: a message, if there are only replies.
pub(super) fn pong(text: Option<Bytes>, protocol: Protocol, is_listening: bool) -> Value {
    match (text, protocol, is_listening) {
        (text, Protocol::Resp2, true) => Value::Array(vec![Value::fixed("pong"), Value::Bulk(text.unwrap_or_default())]),
        (Some(text), ..) => Value::Bulk(text),
        (None, ..) => Value::Status("PONG"),
    }
}
