//! The commands that are served. Each family is a file, with the reading of the arguments (pure) and the running of what was read side by side.
//! Texts of errors are those of Redis 7.0, which clients compare with.

mod args;
mod client;
mod config;
mod connection;
mod expiry;
mod hashes;
mod info;
mod introspection;
mod keys;
mod listing;
mod strings;
mod table;

use std::future::ready;

use bytes::Bytes;
use futures::future::BoxFuture;
use holdfast_core::{Command, Reply};

use super::Sessions;
use super::context::Context;
use super::frame::{Request, Value};
use super::window::Access;
use args::{Args, Refusal};
pub(crate) use table::{Spec, commands};

/// A command, read and found well-formed.
pub(crate) enum Plan {
    /// The answer depends on nothing.
    Answer(Value),
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
    Many(keys::Many),
    /// All sessions.
    Listing(listing::Listing),
    /// What the connection is like.
    Connection(connection::Change),
    /// What connections there are.
    Client(client::Action),
    /// `INFO`.
    Info(info::Sections),
    /// `CONFIG GET`.
    Config(config::Patterns),
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

    /// What has to be finished before it may begin.
    pub(crate) fn access(&self) -> Access {
        match self {
            Plan::Answer(_) => Access::Nothing,
            Plan::One { key, .. } => Access::key(key),
            _ => Access::Everything,
        }
    }
}

/// Reads a request that came at `now`, in milliseconds since 1970. Returns where its command is in [`commands`], too.
pub(crate) fn plan(request: &Request<'_>, now: i64) -> (Option<(usize, &'static Spec)>, Plan) {
    let name = request.get(0);
    let Some((index, command)) = table::find(name) else {
        // A browser, made to send a request here by a page that its user opened: the lines of its body would run as typed commands.
        let browser = name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:");
        return (None, if browser { Plan::Drop } else { Plan::Answer(Refusal::unknown_command(request).into()) });
    };
    let spec = match request.len() {
        1 => Some(command),
        _ => command.subcommand(request.get(1)),
    };
    let Some(spec) = spec else { return (None, Plan::Answer(Refusal::unknown_subcommand(command, request).into())) };
    let plan = match spec.allows(request.len()) {
        true => (spec.parse)(&Args::new(request, spec.name, now)),
        false => Err(Refusal::arity(spec.name)),
    };
    (Some((index, spec)), plan.unwrap_or_else(|refusal| Plan::Answer(refusal.into())))
}

/// Carries out what was read.
pub(crate) fn run<S: Sessions>(plan: Plan, context: &Context<S>) -> BoxFuture<'_, Value> {
    match plan {
        Plan::Answer(value) | Plan::Last(value) | Plan::Refused(value) => Box::pin(ready(value)),
        // By itself, because it is what nearly all requests are, and its future is a small one.
        Plan::One { key, command, answer } => Box::pin(async { answer(context.sessions.execute(key, command).await) }),
        Plan::Many(many) => Box::pin(many.run(&context.sessions)),
        Plan::Listing(listing) => Box::pin(listing.run(&context.sessions)),
        Plan::Connection(change) => Box::pin(ready(change.run(context))),
        Plan::Client(action) => Box::pin(ready(action.run(context))),
        Plan::Info(sections) => Box::pin(ready(sections.run(context))),
        Plan::Config(patterns) => Box::pin(ready(patterns.run(context))),
        Plan::Drop => unreachable!("the connection ends instead of running it"),
    }
}

/// The answer of an owner as it is.
fn plain(reply: Reply) -> Value {
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
