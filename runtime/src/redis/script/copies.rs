//! What a script sees of the sessions: copies, read when it asks for them. It changes its copies, and what it has changed is told at the end, to be carried out
//! as one step.

use std::collections::HashMap;

use bytes::Bytes;
use holdfast_core::value::{Notices, Value as Held, apply, decide_noticed};
use holdfast_core::{Command, Guard, Millis, Reply};

use crate::redis::command::{InScript, plain, read_in_script};
use crate::redis::frame::{Request, Value};

/// The most keys of one script, and the most bytes that it reads and writes.
const MOST_KEYS: usize = 1024;
const MOST_BYTES: usize = 16 << 20;

/// Time stands still in a script.
const NOW: Millis = 1;

/// A copy of what a key held.
struct Copy {
    value: Option<Held>,
    fingerprint: u128,
    /// What the script has written to it.
    commands: Vec<Command>,
}

/// The copies of one run of a script.
pub(super) struct Copies {
    held: HashMap<Bytes, Copy>,
    fetch: Box<dyn Fn(Bytes) -> Reply + Send>,
    receivers: Box<dyn Fn(&Bytes) -> i64 + Send>,
    is_read_only: bool,
    now: i64,
    max_bytes: u64,
    /// What is left of [`MOST_BYTES`].
    room: usize,
    messages: Vec<(Bytes, Bytes)>,
    /// Why the script cannot go on, and nothing of it counts.
    stopped: Option<Value>,
}

/// What a script has done.
#[derive(Default)]
pub(super) struct Outcome {
    /// How it has written keys.
    pub(super) written: Vec<(Bytes, Vec<Command>)>,
    /// What all keys held that it has read or written.
    pub(super) expected: Vec<(Bytes, u128)>,
    /// What is to be published then: channels and payloads.
    pub(super) messages: Vec<(Bytes, Bytes)>,
}

impl Copies {
    /// None yet. `fetch` reads what is asked for, in the way of [`Copies::read`], and `receivers` tells how many clients of this member get a message.
    pub(super) fn new(
        is_read_only: bool,
        now: i64,
        max_bytes: u64,
        fetch: impl Fn(Bytes) -> Reply + Send + 'static,
        receivers: impl Fn(&Bytes) -> i64 + Send + 'static,
    ) -> Copies {
        Copies {
            held: HashMap::new(),
            fetch: Box::new(fetch),
            receivers: Box::new(receivers),
            is_read_only,
            now,
            max_bytes,
            room: MOST_BYTES,
            messages: Vec::new(),
            stopped: None,
        }
    }

    /// What is asked of a key for a copy of it.
    pub(super) fn read() -> Command {
        Command::Batch { guard: Guard::None, commands: vec![Command::Dump, Command::Fingerprint] }
    }

    /// Takes the reply to [`Copies::read`].
    pub(super) fn add(&mut self, key: Bytes, reply: Reply) {
        let (value, fingerprint) = match reply {
            Reply::Batch(replies) => match <[Reply; 2]>::try_from(replies) {
                Ok([Reply::Image(image), Reply::Fingerprint(fingerprint)]) => (Some(image.into_value(NOW)), fingerprint),
                Ok([Reply::Nil, Reply::Fingerprint(fingerprint)]) => (None, fingerprint),
                _ => return self.stop(Value::Error(Bytes::from_static(b"ERR the key of a script could not be read"))),
            },
            other => return self.stop(plain(other)),
        };
        self.spend(value.as_ref().map_or(0, |value| value.data.size() as usize));
        if self.held.len() >= MOST_KEYS {
            return self.stop(Value::Error(format!("ERR a script reads at most {MOST_KEYS} keys").into()));
        }
        self.held.insert(key, Copy { value, fingerprint, commands: Vec::new() });
    }

    /// Ends the script: it has done nothing, and this is what its client is told.
    pub(super) fn stop(&mut self, why: Value) {
        self.stopped.get_or_insert(why);
    }

    /// Whether the script has to end, and why.
    pub(super) fn stopped(&self) -> Option<&Value> {
        self.stopped.as_ref()
    }

    /// What it has done, if it was not stopped.
    pub(super) fn into_outcome(self) -> Result<Outcome, Value> {
        if let Some(why) = self.stopped {
            return Err(why);
        }
        let mut outcome = Outcome { messages: self.messages, ..Outcome::default() };
        for (key, copy) in self.held {
            outcome.expected.push((key.clone(), copy.fingerprint));
            if !copy.commands.is_empty() {
                outcome.written.push((key, copy.commands));
            }
        }
        Ok(outcome)
    }

