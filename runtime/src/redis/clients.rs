//! The connections there are, for `CLIENT LIST` and for the limit on their number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use super::bell::{Bell, Call};
use super::command::Spec;
use super::frame::{Protocol, Value};
use super::subscriptions::{Kind, Mailbox};
use super::users::DEFAULT;

/// All connections.
#[derive(Debug)]
pub(crate) struct Clients {
    most: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last_id: u64,
    clients: BTreeMap<u64, Arc<Client>>,
}

impl Clients {
    pub(crate) fn new(most: usize) -> Clients {
        Clients { most, open: Mutex::default() }
    }

    /// Enters a connection from `address` to `local` at `now`, by the clock of the front door; `None` if there are as many as may be.
    pub(crate) fn enter(&self, address: String, local: String, unix: bool, mailbox: Mailbox, now: u64) -> Option<Arc<Client>> {
        let mut open = lock(&self.open);
        if open.clients.len() >= self.most {
            return None;
        }
        open.last_id += 1;
        let id = open.last_id;
        let client = Arc::new(Client {
            id,
            address,
            local,
            unix,
            since: Instant::now(),
            state: Mutex::default(),
            listening: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
            is_quiet: AtomicBool::new(false),
            seen: AtomicU64::new(now),
            bell: Bell::default(),
            mailbox,
        });
        open.clients.insert(client.id, client.clone());
        Some(client)
    }

    /// Takes a connection off the list.
    pub(crate) fn leave(&self, client: &Client) {
        lock(&self.open).clients.remove(&client.id);
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.open).clients.len()
    }

    /// All of them, copied: the lock is taken by every connection that begins or ends.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        lock(&self.open).clients.values().cloned().collect()
    }

    /// Those with these numbers.
    pub(crate) fn with_ids(&self, ids: &[i64]) -> Vec<Arc<Client>> {
        let open = lock(&self.open);
        ids.iter().filter_map(|id| open.clients.get(&u64::try_from(*id).ok()?)).cloned().collect()
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its number, never used again.
    pub(crate) id: u64,
    /// Where it comes from, and where to; the path of a unix socket with a 0 for both.
    pub(crate) address: String,
    pub(crate) local: String,
    unix: bool,
    since: Instant,
    /// Written by its own connection only, read by others for `CLIENT LIST`: a std::sync::Mutex, because nothing waits while holding it.
    state: Mutex<State>,
    listening: AtomicBool,
    /// Something of it is being done, or waits to be read by it.
    is_busy: AtomicBool,
    /// It may not want a reply, so that its state has to be looked at.
    is_quiet: AtomicBool,
    /// When it sent something last, by the clock of the front door.
    seen: AtomicU64,
    /// What others want of it.
    pub(crate) bell: Bell,
    /// What was published and waits for it.
    pub(crate) mailbox: Mailbox,
}

/// What a client has told of itself, and what it did last.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Whom it has said to be, with the right password.
    pub(crate) user: Option<String>,
    pub(crate) protocol: Protocol,
    pub(crate) replies: Replies,
    pub(crate) name: Option<String>,
    pub(crate) library: Option<String>,
    pub(crate) library_version: Option<String>,
    pub(crate) last: Option<&'static str>,
    /// Keys on which its next transaction depends, and what they were.
    pub(crate) watched: Vec<(Bytes, u128)>,
    channels: BTreeSet<Bytes>,
    patterns: BTreeSet<Bytes>,
}

/// Which replies a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Replies {
    /// All.
    #[default]
    On,
    /// None.
    Off,
    /// All but the next one.
    SkipNext,
}

impl State {
    /// The user that it is taken for.
    pub(crate) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or(DEFAULT)
    }

    /// What it listens to.
    pub(crate) fn subscribed(&mut self, kind: Kind) -> &mut BTreeSet<Bytes> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }

    /// How many channels and patterns it listens to.
    pub(crate) fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }
}

