//! What a script reaches outside of Lua: `redis.call` and its like, and the limits that it runs into.

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mlua::{Error, Lua, MultiValue, Table, Value as LuaValue};
use tracing::debug;

use super::super::Sha1;
use super::super::call::Arguments;
use super::super::copies::Copies;
use super::{convert, patterns};
use crate::redis::REDIS_VERSION;
use crate::redis::frame::{Value, double};

/// How long a script may run.
const MOST_TIME: Duration = Duration::from_secs(1);

/// The source of what a client sent, as Lua tells it.
pub(super) const SOURCE: &str = "@user_script";

/// So many functions deep an error is looked for in the text of the client.
const MOST_LEVELS: usize = 32;

/// So many things are logged at once.
const MOST_LOGGED: usize = 8;

/// Why a function of the host ends a script, or a part of it.
#[derive(Debug, thiserror::Error)]
enum Raised {
    /// A command answered with this error.
    #[error("{}", String::from_utf8_lossy(.0))]
    Reply(Bytes),
    /// It has to end.
    #[error("the script was stopped")]
    Stopped,
}

/// What the functions of one run share.
pub(super) struct Host {
    pub(super) copies: RefCell<Copies>,
    ends: Instant,
}

impl Host {
    /// For a script that begins now.
    pub(super) fn new(copies: Copies) -> Rc<Host> {
        Rc::new(Host { copies: RefCell::new(copies), ends: Instant::now() + MOST_TIME })
    }

    /// Whether the script may go on.
    pub(super) fn check(&self) -> mlua::Result<()> {
        let mut copies = self.copies.borrow_mut();
        if Instant::now() >= self.ends {
            copies.stop(Value::Error(format!("BUSY the script runs for more than {MOST_TIME:?}; nothing was written").into()));
        }
        if copies.stopped().is_some() { Err(Error::external(Raised::Stopped)) } else { Ok(()) }
    }

    /// Runs the command of `redis.call`.
    fn call(&self, arguments: &MultiValue) -> mlua::Result<Value> {
        let (mut words, mut ends) = (Vec::new(), Vec::with_capacity(arguments.len()));
        if arguments.is_empty() {
            return Ok(Value::Error(Bytes::from_static(b"ERR Please specify at least one argument for this redis lib call")));
        }
        for argument in arguments {
            let begin = words.len() as u32;
            match argument {
                LuaValue::String(string) => words.extend_from_slice(&string.as_bytes()),
                LuaValue::Integer(number) => words.extend_from_slice(number.to_string().as_bytes()),
                LuaValue::Number(number) => words.extend_from_slice(double(*number).as_bytes()),
                _ => {
                    return Ok(Value::Error(Bytes::from_static(b"ERR Lua redis lib command arguments must be strings or integers")));
                }
            }
            ends.push((begin, words.len() as u32));
        }
        let answer = self.copies.borrow_mut().call(&words, &ends);
        self.check()?;
        Ok(answer)
    }
}

/// The functions of the host for the prelude.
pub(super) fn table(lua: &Lua, host: &Rc<Host>, arguments: &Arguments) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("redis", redis(lua, host)?)?;
    table.set("keys", list(lua, &arguments.keys)?)?;
    table.set("argv", list(lua, &arguments.rest)?)?;
    let checked = host.clone();
    table.set("check", lua.create_function(move |_, ()| checked.check())?)?;
    table.set("told", lua.create_function(|lua, failure: LuaValue| told(lua, failure))?)?;
    table.set("where", lua.create_function(|lua, ()| Ok(place(lua)))?)?;
    let cost = |_: &Lua, (subject, pattern): (LuaValue, LuaValue)| match (subject, pattern) {
        (LuaValue::String(subject), LuaValue::String(pattern)) => {
            patterns::refusal(subject.as_bytes().len(), &pattern.as_bytes()).map_or(Ok(()), |text| Err(Error::runtime(text)))
        }
        _ => Ok(()),
    };
    table.set("cost", lua.create_function(cost)?)?;
    Ok(table)
}

fn list(lua: &Lua, values: &[Bytes]) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(values.len(), 0)?;
    for (index, value) in values.iter().enumerate() {
        table.raw_set(index + 1, lua.create_string(value)?)?;
    }
    Ok(table)
}

