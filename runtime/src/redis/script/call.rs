//! One call of a script: natively if it is known, as Lua otherwise. What Lua has written on copies is carried out by the owner of the key if the key still holds
//! what was copied; if not, the script runs again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use holdfast_core::engine::NotTogether;
use holdfast_core::{Command, Guard, Reply};
use tokio::runtime::Handle;

use super::copies::{Copies, Outcome};
use super::known::Answer;
use super::lua::{self, Script};
use super::{Known, Sha1};
use crate::redis::Sessions;
use crate::redis::command::{no_script, plain};
use crate::redis::context::{Context, Front};
use crate::redis::frame::Value;
use crate::redis::window::Access;

/// So often a script runs again because its key has changed meanwhile.
const ATTEMPTS: u32 = 16;

/// So many keys are read before it begins, the others when it asks for them.
const READ_AHEAD: usize = 32;

/// What is told where several keys cannot be one step.
const APART: &[u8] = b"CROSSSLOT a script that writes several keys is one step where the member that is asked owns all keys that it reads and writes; nothing was written";

/// What a client wants a script to be run with.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    /// `KEYS`.
    pub(crate) keys: Vec<Bytes>,
    /// `ARGV`.
    pub(crate) rest: Vec<Bytes>,
}

/// A call of a script.
pub(crate) struct Call {
    /// Which.
    pub(crate) name: Sha1,
    /// What it is, if the client said so.
    pub(crate) text: Option<Bytes>,
    /// With what.
    pub(crate) arguments: Arguments,
    /// It must not write.
    pub(crate) is_read_only: bool,
    /// When it came, in milliseconds since 1970.
    pub(crate) now: i64,
}

impl Call {
    /// The key, the command and how it answers, if this script is `known` and can be run like this.
    pub(crate) fn native(&self, known: Option<&Known>) -> Option<(Bytes, Command, Answer)> {
        let (command, answer) = known.filter(|_| !self.is_read_only)?.command(&self.arguments)?;
        Some((self.arguments.keys.first()?.clone(), command, answer))
    }

    /// What has to be finished before it may begin.
    pub(crate) fn access(&self) -> Access {
        match &self.arguments.keys[..] {
            [key] => Access::key(key),
            _ => Access::Everything,
        }
    }

    /// Runs it. It goes on without being polled again.
    pub(crate) async fn run<S: Sessions>(self, context: &Context<S>) -> Value {
        let (sessions, front) = (context.sessions.clone(), context.front.clone());
        let running = tokio::spawn(async move { self.carry_out(&sessions, &front).await.unwrap_or_else(|error| error) });
        running.await.unwrap_or_else(|_| Value::Error(Bytes::from_static(b"ERR the script was broken off")))
    }

    async fn carry_out<S: Sessions>(self, sessions: &S, front: &Arc<Front>) -> Result<Value, Value> {
        let text = match &self.text {
            Some(text) => text.clone(),
            None => front.scripts.find(self.name).ok_or_else(|| Value::from(no_script()))?,
        };
        if let Some((key, command, answer)) = self.native(Known::worded(&text)) {
            front.scripts.load(self.name, text);
            return Ok(answer(sessions.execute(key, command).await));
        }
        let _turn = match self.arguments.keys.first() {
            Some(key) => Some(front.workers.turn(key).await?),
            None => None,
        };
        let script = Arc::new(Script { name: self.name, text, arguments: self.arguments });
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..=u64::from(attempt)))).await;
            }
            let thread = front.workers.thread().await?;
            let copies = copies(&script.arguments.keys, sessions, front, self.is_read_only, self.now).await;
            let script = script.clone();
            let (answer, is_script, outcome) = thread.run(move || lua::run(&script, copies)).await?;
            if is_script && let Some(text) = &self.text {
                front.scripts.load(self.name, text.clone());
            }
            if let Some(value) = commit(outcome, answer, sessions).await {
                return Ok(value);
            }
        }
        Err(Value::Error(Bytes::from_static(b"BUSY the key of the script changes all the time; nothing was written")))
    }
}

/// What the keys hold, to begin with.
async fn copies<S: Sessions>(keys: &[Bytes], sessions: &S, front: &Arc<Front>, is_read_only: bool, now: i64) -> Copies {
    let (handle, reader) = (Handle::current(), sessions.clone());
    let fetch = move |key: Bytes| handle.block_on(reader.execute(key, Copies::read()));
    let receivers = {
        let front = front.clone();
        move |channel: &Bytes| front.subscriptions.receivers(channel) as i64
    };
    let mut copies = Copies::new(is_read_only, now, front.settings.max_bytes, fetch, receivers);
    let first = keys.iter().take(READ_AHEAD).cloned();
    let ask = |key: Bytes| async move { (key.clone(), sessions.execute(key, Copies::read()).await) };
    let mut replies = stream::iter(first).map(ask).buffered(READ_AHEAD);
    while let Some((key, reply)) = replies.next().await {
        copies.add(key, reply);
    }
    copies
}

/// Carries out what a script has written, and then sends what it publishes. `None` if a key has changed meanwhile, so that nothing was done.
async fn commit<S: Sessions>(outcome: Outcome, answer: Value, sessions: &S) -> Option<Value> {
    let Outcome { written, expected, messages } = outcome;
    let replies = match write(written, expected, sessions).await {
        Ok(replies) => replies,
        Err(NotTogether::Refuted) => return None,
        Err(NotTogether::Apart) => return Some(Value::Error(Bytes::from_static(APART))),
    };
    // Those of single commands are what they were on the copies.
    if let Some(error) = replies.into_iter().find(|reply| matches!(reply, Reply::Error(_))) {
        return Some(plain(error));
    }
    for (channel, payload) in messages {
        if let Err(error) = sessions.publish(channel, payload) {
            return Some(plain(Reply::Error(error)));
        }
    }
    Some(answer)
}

/// One step on all keys where this member owns all of them, otherwise on the only one that is written.
async fn write<S: Sessions>(
    written: Vec<(Bytes, Vec<Command>)>,
    expected: Vec<(Bytes, u128)>,
    sessions: &S,
) -> Result<Vec<Reply>, NotTogether> {
    if written.is_empty() {
        return Ok(Vec::new());
    }
    if expected.len() > 1 {
        let commands = written.iter().map(|(key, commands)| (key.clone(), batch(Guard::None, commands.clone()))).collect();
        if written.len() > 1 {
            return sessions.execute_gathered(commands, &expected).await;
        }
        match sessions.execute_together(commands, &expected).await {
            Err(NotTogether::Apart) => {}
            other => return other,
        }
    }
    let mut replies = Vec::with_capacity(1);
    for (key, commands) in written {
        let guard = expected.iter().find(|(read, _)| *read == key).map_or(Guard::None, |(_, fingerprint)| Guard::Unchanged(*fingerprint));
        match sessions.execute(key, batch(guard, commands)).await {
            Reply::Refuted => return Err(NotTogether::Refuted),
            reply => replies.push(reply),
        }
    }
    Ok(replies)
}

fn batch(guard: Guard, commands: Vec<Command>) -> Command {
    Command::Batch { guard, commands }
}

/// Keeps a script that can be compiled, and tells its name.
pub(crate) async fn compile(front: &Front, text: Bytes) -> Result<Sha1, Value> {
    let name = Sha1::of(&text);
    let script = Script { name, text: text.clone(), arguments: Arguments { keys: Vec::new(), rest: Vec::new() } };
    front.workers.thread().await?.run(move || lua::compile(&script)).await??;
    front.scripts.load(name, text);
    Ok(name)
}