impl Client {
    /// What can change.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Whether it listens to anything.
    pub(crate) fn is_listening(&self) -> bool {
        self.listening.load(Relaxed)
    }

    pub(crate) fn set_listening(&self, listening: bool) {
        self.listening.store(listening, Relaxed);
    }

    /// Remembers the command that it sent last.
    pub(crate) fn sent(&self, spec: &'static Spec) {
        self.state().last = Some(spec.name);
    }

    /// Whether it wants the reply to the command that begins now.
    pub(crate) fn wants_reply(&self) -> bool {
        if !self.is_quiet.load(Relaxed) {
            return true;
        }
        let mut state = self.state();
        let wants = state.replies == Replies::On;
        if state.replies == Replies::SkipNext {
            state.replies = Replies::On;
        }
        wants
    }

    /// From now on it wants these replies.
    pub(crate) fn set_replies(&self, replies: Replies) {
        self.state().replies = replies;
        self.is_quiet.store(replies != Replies::On, Relaxed);
    }

    /// It has sent something now.
    pub(super) fn touch(&self, now: u64) {
        self.seen.store(now, Relaxed);
    }

    pub(crate) fn set_busy(&self, is_busy: bool) {
        self.is_busy.store(is_busy, Relaxed);
    }

    /// Since when it could have asked for something and did not; `None` if it waits itself.
    pub(crate) fn idle_since(&self) -> Option<u64> {
        let waits = self.is_busy.load(Relaxed) || self.is_listening();
        (!waits).then(|| self.seen.load(Relaxed))
    }

    /// Ends its connection.
    pub(crate) fn end(&self) {
        self.bell.ring(Call::End);
    }

    /// Puts a message of so many bytes into its mailbox.
    pub(super) fn post(&self, message: Value, bytes: usize) {
        self.bell.ring(if self.mailbox.put(message, bytes) { Call::News } else { Call::Lost });
    }

    /// A line as `CLIENT LIST` has it at `now`, by the clock of the front door, with those of Redis' fields that mean something here.
    pub(crate) fn describe(&self, now: u64) -> String {
        let state = self.state();
        let mut line = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            line,
            "id={} addr={} laddr={} name={} age={} idle={} flags={} db=0 sub={} psub={} ssub=0 multi=-1 cmd={} user={} redir=-1 resp={} \
             lib-name={} lib-ver={}",
            self.id,
            self.address,
            self.local,
            state.name.as_deref().unwrap_or_default(),
            self.since.elapsed().as_secs(),
            now.saturating_sub(self.seen.load(Relaxed)),
            match (self.unix, state.subscriptions() > 0) {
                (true, _) => 'U',
                (false, true) => 'P',
                (false, false) => 'N',
            },
            state.channels.len(),
            state.patterns.len(),
            state.last.unwrap_or("NULL"),
            state.user(),
            match state.protocol {
                Protocol::Resp2 => 2,
                Protocol::Resp3 => 3,
            },
            state.library.as_deref().unwrap_or_default(),
            state.library_version.as_deref().unwrap_or_default(),
        );
        line
    }
}

/// Takes a lock, whatever became of who had it before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is whole after every statement, so a panic elsewhere has not broken it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_left_can_be_taken_again() {
        let clients = Clients::new(1);
        let mailbox = || crate::redis::subscriptions::Subscriptions::default().mailbox();
        let first = clients.enter("a".into(), "b".into(), false, mailbox(), 0).expect("there is a place");
        assert!(clients.enter("c".into(), "b".into(), false, mailbox(), 5).is_none());
        clients.leave(&first);
        let second = clients.enter("c".into(), "b".into(), true, mailbox(), 5).expect("there is a place again");
        assert_eq!(second.idle_since(), Some(5), "not since the door was opened");
        assert_eq!((second.id, clients.len()), (2, 1));
        assert!(clients.with_ids(&[1, -5]).is_empty());
        assert!(clients.all()[0].describe(7).starts_with("id=2 addr=c laddr=b name= age=0 idle=2 flags=U db=0 "));
    }
}
