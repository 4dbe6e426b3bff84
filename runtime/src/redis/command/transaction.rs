//! `MULTI`, `EXEC`, `DISCARD` and `WATCH`. A transaction is one step where one member owns all its keys: any member if it is one key, this one if they are several. Elsewhere it
//! is a step for each key: nothing else comes in between on any of them, but others may see one changed before another is. One that depends on keys, by
//! `WATCH`, is one step or refused.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_core::engine::NotTogether;
use holdfast_core::{Command, Guard, Reply};

use super::args::{Args, Refusal};
use super::many::{AT_ONCE, Many, too_much};
use super::table::Spec;
use super::{Plan, Running, plain, run};
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

/// The most commands that wait for their `EXEC`, and bytes of requests and of answers that are known already.
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
    /// One of them may write.
    may_write: bool,
}

impl Transaction {
    /// Whether something that waits for its `EXEC` may write.
    pub(crate) fn may_write(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.may_write)
    }

    /// What is to be done about a plan that came in so many bytes and may write or not: in a transaction it waits.
    pub(crate) fn admit(&mut self, plan: Plan, bytes: usize, may_write: bool) -> Plan {
        if let Some(queue) = &mut self.queue {
            queue.may_write |= may_write;
        }
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
        let bytes = bytes
            + match &plan {
                Plan::Answer(value) => value.size(),
                _ => 0,
            };
        let refusal = match plan {
            // Without a reply of its own, `EXEC` would have fewer than it says.
            _ if plan.is_always_answered() => Some("ERR Command not allowed inside a transaction".to_owned()),
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
        let mut step = KeyedStep { watched, commands: Vec::new() };
        let mut answers = Answers::default();
        for plan in self.plans {
            let plan = match plan.into_parts() {
                Ok(many) => {
                    step.commands.push(many);
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
            answers.push(match run(*plan, context) {
                Running::Done(value) => value,
                Running::Waits(answer) => answer.await,
            });
            // Many of these wait for nothing, and other clients have their turn.
            tokio::task::yield_now().await;
        }
        match step.run(&context.sessions).await {
            Ok(some) => answers.extend(some),
            Err(value) => return value,
        }
        Value::Array(answers.values)
    }
}

/// What a transaction answers. Beyond a limit the values are not told: what is asked for in few bytes may be a lot, many times over.
#[derive(Default)]
struct Answers {
    values: Vec<Value>,
    bytes: usize,
}

impl Answers {
    fn push(&mut self, value: Value) {
        let bytes = value.size();
        let is_too_much = self.bytes + bytes > MOST_BYTES && bytes > size_of::<Value>();
        self.bytes += if is_too_much { 0 } else { bytes };
        self.values.push(if is_too_much { too_much() } else { value });
    }

    fn extend(&mut self, values: Vec<Value>) {
        values.into_iter().for_each(|value| self.push(value));
    }
}

/// Commands that are one step, or one for each of their keys.
#[derive(Default)]
struct KeyedStep {
    /// The keys on which all depends, and what they were.
    watched: Vec<(Bytes, u128)>,
    commands: Vec<Many>,
}

/// The commands on one key, with their places among all of them.
struct OfKey {
    key: Bytes,
    commands: Vec<Command>,
    places: Vec<usize>,
}

impl KeyedStep {
    /// The answer to each command, or one to all of them.
    async fn run<S: Sessions>(self, sessions: &S) -> Result<Vec<Value>, Value> {
        let mut by_key: BTreeMap<Bytes, (Vec<Command>, Vec<usize>)> = BTreeMap::new();
        let mut combine = Vec::with_capacity(self.commands.len());
        let mut count = 0;
        for many in self.commands {
            combine.push((many.parts.len(), many.combine));
            for (key, command) in many.parts {
                let (commands, places) = by_key.entry(key).or_default();
                commands.push(command);
                places.push(count);
                count += 1;
            }
        }
        let of_keys = by_key.into_iter().map(|(key, (commands, places))| OfKey { key, commands, places }).collect();
        let mut replies = vec![Reply::Nil; count];
        for (places, answers) in answers(of_keys, self.watched, sessions).await? {
            places.into_iter().zip(answers).for_each(|(place, reply)| replies[place] = reply);
        }
        let mut replies = replies.into_iter();
        Ok(combine.into_iter().map(|(count, combine)| combine(replies.by_ref().take(count).collect())).collect())
    }
}

/// What is answered to the commands in these places; or to all of them.
async fn answers<S: Sessions>(
    mut of_keys: Vec<OfKey>,
    watched: Vec<(Bytes, u128)>,
    sessions: &S,
) -> Result<Vec<(Vec<usize>, Vec<Reply>)>, Value> {
    let is_one = match (&of_keys[..], &watched[..]) {
        ([], []) => return Ok(Vec::new()),
        ([_], []) | ([], [_]) => true,
        ([of_key], [(watched, _)]) => of_key.key == *watched,
        _ => false,
    };
    if is_one {
        let guard = watched.first().map_or(Guard::None, |(_, fingerprint)| Guard::Unchanged(*fingerprint));
        let nothing = |(key, _)| OfKey { key, commands: Vec::new(), places: Vec::new() };
        let Some(OfKey { key, commands, places }) = of_keys.pop().or_else(|| watched.into_iter().next().map(nothing)) else {
            return Ok(Vec::new());
        };
        let count = commands.len();
        return match replies(count, sessions.execute(key, batch(guard, commands)).await) {
            Ok(replies) => Ok(vec![(places, replies)]),
            Err(Reply::Refuted) => Err(Value::NullArray),
            Err(reply) => Err(plain(reply)),
        };
    }
    let commands = of_keys.iter().map(|of_key| (of_key.key.clone(), batch(Guard::None, of_key.commands.clone()))).collect();
    // What depends on nothing may be a step for each key, for which nobody has to claim any.
    let together = match watched.is_empty() {
        true => sessions.execute_together(commands, &watched).await,
        false => sessions.execute_gathered(commands, &watched).await,
    };
    let all = match together {
        Ok(all) => all,
        Err(NotTogether::Refuted) => return Err(Value::NullArray),
        Err(NotTogether::Apart) if !watched.is_empty() => return Err(Refusal::ACROSS_OWNERS.into()),
        Err(NotTogether::Apart) => {
            let ask = |of_key: &OfKey| sessions.execute(of_key.key.clone(), batch(Guard::None, of_key.commands.clone()));
            stream::iter(of_keys.iter().map(ask)).buffered(AT_ONCE).collect().await
        }
    };
    let told = |(of_key, reply): (OfKey, Reply)| {
        let count = of_key.places.len();
        (of_key.places, replies(count, reply).unwrap_or_else(|reply| vec![reply; count]))
    };
    Ok(of_keys.into_iter().zip(all).map(told).collect())
}

fn batch(guard: Guard, mut commands: Vec<Command>) -> Command {
    match (&guard, commands.len()) {
        (Guard::None, 1) => commands.remove(0),
        _ => Command::Batch { guard, commands },
    }
}

/// The answers to so many commands in what a key answered; `Err` with one to all of them.
fn replies(count: usize, reply: Reply) -> Result<Vec<Reply>, Reply> {
    match reply {
        Reply::Batch(replies) => Ok(replies),
        Reply::Refuted => Err(Reply::Refuted),
        reply if count == 1 => Ok(vec![reply]),
        reply => Err(reply),
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
