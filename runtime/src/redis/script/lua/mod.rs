//! Lua in a box of its own: each script has a fresh state, without files, processes, loading of code or anything of another script, and with limits on its memory
//! and its time.

mod convert;
mod host;
mod patterns;

use std::rc::Rc;

use bytes::Bytes;
use mlua::{ChunkMode, Error, Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value as LuaValue, VmState};

use super::Sha1;
use super::call::Arguments;
use super::copies::{Copies, Outcome};
use crate::redis::frame::Value;
use convert::Room;
use host::{Host, SOURCE};

/// The most memory of a script, in bytes.
const MOST_MEMORY: usize = 16 << 20;

/// So many instructions it runs between two looks at the clock.
const INSTRUCTIONS: u32 = 1000;

const PRELUDE: &str = include_str!("prelude.lua");

/// A script and what it is run with.
pub(super) struct Script {
    pub(super) name: Sha1,
    pub(super) text: Bytes,
    pub(super) arguments: Arguments,
}

/// Runs a script: what it answers, whether it is one at all, and what it has done.
pub(super) fn run(script: &Script, copies: Copies) -> (Value, bool, Outcome) {
    let host = Host::new(copies);
    let answer = Sandbox::new(&host, &script.arguments).and_then(|sandbox| sandbox.run(script));
    let (answer, is_script) = match answer {
        Ok(answer) => (answer, true),
        Err(error @ Error::SyntaxError { .. }) => (refusal(&error), false),
        Err(error) => (refusal(&error), true),
    };
    // What was still shared has gone with the sandbox.
    let Some(host) = Rc::into_inner(host) else { return (answer, is_script, Outcome::default()) };
    match host.copies.into_inner().into_outcome() {
        Ok(outcome) => (answer, is_script, outcome),
        Err(why) => (why, is_script, Outcome::default()),
    }
}

/// Whether the text is a script.
pub(super) fn compile(script: &Script) -> Result<(), Value> {
    let lua = Lua::new_with(StdLib::NONE, LuaOptions::new()).map_err(|error| refusal(&error))?;
    load(&lua, script, None).map(|_| ()).map_err(|error| refusal(&error))
}

fn load(lua: &Lua, script: &Script, environment: Option<Table>) -> mlua::Result<Function> {
    let chunk = lua.load(&script.text[..]).set_mode(ChunkMode::Text).set_name(SOURCE);
    match environment {
        Some(environment) => chunk.set_environment(environment).into_function(),
        None => chunk.into_function(),
    }
}

fn refusal(error: &Error) -> Value {
    Value::Error(match error {
        Error::SyntaxError { message, .. } => format!("ERR Error compiling script (new function): {message}").into(),
        error => format!("ERR the script could not be run: {error}").into(),
    })
}

/// A state for one run.
struct Sandbox {
    lua: Lua,
    environment: Table,
    runner: Function,
}

impl Sandbox {
    fn new(host: &Rc<Host>, arguments: &Arguments) -> mlua::Result<Sandbox> {
        let lua = Lua::new_with(StdLib::TABLE | StdLib::STRING | StdLib::MATH, LuaOptions::new().catch_rust_panics(false))?;
        lua.set_memory_limit(MOST_MEMORY)?;
        let (environment, runner) = lua.load(PRELUDE).set_name("=prelude").call((host::table(&lua, host, arguments)?,))?;
        let checked = host.clone();
        lua.set_hook(HookTriggers::new().every_nth_instruction(INSTRUCTIONS), move |_, _| checked.check().map(|()| VmState::Continue))?;
        Ok(Sandbox { lua, environment, runner })
    }

    fn run(self, script: &Script) -> mlua::Result<Value> {
        let function = load(&self.lua, script, Some(self.environment))?;
        let (is_right, result): (bool, LuaValue) = self.runner.call(function)?;
        if is_right {
            let too_much = || Value::Error(Bytes::from_static(b"ERR reached lua stack limit"));
            return Ok(Room::new().reply(&result, 0).unwrap_or_else(too_much));
        }
        Ok(Value::Error(failure(&result, script.name)))
    }
}

/// What a client is told of an error that its script did not catch.
fn failure(failure: &LuaValue, name: Sha1) -> Bytes {
    let LuaValue::Table(told) = failure else {
        return format!("ERR Error running script f_{name}: {}", failure.to_string().unwrap_or_default()).into();
    };
    let mut text = told.raw_get::<mlua::String>("err").map_or(Vec::from("ERR unknown error"), |text| text.as_bytes().to_vec());
    if let (Ok(source), Ok(line)) = (told.raw_get::<String>("source"), told.raw_get::<usize>("line")) {
        text.extend_from_slice(format!(" script: {name}, on {source}:{line}.").as_bytes());
    }
    text.into()
}
