//! The commands that are served. Each family is a file, with the reading of the arguments (pure) and the running of what was read side by side.
//! Texts of errors are those of Redis 7.0, which clients compare with.

mod acl;
mod args;
mod client;
mod config;
mod connection;
mod expiry;
mod hashes;
mod in_script;
mod info;
mod introspection;
mod keys;
mod listing;
mod many;
pub(super) mod number;
mod pubsub;
mod rename;
mod scripts;
mod sets;
mod sorted_sets;
mod strings;
mod table;
mod transaction;
mod wait;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use holdfast_core::{Command, Reply};

use super::context::Context;
use super::frame::{Request, Value};
use super::moment::Moment;
use super::script;
use super::window::Access;
use super::{Begun, Sessions};
use args::{Args, Refusal};
pub(crate) use in_script::{InScript, read_in_script};
use many::Many;
pub(crate) use scripts::no_script;
pub(crate) use table::{Spec, commands};
pub(crate) use transaction::Transaction;

/// A command, read and found well-formed.
pub(crate) enum Plan {
    /// The answer depends on nothing.
    Answer(Value),
    /// Likewise, to what is no command at all: a transaction that it is part of is not carried out.
    Rejected(Value),
    /// One operation on one session.
    One {
        /// The session.
        key: Bytes,
        /// What to do.
        command: Command,
        /// How the answer is told. One that remembers nothing takes no memory either.
        answer: Box<dyn FnOnce(Reply) -> Value + Send>,
    },
    /// The same operation on many sessions.
    Many(Many),
    /// A value gets another key.
    Rename(rename::Rename),
    /// All sessions.
    Listing(listing::Listing),
    /// What a client says about its transaction; a connection makes one of the next three of it.
    Transaction(transaction::Step),
    /// A whole transaction.
    Exec(transaction::Exec),
    /// Keys on which the next one depends.
    Watch(Vec<Bytes>),
    /// It depends on none, and what was begun is called off.
    Unwatch,
    /// A script.
    Script(script::Call),
    /// Which scripts there are.
    Scripts(scripts::Action),
    /// A message for all who listen.
    Publish {
        /// Where.
        channel: Bytes,
        /// What.
        payload: Bytes,
    },
    /// What the connection listens to.
    Subscription(pubsub::Change),
    /// Who listens to what.
    Subscribed(pubsub::Question),
    /// `PING`, whose answer depends on whether the connection listens.
    Ping(Option<Bytes>),
    /// What the connection is like.
    Connection(connection::Change),
    /// What connections there are.
    Client(client::Action),
    /// `WAIT`.
    Wait,
    /// `INFO`.
    Info(info::Sections),
    /// `CONFIG`.
    Config(config::Action),
    /// The last answer of this connection.
    Last(Value),
    /// The last one, too, and the client has to be told although it may be sending.
    Refused(Value),
    /// Not a client of ours: the connection ends without an answer.
    Drop,
}

impl Plan {
    /// One operation on the session that is named after the command.
    fn one(args: &Args<'_>, command: Command, answer: impl FnOnce(Reply) -> Value + Send + 'static) -> Result<Plan, Refusal> {
        Ok(Plan::One { key: args.key(1)?, command, answer: Box::new(answer) })
    }

    /// Whether the connection begins anew.
    fn is_reset(&self) -> bool {
        matches!(self, Plan::Connection(connection::Change::Reset))
    }

    /// Whether it carries out a transaction.
    pub(crate) fn is_exec(&self) -> bool {
        matches!(self, Plan::Transaction(transaction::Step::Exec))
    }

    /// Whether it is answered during a `CLIENT PAUSE`, too, as nothing is carried out.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Plan::Rejected(_) | Plan::Refused(_) | Plan::Drop)
    }

    /// What it asks of keys, if it is about some keys only.
    fn into_parts(self) -> Result<Many, Box<Plan>> {
        match self {
            Plan::Answer(value) => Ok(Many::new(Vec::new(), |_| value)),
            // A batch cannot be part of another one.
            Plan::One { key, command, answer } if !matches!(command, Command::Batch { .. }) => {
                let only = |replies: Vec<Reply>| answer(replies.into_iter().next().unwrap_or(Reply::Nil));
                Ok(Many::new(vec![(key, command)], only))
            }
            Plan::Many(many) => Ok(many),
            other => Err(Box::new(other)),
        }
    }

    /// The same for a connection that listens and has only one kind of replies, so that most of them would be taken for messages.
    pub(crate) fn while_listening(self, spec: Option<&Spec>) -> Plan {
        match spec {
            Some(spec) if !pubsub::is_allowed(spec.name) => Plan::Rejected(pubsub::refusal(spec.name).into()),
            _ => self,
        }
    }

    /// Whether what the client sends next may be read otherwise, or not at all.
    pub(crate) fn decides_what_follows(&self) -> bool {
        matches!(self, Plan::Subscription(_) | Plan::Connection(_) | Plan::Client(_))
    }

    /// Whether its answer comes although the client wants none.
    pub(crate) fn is_always_answered(&self) -> bool {
        matches!(self, Plan::Client(client::Action::Reply(_))) || self.is_reset()
    }

    /// What has to be finished before it may begin.
    pub(crate) fn access(&self) -> Access {
        match self {
            Plan::Answer(_) | Plan::Ping(_) => Access::Nothing,
            Plan::One { key, .. } => Access::key(key),
            Plan::Script(call) => call.access(),
            Plan::Exec(exec) => exec.access(),
            _ => Access::Everything,
        }
    }
}

