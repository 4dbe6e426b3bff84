//! `EVAL` and `SCRIPT`: what a client wants to be run, and which scripts it has sent.

use bytes::Bytes;

use super::Plan;
use super::args::{Args, Refusal};
use super::introspection::help;
use super::table::Spec;
use crate::redis::Sessions;
use crate::redis::context::Context;
use crate::redis::frame::Value;
use crate::redis::script::{Arguments, Call, Known, MOST_TEXT, Sha1, compile};

pub(super) const COMMANDS: &[Spec] = &[
    script("eval", |args| eval(args, false)),
    script("evalsha", |args| evalsha(args, false)),
    script("eval_ro", |args| eval(args, true)),
    script("evalsha_ro", |args| evalsha(args, true)),
    Spec::server("script", -2, |args| Err(Refusal::arity(args.name))).with(&[
        Spec::server("script|load", 3, |args| Ok(Plan::Scripts(Action::Load(text(args, 2)?)))),
        Spec::server("script|exists", -3, |args| {
            let names = (2..args.len()).map(|index| Sha1::parse(args.get(index))).collect();
            Ok(Plan::Scripts(Action::Exists(names)))
        }),
        Spec::server("script|flush", -2, |args| match args.len() {
            2 => Ok(Plan::Scripts(Action::Flush)),
            3 if args.is(2, "sync") || args.is(2, "async") => Ok(Plan::Scripts(Action::Flush)),
            _ => Err(Refusal::fixed("ERR SCRIPT FLUSH only support SYNC|ASYNC option")),
        }),
        // A script of another client is not for this one to end: each ends by itself, soon.
        Spec::server("script|kill", 2, |_| Err(Refusal::fixed("NOTBUSY No scripts in execution right now."))),
        Spec::server("script|help", 2, |_| Ok(help("SCRIPT", HELP))),
    ]),
];

const HELP: &[&str] = &[
    "EXISTS <sha1> [<sha1> ...]",
    "    Return information about the existence of the scripts in the script cache of this member.",
    "FLUSH [ASYNC|SYNC]",
    "    Flush the Lua scripts cache of this member.",
    "KILL",
    "    Return an error: a script ends by itself after a second.",
    "LOAD <script>",
    "    Load a script into the scripts cache of this member without executing it.",
];

const fn script(name: &'static str, parse: fn(&Args<'_>) -> Result<Plan, Refusal>) -> Spec {
    Spec { flags: &["noscript", "stale", "skip_monitor", "no_mandatory_keys", "movablekeys"], ..Spec::server(name, -3, parse) }
}

/// What is asked about the scripts of this member.
pub(crate) enum Action {
    /// `SCRIPT LOAD`.
    Load(Bytes),
    /// `SCRIPT EXISTS`; what cannot be a name is none.
    Exists(Vec<Option<Sha1>>),
    /// `SCRIPT FLUSH`.
    Flush,
}

fn text(args: &Args<'_>, index: usize) -> Result<Bytes, Refusal> {
    args.at_most(index, "script", MOST_TEXT)
}

fn arguments(args: &Args<'_>) -> Result<Arguments, Refusal> {
    let count = args.integer(2)?;
    let Ok(count) = usize::try_from(count) else { return Err(Refusal::fixed("ERR Number of keys can't be negative")) };
    if count > args.len() - 3 {
        return Err(Refusal::fixed("ERR Number of keys can't be greater than number of args"));
    }
    let keys = (3..3 + count).map(|index| args.key(index)).collect::<Result<_, _>>()?;
    Ok(Arguments { keys, rest: (3 + count..args.len()).map(|index| args.bytes(index)).collect() })
}

fn eval(args: &Args<'_>, is_read_only: bool) -> Result<Plan, Refusal> {
    let text = text(args, 1)?;
    let name = Sha1::of(&text);
    Ok(plan(Call { name, text: Some(text), arguments: arguments(args)?, is_read_only, now: args.now() }))
}

fn evalsha(args: &Args<'_>, is_read_only: bool) -> Result<Plan, Refusal> {
    if args.get(1).len() != 40 {
        return Err(no_script());
    }
    let arguments = arguments(args)?;
    let name = Sha1::parse(args.get(1)).ok_or_else(no_script)?;
    Ok(plan(Call { name, text: None, arguments, is_read_only, now: args.now() }))
}

/// What is known by its name is one step of its own; of all others it has to be found out what they are.
fn plan(call: Call) -> Plan {
    match call.native(Known::named(call.name)) {
        Some((key, command, answer)) => Plan::One { key, command, answer },
        None => Plan::Script(call),
    }
}

/// What a client that only knows the name of a script is told if it is not here.
pub(crate) fn no_script() -> Refusal {
    Refusal::fixed("NOSCRIPT No matching script. Please use EVAL.")
}

impl Action {
    pub(super) async fn run<S: Sessions>(self, context: &Context<S>) -> Value {
        let scripts = &context.front.scripts;
        match self {
            Action::Load(text) => match compile(&context.front, text).await {
                Ok(name) => Value::Bulk(name.to_string().into()),
                Err(error) => error,
            },
            Action::Exists(names) => {
                let is_here = |name: Sha1| Known::named(name).is_some() || scripts.find(name).is_some();
                Value::Array(names.into_iter().map(|name| Value::Int(name.is_some_and(is_here).into())).collect())
            }
            Action::Flush => {
                scripts.clear();
                Value::OK
            }
        }
    }
}
