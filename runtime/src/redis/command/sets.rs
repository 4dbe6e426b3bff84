//! Members without order.

use bytes::Bytes;
use holdfast_core::{Command, Reply, ValueType};

use super::args::Args;
use super::table::Spec;
use super::{Plan, plain};
use crate::redis::frame::Value;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::write("sadd", -3, |args| Plan::one(args, Command::SetAdd { members: rest(args) }, plain)),
    Spec::write("srem", -3, |args| Plan::one(args, Command::SetRemove { members: rest(args) }, plain)),
    Spec::read("smembers", 2, |args| Plan::one(args, Command::SetGetAll, all)),
    Spec::read("sismember", 3, |args| Plan::one(args, Command::SetGet { members: rest(args) }, first)),
    Spec::read("smismember", -3, |args| Plan::one(args, Command::SetGet { members: rest(args) }, each)),
    Spec::read("scard", 2, |args| Plan::one(args, Command::Length { kind: ValueType::Set }, plain)),
];

/// All arguments after the key.
pub(super) fn rest(args: &Args<'_>) -> Vec<Bytes> {
    (2..args.len()).map(|index| args.bytes(index)).collect()
}

fn all(reply: Reply) -> Value {
    match reply {
        Reply::Array(members) => Value::Set(members.into_iter().flatten().map(Value::Bulk).collect()),
        other => plain(other),
    }
}

fn each(reply: Reply) -> Value {
    match reply {
        Reply::Array(members) => Value::Array(members.iter().map(|member| Value::Int(member.is_some().into())).collect()),
        other => plain(other),
    }
}

fn first(reply: Reply) -> Value {
    match each(reply) {
        Value::Array(mut answers) if answers.len() == 1 => answers.remove(0),
        other => other,
    }
}