    /// Runs a command that the script calls.
    pub(super) fn call(&mut self, words: &[u8], ends: &[(u32, u32)]) -> Value {
        self.spend(words.len());
        if let Some(why) = &self.stopped {
            return why.clone();
        }
        match read_in_script(&Request::new(words, ends), self.now, self.is_read_only) {
            InScript::Answer(value) => value,
            InScript::Keys { parts, combine } => {
                let replies = parts.into_iter().map(|(key, command)| self.execute(key, command)).collect();
                let answer = combine(replies);
                self.stopped.clone().unwrap_or(answer)
            }
            InScript::Publish { channel, payload } => {
                let count = (self.receivers)(&channel);
                self.messages.push((channel, payload));
                Value::Int(count)
            }
        }
    }

    fn execute(&mut self, key: Bytes, command: Command) -> Reply {
        if !self.held.contains_key(&key) && self.stopped.is_none() {
            let reply = (self.fetch)(key.clone());
            self.add(key.clone(), reply);
        }
        if self.stopped.is_some() {
            return Reply::Nil;
        }
        let Some(copy) = self.held.get_mut(&key) else { return Reply::Nil };
        let mut notices = Notices::wanted(u16::MAX);
        let (reply, change) = decide_noticed(copy.value.as_ref(), &command, NOW, self.max_bytes, &mut notices);
        if change.is_none() && notices.into_list().is_empty() {
            return reply;
        }
        if let Some(change) = change {
            apply(&mut copy.value, change, NOW);
        }
        copy.commands.push(command);
        reply
    }

    fn spend(&mut self, bytes: usize) {
        match self.room.checked_sub(bytes) {
            Some(room) => self.room = room,
            None => {
                self.stop(Value::Error(format!("ERR a script reads and writes at most {MOST_BYTES} bytes; nothing was written").into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::value::decide;

    use super::*;

    fn copies(is_read_only: bool) -> Copies {
        let hello = Held::new(holdfast_core::value::Data::String("hello".into()), None);
        let fetch = move |key: Bytes| decide(Some(&hello).filter(|_| key == "k"), &Copies::read(), NOW, 1 << 20).0;
        Copies::new(is_read_only, 1_700_000_000_000, 1 << 20, fetch, |_| 0)
    }

    fn call(copies: &mut Copies, words: &str) -> Value {
        let mut at = 0;
        let ends: Vec<(u32, u32)> = words
            .split(' ')
            .map(|word| {
                let begin = at;
                at += word.len() as u32 + 1;
                (begin, begin + word.len() as u32)
            })
            .collect();
        copies.call(words.as_bytes(), &ends)
    }

    #[test]
    fn what_is_written_is_read_back_and_told_at_the_end() {
        let mut copies = copies(false);
        assert_eq!(call(&mut copies, "GET k"), Value::fixed("hello"));
        assert_eq!(call(&mut copies, "APPEND k !"), Value::Int(6));
        assert_eq!(call(&mut copies, "GET k"), Value::fixed("hello!"));
        assert_eq!(call(&mut copies, "GET other"), Value::Null);
        let outcome = copies.into_outcome().expect("it was not stopped");
        assert_eq!(outcome.written, [("k".into(), vec![Command::Append { value: "!".into() }])]);
        let fingerprint = holdfast_core::value::Data::String("hello".into()).fingerprint();
        assert!(
            outcome.expected.len() == 2
                && outcome.expected.contains(&("k".into(), fingerprint))
                && outcome.expected.contains(&("other".into(), 0))
        );
    }

    #[test]
    fn a_write_that_changes_nothing_is_none() {
        let mut copies = copies(false);
        assert_eq!(call(&mut copies, "SET k x NX"), Value::Null);
        assert_eq!(call(&mut copies, "DEL other"), Value::Int(0));
        assert!(copies.into_outcome().expect("it was not stopped").written.is_empty());
    }

    #[test]
    fn a_script_that_only_reads_is_refused_a_write() {
        let mut copies = copies(true);
        assert_eq!(call(&mut copies, "GET k"), Value::fixed("hello"));
        assert_eq!(call(&mut copies, "SET k x"), Value::Error("ERR Write commands are not allowed from read-only scripts.".into()));
    }
}
