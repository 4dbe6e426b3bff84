//! `RENAME`: a value moves from one key to another, whose owners may be two members. It is there under the new name before it goes from under the old one, and
//! what is written to the old one in between is moved as well; if a member fails just then, it may be there under both.

use bytes::Bytes;
use holdfast_core::{Command, Condition, Guard, Reply};

use super::args::{Args, Refusal};
use super::table::Spec;
use super::{Plan, plain};
use crate::redis::Sessions;
use crate::redis::frame::Value;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::write("rename", 3, |args| rename(args, Condition::Always)).of_two_keys(),
    Spec::write("renamenx", 3, |args| rename(args, Condition::IfAbsent)).of_two_keys(),
];

/// So often it begins again because the value has changed meanwhile.
const ATTEMPTS: usize = 16;

/// A value that is to have another key.
pub(crate) struct Rename {
    from: Bytes,
    to: Bytes,
    condition: Condition,
}

fn rename(args: &Args<'_>, condition: Condition) -> Result<Plan, Refusal> {
    Ok(Plan::Rename(Rename { from: args.key(1)?, to: args.key(2)?, condition }))
}

impl Rename {
    pub(super) async fn run<S: Sessions>(self, sessions: &S) -> Value {
        let Rename { from, to, condition } = self;
        let done = |is_done: bool| match condition {
            Condition::IfAbsent => Value::Int(is_done.into()),
            _ => Value::OK,
        };
        // Once it is there under the new name, that is its own.
        let mut wanted = condition;
        for _ in 0..ATTEMPTS {
            let look = Command::Batch { guard: Guard::None, commands: vec![Command::Dump, Command::Fingerprint] };
            let (image, fingerprint) = match sessions.execute(from.clone(), look).await {
                Reply::Batch(replies) => match &replies[..] {
                    [Reply::Image(image), Reply::Fingerprint(fingerprint)] => (image.clone(), *fingerprint),
                    // It went meanwhile: what was moved is what there was.
                    _ if wanted != condition => return done(true),
                    _ => return Refusal::fixed("ERR no such key").into(),
                },
                other => return plain(other),
            };
            if from == to {
                return done(condition == Condition::Always);
            }
            match sessions.execute(to.clone(), Command::MoveHere { image, condition: wanted }).await {
                Reply::Ok => wanted = Condition::Always,
                Reply::Nil => return done(false),
                other => return plain(other),
            }
            let away = Command::Batch { guard: Guard::Unchanged(fingerprint), commands: vec![Command::MoveAway] };
            match sessions.execute(from.clone(), away).await {
                Reply::Refuted => {}
                Reply::Batch(_) => return done(true),
                other => return plain(other),
            }
        }
        Refusal::fixed("BUSY the key changes all the time, and is there under both names: try again").into()
    }
}
