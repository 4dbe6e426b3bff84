//! `MULTI`, `EXEC`, `DISCARD` and `WATCH`. All commands of a transaction on one key are one step at its owner. Those on several keys are a step for each key: nothing
//! else comes in between on any of them, but others may see one changed before another is. A transaction that depends on a key, by `WATCH`, is about that
//! key alone: whether it has changed and what is written is one step, too.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_core::{Command, Guard, Reply};

use super::args::{Args, Refusal};
use super::many::{AT_ONCE, Many};
use super::table::Spec;
use super::{Plan, plain, run};
use crate::redis::Sessions;
use crate::redis::context::Context;
use crate::redis::frame::Value;
use crate::redis::window::Access;

pub(super) const COMMANDS: &[Spec] = &[
    Spec::server("multi", 1, |_| Ok(Plan::Transaction(Step::Multi))),
    Spec::server("exec", 1, |_| Ok(Plan::Transaction(Step::Exec))),
    Spec::server("discard", 1, |_| Ok(Plan::Transaction(Step::Discard))),
    Spec::server("watch", -2, |args: &Args<'_>| Ok(Plan::Transaction(Step::Watch(args.keys(1)?)))).of_many_keys(),
    Spec::server("unwatch", 1, |_| Ok(Plan::Unwatch)),
];

/// The most commands, and bytes of requests, that wait for their `EXEC`.
const MOST_COMMANDS: usize = 65_536;
const MOST_BYTES: usize = 64 << 20;

/// The most keys that one connection watches.
const MOST_WATCHED: usize = 1024;

/// What a client says about its transaction.
pub(crate) enum Step {
    /// What follows waits.
    Multi,
    /// It is carried out.
    Exec,
    /// It cannot be, because the word for that was not right: this is what is told.
    Abort(Refusal),
    /// It is not.
    Discard,
    /// It will not be if one of these changes.
    Watch(Vec<Bytes>),
}

/// What a connection has begun.
#[derive(Default)]
pub(crate) struct Transaction {
    queue: Option<Queue>,
    /// A key was watched since the last transaction.
    watches: bool,
}

/// Commands that wait for their `EXEC`.
#[derive(Default)]
struct Queue {
    plans: Vec<Plan>,
    bytes: usize,
    /// Some command could not be queued: none will be carried out.
    is_spoiled: bool,
}

impl Transaction {
    /// What is to be done about a plan that came in so many bytes: in a transaction it waits.
    pub(crate) fn admit(&mut self, plan: Plan, bytes: usize) -> Plan {
        match (plan, &mut self.queue) {
            (Plan::Transaction(step), _) => self.step(step),
            (Plan::Rejected(value), queue) => {
                if let Some(queue) = queue {
                    queue.is_spoiled = true;
                }
                Plan::Answer(value)
            }
            (plan @ (Plan::Last(_) | Plan::Refused(_) | Plan::Drop), _) => plan,
            (plan, _) if plan.is_reset() => {
                *self = Transaction::default();
                plan
            }
            // It will depend on nothing any more when this comes to be carried out.
            (Plan::Unwatch, Some(queue)) => queue.push(Plan::Answer(Value::OK), bytes),
            (plan, Some(queue)) => queue.push(plan, bytes),
            (plan, None) => {
                self.watches &= !matches!(plan, Plan::Unwatch);
                plan
            }
        }
    }

    fn step(&mut self, step: Step) -> Plan {
        let error = |text| Plan::Answer(Refusal::fixed(text).into());
        match (step, self.queue.take()) {
            (Step::Multi, None) => {
                self.queue = Some(Queue::default());
                Plan::Answer(Value::OK)
            }
            (Step::Watch(keys), None) => {
                self.watches = true;
                Plan::Watch(keys)
            }
            (Step::Exec, None) => error("ERR EXEC without MULTI"),
            (Step::Discard, None) => error("ERR DISCARD without MULTI"),
            (Step::Multi, queue) => {
                self.queue = queue;
                error("ERR MULTI calls can not be nested")
            }
            (Step::Watch(_), queue) => {
                self.queue = queue;
                error("ERR WATCH inside MULTI is not allowed")
            }
            (Step::Exec, Some(Queue { plans, is_spoiled, .. })) => {
                let refusal = is_spoiled.then_some(Refusal::fixed("EXECABORT Transaction discarded because of previous errors."));
                Plan::Exec(Exec { plans, refusal, watches: std::mem::take(&mut self.watches) })
            }
            (Step::Abort(refusal), _) => {
                self.watches = false;
                Plan::Exec(Exec { plans: Vec::new(), refusal: Some(refusal), watches: true })
            }
            (Step::Discard, Some(_)) => {
                self.watches = false;
                Plan::Unwatch
            }
        }
    }
}

impl Queue {
    fn push(&mut self, plan: Plan, bytes: usize) -> Plan {
        let refusal = match plan {
            Plan::Subscription(_) => Some("ERR Command not allowed inside a transaction".to_owned()),
            _ if self.plans.len() >= MOST_COMMANDS => Some(format!("ERR a transaction has at most {MOST_COMMANDS} commands")),
            _ if self.bytes + bytes > MOST_BYTES => Some(format!("ERR a transaction has at most {MOST_BYTES} bytes")),
            _ => None,
        };
        if let Some(text) = refusal {
            self.is_spoiled = true;
            // What waited will not be carried out.
            self.plans = Vec::new();
            return Plan::Answer(Refusal::new(text).into());
        }
        self.bytes += bytes;
        if !self.is_spoiled {
            self.plans.push(plan);
        }
        Plan::Answer(Value::Status("QUEUED"))
    }
}

/// A transaction that is to be carried out.
pub(crate) struct Exec {
    plans: Vec<Plan>,
    /// Why it is not.
    refusal: Option<Refusal>,
    watches: bool,
}

impl Exec {
    /// What has to be finished before it may begin.
    pub(super) fn access(&self) -> Access {
        let mut keys = self.plans.iter().map(|plan| match plan {
            Plan::One { key, .. } => Some(key),
            _ => None,
        });
        match keys.next() {
            Some(Some(first)) if !self.watches && keys.all(|key| key == Some(first)) => Access::key(first),
            _ => Access::Everything,
        }
    }

    pub(super) async fn run<S: Sessions>(self, context: &Context<S>) -> Value {
        let watched = std::mem::take(&mut context.client.state().watched);
        if let Some(refusal) = self.refusal {
            return refusal.into();
        }
        let mut step = match KeyedStep::depending_on(watched) {
            Ok(step) => step,
            Err(refusal) => return refusal.into(),
        };
        let mut answers = Vec::with_capacity(self.plans.len());
        for plan in self.plans {
            let plan = match plan.into_parts() {
                Ok(many) => {
                    if let Err(refusal) = step.push(many) {
                        return refusal.into();
                    }
                    continue;
                }
                Err(plan) => plan,
            };
            // It is about more than some keys, so that all before it has to be done.
            match step.run(&context.sessions).await {
                Ok(some) => answers.extend(some),
                Err(value) => return value,
            }
            step = KeyedStep::default();
            answers.push(Box::pin(run(*plan, context)).await);
        }
        match step.run(&context.sessions).await {
            Ok(some) => answers.extend(some),
            Err(value) => return value,
        }
        Value::Array(answers)
    }
}

/// Commands that are one step for each of their keys.
#[derive(Default)]
struct KeyedStep {
    /// The one key on which all depends, and what it was.
    watched: Option<(Bytes, u128)>,
    commands: Vec<Many>,
}

impl KeyedStep {
    fn depending_on(watched: Vec<(Bytes, u128)>) -> Result<KeyedStep, Refusal> {
        let mut watched = watched.into_iter();
        let first = watched.next();
        match watched.next() {
            Some(_) => Err(Refusal::ACROSS_KEYS),
            None => Ok(KeyedStep { watched: first, commands: Vec::new() }),
        }
    }

    fn push(&mut self, many: Many) -> Result<(), Refusal> {
        if let Some((watched, _)) = &self.watched
            && many.parts.iter().any(|(key, _)| key != watched)
        {
            return Err(Refusal::ACROSS_KEYS);
        }
        self.commands.push(many);
        Ok(())
    }

    /// The answer to each command, or one to all of them.
    async fn run<S: Sessions>(self, sessions: &S) -> Result<Vec<Value>, Value> {
        let mut keys: BTreeMap<Bytes, Vec<(Command, usize)>> = BTreeMap::new();
        keys.extend(self.watched.iter().map(|(key, _)| (key.clone(), Vec::new())));
        let mut combine = Vec::with_capacity(self.commands.len());
        let mut number = 0;
        for many in self.commands {
            combine.push((number..number + many.parts.len(), many.combine));
            for (key, command) in many.parts {
                keys.entry(key).or_default().push((command, number));
                number += 1;
            }
        }
        let is_one = keys.len() == 1;
        let guard = self.watched.map_or(Guard::None, |(_, fingerprint)| Guard::Unchanged(fingerprint));
        let ask = |(key, commands): (Bytes, Vec<(Command, usize)>)| {
            let guard = guard.clone();
            async move {
                let (mut commands, numbers): (Vec<Command>, Vec<usize>) = commands.into_iter().unzip();
                let is_single = commands.len() == 1 && guard == Guard::None;
                let command = if is_single { commands.remove(0) } else { Command::Batch { guard, commands } };
                match sessions.execute(key, command).await {
                    Reply::Batch(replies) => (numbers, Ok(replies)),
                    reply if is_single => (numbers, Ok(vec![reply])),
                    reply => (numbers, Err(reply)),
                }
            }
        };
        let mut replies = vec![Reply::Nil; number];
        let mut answers = stream::iter(keys).map(ask).buffered(AT_ONCE);
        while let Some((numbers, answer)) = answers.next().await {
            match answer {
                Ok(some) => numbers.into_iter().zip(some).for_each(|(number, reply)| replies[number] = reply),
                Err(Reply::Refuted) => return Err(Value::NullArray),
                Err(reply) if is_one => return Err(plain(reply)),
                Err(reply) => numbers.into_iter().for_each(|number| replies[number] = reply.clone()),
            }
        }
        let mut replies = replies.into_iter();
        Ok(combine.into_iter().map(|(numbers, combine)| combine(replies.by_ref().take(numbers.len()).collect())).collect())
    }
}

/// Remembers what keys hold, so that a transaction can depend on it.
pub(super) async fn watch<S: Sessions>(keys: Vec<Bytes>, context: &Context<S>) -> Value {
    for key in keys {
        let watched = |key: &Bytes| {
            let state = context.client.state();
            (state.watched.iter().any(|(watched, _)| watched == key), state.watched.len())
        };
        match watched(&key) {
            (true, _) => continue,
            (false, MOST_WATCHED..) => return Refusal::new(format!("ERR a connection watches at most {MOST_WATCHED} keys")).into(),
            _ => {}
        }
        match context.sessions.execute(key.clone(), Command::Fingerprint).await {
            Reply::Fingerprint(fingerprint) => context.client.state().watched.push((key, fingerprint)),
            other => return plain(other),
        }
    }
    Value::OK
}
