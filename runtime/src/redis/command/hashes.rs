//! Values of named fields.

use std::collections::HashMap;

use bytes::Bytes;
use holdfast_core::{Command, Reply, ValueType};

use super::args::{Args, Refusal};
use super::many::{MOST_BYTES, too_much};
use super::table::Spec;
use super::{Plan, plain};
use crate::redis::frame::Value;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::read("hget", 3, |args| field(args, first)),
    Spec::read("hmget", -3, hmget),
    Spec::read("hexists", 3, |args| field(args, exists)),
    Spec::read("hgetall", 2, |args| all(args, plain)),
    Spec::read("hkeys", 2, |args| all(args, names)),
    Spec::read("hvals", 2, |args| all(args, values)),
    Spec::read("hlen", 2, |args| Plan::one(args, Command::Length { kind: ValueType::Hash }, plain)),
    Spec::read("hstrlen", 3, |args| field(args, length)),
    Spec::write("hset", -4, |args| hset(args, plain)),
    Spec::write("hmset", -4, |args| hset(args, done)),
    Spec::write("hsetnx", 4, hsetnx),
    Spec::write("hdel", -3, hdel),
    Spec::write("hincrby", 4, |args| Plan::one(args, Command::HashIncrement { field: args.bytes(2), by: args.integer(3)? }, plain)),
];

fn field(args: &Args<'_>, answer: fn(Reply) -> Value) -> Result<Plan, Refusal> {
    Plan::one(args, Command::HashGet { fields: vec![args.bytes(2)] }, answer)
}

/// Each field is asked for once, however often it is named: its value would travel as often.
fn hmget(args: &Args<'_>) -> Result<Plan, Refusal> {
    let mut places = HashMap::new();
    let mut fields = Vec::new();
    let order: Vec<usize> = (2..args.len())
        .map(|index| {
            *places.entry(args.get(index)).or_insert_with(|| {
                fields.push(args.bytes(index));
                fields.len() - 1
            })
        })
        .collect();
    Plan::one(args, Command::HashGet { fields }, move |reply| match reply {
        Reply::Array(values) => in_order(&order, &values),
        other => plain(other),
    })
}

fn in_order(order: &[usize], values: &[Option<Bytes>]) -> Value {
    let values = || order.iter().map(|place| values.get(*place).cloned().flatten());
    if values().flatten().map(|value| value.len()).sum::<usize>() > MOST_BYTES {
        return too_much();
    }
    Value::Array(values().map(Value::bulk_or_null).collect())
}

fn all(args: &Args<'_>, answer: fn(Reply) -> Value) -> Result<Plan, Refusal> {
    Plan::one(args, Command::HashGetAll, answer)
}

fn hset(args: &Args<'_>, answer: fn(Reply) -> Value) -> Result<Plan, Refusal> {
    if !args.len().is_multiple_of(2) {
        return Err(Refusal::arity(args.name));
    }
    let fields = (2..args.len()).step_by(2).map(|index| (args.bytes(index), args.bytes(index + 1))).collect();
    Plan::one(args, Command::HashSet { fields }, answer)
}

fn hsetnx(args: &Args<'_>) -> Result<Plan, Refusal> {
    let command = Command::HashSetIfAbsent { field: args.bytes(2), value: args.bytes(3) };
    Plan::one(args, command, plain)
}

fn hdel(args: &Args<'_>) -> Result<Plan, Refusal> {
    let fields = (2..args.len()).map(|index| args.bytes(index)).collect();
    Plan::one(args, Command::HashDelete { fields }, plain)
}

fn first(reply: Reply) -> Value {
    match reply {
        Reply::Array(values) => Value::bulk_or_null(values.into_iter().next().flatten()),
        other => plain(other),
    }
}

fn exists(reply: Reply) -> Value {
    match reply {
        Reply::Array(values) => Value::Int(values.iter().flatten().count() as i64),
        other => plain(other),
    }
}

fn names(reply: Reply) -> Value {
    match reply {
        Reply::Map(pairs) => Value::Array(pairs.into_iter().map(|(name, _)| Value::Bulk(name)).collect()),
        other => plain(other),
    }
}

fn values(reply: Reply) -> Value {
    match reply {
        Reply::Map(pairs) => Value::Array(pairs.into_iter().map(|(_, value)| Value::Bulk(value)).collect()),
        other => plain(other),
    }
}

fn length(reply: Reply) -> Value {
    match reply {
        Reply::Array(values) => Value::Int(values.iter().flatten().map(Bytes::len).sum::<usize>() as i64),
        other => plain(other),
    }
}

fn done(reply: Reply) -> Value {
    match reply {
        Reply::Int(_) => Value::OK,
        other => plain(other),
    }
}
