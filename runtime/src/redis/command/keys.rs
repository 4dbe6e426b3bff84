//! Commands about keys whatever they hold.

use holdfast_core::{Command, Reply};

use super::args::{Args, Refusal};
use super::many::Many;
use super::table::Spec;
use super::{Plan, plain};
use crate::redis::frame::Value;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::write("del", -2, |args| sum(args, Command::Delete)).of_many_keys(),
    Spec::write("unlink", -2, |args| sum(args, Command::Delete)).of_many_keys(),
    Spec::read("exists", -2, |args| sum(args, Command::Exists)).of_many_keys(),
    // No key is forgotten because nobody has touched it.
    Spec::read("touch", -2, |args| sum(args, Command::Exists)).of_many_keys(),
    Spec::read("type", 2, |args| Plan::one(args, Command::Type, plain)),
];

fn sum(args: &Args<'_>, command: Command) -> Result<Plan, Refusal> {
    if args.len() == 2 {
        return Plan::one(args, command, plain);
    }
    let parts = args.keys(1)?.into_iter().map(|key| (key, command.clone())).collect();
    Ok(Plan::Many(Many::new(parts, add)))
}

/// The sum of all numbers. If one key fails, the others have been done all the same: whoever deletes wants as many gone as can be.
fn add(replies: Vec<Reply>) -> Value {
    let mut total = 0;
    for reply in replies {
        match reply {
            Reply::Int(number) => total += number,
            other => return plain(other),
        }
    }
    Value::Int(total)
}