/// The table `redis`, as far as it is not made of Lua.
fn redis(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    let raising = host.clone();
    let call = move |lua: &Lua, arguments: MultiValue| match raising.call(&arguments)? {
        Value::Error(text) => Err(Error::external(Raised::Reply(text))),
        answer => convert::to_lua(lua, &answer),
    };
    redis.set("call", lua.create_function(call)?)?;
    let telling = host.clone();
    let pcall = move |lua: &Lua, arguments: MultiValue| convert::to_lua(lua, &telling.call(&arguments)?);
    redis.set("pcall", lua.create_function(pcall)?)?;
    redis.set("error_reply", lua.create_function(error_reply)?)?;
    let sha1hex = |lua: &Lua, arguments: MultiValue| match arguments.len() {
        1 => {
            let text = lua.coerce_string(arguments.front().cloned().unwrap_or(LuaValue::Nil))?;
            let name = text.map_or_else(|| Sha1::of(b""), |text| Sha1::of(&text.as_bytes()));
            lua.create_string(name.to_string()).map(LuaValue::String)
        }
        _ => Err(Error::external(Raised::Reply(Bytes::from_static(b"ERR wrong number of arguments")))),
    };
    redis.set("sha1hex", lua.create_function(sha1hex)?)?;
    redis.set("log", lua.create_function(log)?)?;
    for (level, name) in ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"].into_iter().enumerate() {
        redis.set(name, level)?;
    }
    redis.set("REDIS_VERSION", REDIS_VERSION)?;
    Ok(redis)
}

/// For those who debug this member; scripts say much.
fn log(_: &Lua, arguments: MultiValue) -> mlua::Result<()> {
    let refuse = |text: &'static str| Err(Error::external(Raised::Reply(Bytes::from_static(text.as_bytes()))));
    if arguments.len() < 2 {
        return refuse("ERR redis.log() requires two arguments or more.");
    }
    match arguments.front().and_then(convert::number) {
        None => return refuse("ERR First argument must be a number (log level)."),
        Some(level) if !(0.0..4.0).contains(&level) => return refuse("ERR Invalid debug level."),
        Some(_) => {}
    }
    let mut text = String::new();
    for argument in arguments.iter().skip(1).take(MOST_LOGGED) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{} ", argument.to_string().unwrap_or_default());
    }
    debug!(text, "a script says");
    Ok(())
}

/// An error begins with its kind, which is `ERR` if it is a single word.
fn error_reply(lua: &Lua, arguments: MultiValue) -> mlua::Result<Table> {
    let text = match (arguments.len(), arguments.front()) {
        (1, Some(LuaValue::String(text))) => text.as_bytes().to_vec(),
        _ => return convert::named(lua, "err", b"ERR wrong number or type of arguments"),
    };
    let text = text.strip_prefix(b"-").unwrap_or(&text).trim_ascii_end();
    if text.contains(&b' ') { convert::named(lua, "err", text) } else { convert::named(lua, "err", &[b"ERR ", text].concat()) }
}

/// A failure as scripts see it: a table if a command answered with an error, otherwise what it was raised with.
fn told(lua: &Lua, failure: LuaValue) -> mlua::Result<LuaValue> {
    let LuaValue::Error(error) = failure else { return Ok(failure) };
    let mut cause = &*error;
    while let Error::CallbackError { cause: inner, .. } = cause {
        cause = inner;
    }
    match cause.downcast_ref::<Raised>() {
        Some(Raised::Reply(text)) => convert::named(lua, "err", text).map(LuaValue::Table),
        _ => lua.create_string(cause.to_string()).map(LuaValue::String),
    }
}

/// The source and the line, of the text that a client sent, which are being run.
fn place(lua: &Lua) -> (Option<String>, Option<usize>) {
    (1..MOST_LEVELS)
        .find_map(|level| {
            lua.inspect_stack(level, |debug| {
                let source = debug.source().source.map(|source| source.into_owned());
                source.filter(|source| source == SOURCE).map(|source| (Some(source), debug.current_line()))
            })
            .flatten()
        })
        .unwrap_or_default()
}