/// Reads a request, of a client that has not said who it is if it is a stranger. Returns where its command is in [`commands`], too.
pub(crate) fn plan(request: &Request<'_>, came: &Moment, is_stranger: bool) -> (Option<(usize, &'static Spec)>, Plan) {
    let name = request.get(0);
    let Some((index, command)) = table::find(name) else {
        // A browser, made to send a request here by a page that its user opened: the lines of its body would run as typed commands.
        let browser = name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:");
        return (None, if browser { Plan::Drop } else { Plan::Rejected(Refusal::unknown_command(request).into()) });
    };
    let spec = match request.len() {
        1 => Some(command),
        _ => command.subcommand(request.get(1)),
    };
    let Some(spec) = spec else { return (None, Plan::Rejected(Refusal::unknown_subcommand(command, request).into())) };
    let plan = match spec.allows(request.len()) {
        true if is_stranger && !spec.is_for_strangers() => Plan::Rejected(connection::stranger(spec.name).into()),
        true => (spec.parse)(&Args::new(request, spec.name, came)).unwrap_or_else(|refusal| Plan::Answer(refusal.into())),
        false if spec.name == "exec" => {
            let why = "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
            Plan::Transaction(transaction::Step::Abort(Refusal::fixed(why)))
        }
        false => Plan::Rejected(Refusal::arity(spec.name).into()),
    };
    (Some((index, spec)), plan)
}

/// A command that is carried out.
pub(crate) enum Running<'a> {
    /// This is the answer.
    Done(Value),
    /// It goes on without being polled.
    Waits(BoxFuture<'a, Value>),
}

impl Running<'_> {
    /// The same, and nobody is told.
    pub(crate) fn quietly(self) -> Self {
        match self {
            Running::Done(_) => Running::Done(Value::NOTHING),
            Running::Waits(answer) => Running::Waits(Box::pin(answer.map(|_| Value::NOTHING))),
        }
    }
}

/// Carries out what was read.
pub(crate) fn run<S: Sessions>(plan: Plan, context: &Context<S>) -> Running<'_> {
    let sessions = &context.sessions;
    Running::Done(match plan {
        Plan::Answer(value) | Plan::Rejected(value) | Plan::Last(value) | Plan::Refused(value) => value,
        Plan::One { key, command, answer } => match sessions.begin(key, command) {
            Begun::Answered(reply) => answer(reply),
            Begun::Waits(reply) => return Running::Waits(Box::pin(async { answer(reply.await) })),
        },
        Plan::Many(many) => return Running::Waits(Box::pin(many.run(sessions))),
        Plan::Rename(rename) => return Running::Waits(Box::pin(rename.run(sessions))),
        Plan::Exec(exec) => return Running::Waits(Box::pin(exec.run(context))),
        Plan::Watch(keys) => return Running::Waits(Box::pin(transaction::watch(keys, context))),
        Plan::Listing(listing) => return Running::Waits(Box::pin(listing.run(sessions))),
        Plan::Unwatch => {
            context.client.state().watched.clear();
            Value::OK
        }
        Plan::Script(call) => return Running::Waits(Box::pin(call.run(context))),
        Plan::Scripts(action) => return Running::Waits(Box::pin(action.run(context))),
        Plan::Publish { channel, payload } => pubsub::publish(channel, payload, context),
        Plan::Subscription(change) => change.run(context),
        Plan::Subscribed(question) => question.run(context),
        Plan::Ping(text) => {
            let protocol = context.client.state().protocol;
            pubsub::pong(text, protocol, context.client.is_listening())
        }
        Plan::Transaction(_) => unreachable!("the connection makes something else of it"),
        Plan::Connection(change) => return Running::Waits(Box::pin(change.run(context))),
        Plan::Client(action) => action.run(context),
        Plan::Wait => wait::copies(context),
        Plan::Info(sections) => sections.run(context),
        Plan::Config(action) => action.run(context),
        Plan::Drop => unreachable!("the connection ends instead of running it"),
    })
}

/// The answer of an owner as it is.
pub(crate) fn plain(reply: Reply) -> Value {
    match reply {
        Reply::Ok => Value::OK,
        Reply::Nil => Value::Null,
        Reply::Int(number) => Value::Int(number),
        Reply::Bytes(bytes) => Value::Bulk(bytes),
        Reply::Array(values) => Value::Array(values.into_iter().map(Value::bulk_or_null).collect()),
        Reply::Map(pairs) => Value::Map(pairs.into_iter().map(|(field, value)| (Value::Bulk(field), Value::Bulk(value))).collect()),
        Reply::Type(kind) => Value::Status(kind.name()),
        Reply::Batch(replies) => Value::Array(replies.into_iter().map(plain).collect()),
        Reply::Error(error) => Value::Error(error.to_string().into()),
        // Each of these answers a command whose answer is told in its own way.
        Reply::Refuted | Reply::Fingerprint(_) | Reply::Image(_) | Reply::Score(_) | Reply::Scores(_) | Reply::Scored(_) => Value::Null,
    }
}
