//! Replies become values of Lua, and what a script returns becomes a reply: as in Redis with RESP2, whichever protocol the client speaks.

use bytes::Bytes;
use holdfast_core::Score;
use mlua::{Lua, Table, Value as LuaValue};

use crate::redis::frame::{Value, double};
use crate::redis::script::integer;

/// How deep, and how large, what a script returns may be.
const MOST_LEVELS: usize = 64;
const MOST_VALUES: usize = 1 << 18;
const MOST_BYTES: usize = 16 << 20;

/// A reply for the script.
pub(super) fn to_lua(lua: &Lua, value: &Value) -> mlua::Result<LuaValue> {
    let string = |bytes: &[u8]| Ok(LuaValue::String(lua.create_string(bytes)?));
    let list = |values: Vec<&Value>| {
        let table = lua.create_table_with_capacity(values.len(), 0)?;
        for (index, value) in values.into_iter().enumerate() {
            table.raw_set(index + 1, to_lua(lua, value)?)?;
        }
        Ok(LuaValue::Table(table))
    };
    match value {
        Value::Status(text) => named(lua, "ok", text.as_bytes()).map(LuaValue::Table),
        Value::Line(text) => named(lua, "ok", text).map(LuaValue::Table),
        Value::Error(text) => named(lua, "err", text).map(LuaValue::Table),
        Value::Int(number) => Ok(LuaValue::Number(*number as f64)),
        Value::Bulk(bytes) => string(bytes),
        Value::Text(text) => string(text.as_bytes()),
        Value::Double(score) => string(double(score.get()).as_bytes()),
        Value::Null | Value::NullArray => Ok(LuaValue::Boolean(false)),
        Value::Array(values) | Value::Set(values) | Value::Push(values) | Value::Several(values) => list(values.iter().collect()),
        Value::Map(pairs) | Value::Pairs(pairs) => list(pairs.iter().flat_map(|(first, second)| [first, second]).collect()),
    }
}

/// A table with one field.
pub(super) fn named(lua: &Lua, field: &str, text: &[u8]) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(field, lua.create_string(text)?)?;
    Ok(table)
}

/// Lua has one kind of numbers; whole ones are seen as another.
pub(super) fn number(value: &LuaValue) -> Option<f64> {
    match value {
        LuaValue::Integer(number) => Some(*number as f64),
        LuaValue::Number(number) => Some(*number),
        _ => None,
    }
}

/// What is left for the rest of a reply.
pub(super) struct Room {
    values: usize,
    bytes: usize,
}

impl Room {
    pub(super) fn new() -> Room {
        Room { values: MOST_VALUES, bytes: MOST_BYTES }
    }

    /// A reply from what the script returns; `None` if it is too large or too deep.
    pub(super) fn reply(&mut self, value: &LuaValue, level: usize) -> Option<Value> {
        self.values = self.values.checked_sub(1)?;
        match value {
            LuaValue::String(string) => self.bytes(&string.as_bytes()).map(Value::Bulk),
            LuaValue::Integer(number) => Some(Value::Int(*number)),
            // Towards zero.
            LuaValue::Number(number) => Some(Value::Int(integer(*number))),
            LuaValue::Boolean(true) => Some(Value::Int(1)),
            LuaValue::Table(_) if level >= MOST_LEVELS => None,
            LuaValue::Table(table) => self.of_table(table, level),
            _ => Some(Value::Null),
        }
    }

    fn of_table(&mut self, table: &Table, level: usize) -> Option<Value> {
        let field = |name: &str| table.raw_get::<LuaValue>(name).unwrap_or(LuaValue::Nil);
        if let LuaValue::String(text) = field("err") {
            return self.bytes(&text.as_bytes()).map(Value::Error);
        }
        if let LuaValue::String(text) = field("ok") {
            return self.bytes(&text.as_bytes()).map(Value::Line);
        }
        if let Some(number) = number(&field("double")) {
            return Score::new(number).map(Value::Double);
        }
        if let LuaValue::Table(pairs) = field("map") {
            let mut map = Vec::new();
            for pair in pairs.pairs::<LuaValue, LuaValue>() {
                let (key, value) = pair.ok()?;
                map.push((self.reply(&key, level + 1)?, self.reply(&value, level + 1)?));
            }
            return Some(Value::Map(map));
        }
        if let LuaValue::Table(members) = field("set") {
            let mut set = Vec::new();
            for pair in members.pairs::<LuaValue, LuaValue>() {
                set.push(self.reply(&pair.ok()?.0, level + 1)?);
            }
            return Some(Value::Set(set));
        }
        let mut values = Vec::new();
        loop {
            match table.raw_get::<LuaValue>(values.len() + 1).ok()? {
                LuaValue::Nil => return Some(Value::Array(values)),
                value => values.push(self.reply(&value, level + 1)?),
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> Option<Bytes> {
        self.bytes = self.bytes.checked_sub(bytes.len())?;
        Some(Bytes::copy_from_slice(bytes))
    }
}
