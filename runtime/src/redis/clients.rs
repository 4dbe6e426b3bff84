//! The connections there are, for `CLIENT LIST` and for the limit on their number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use super::command::Spec;
use super::frame::Protocol;
use super::subscriptions::{Kind, Mailbox};

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

    /// Enters a connection from `address` to `local`; `None` if there are as many as may be.
    pub(crate) fn enter(&self, address: String, local: String, unix: bool, mailbox: Mailbox) -> Option<Arc<Client>> {
        let mut open = lock(&self.open);
        if open.clients.len() >= self.most {
            return None;
        }
        open.last_id += 1;
        let id = open.last_id;
        let (since, state, listening) = (Instant::now(), Mutex::default(), AtomicBool::new(false));
        let client = Arc::new(Client { id, address, local, unix, since, state, listening, mailbox });
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

    /// Those of `ids`, or all, one a line.
    pub(crate) fn describe(&self, ids: Option<&[i64]>) -> String {
        // Copied first: the lock is taken by every connection that begins or ends.
        let clients: Vec<Arc<Client>> = match ids {
            None => lock(&self.open).clients.values().cloned().collect(),
            Some(ids) => {
                let open = lock(&self.open);
                ids.iter().filter_map(|id| open.clients.get(&u64::try_from(*id).ok()?)).cloned().collect()
            }
        };
        clients.iter().map(|client| client.describe()).collect()
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its number, never used again.
    pub(crate) id: u64,
    address: String,
    local: String,
    unix: bool,
    since: Instant,
    /// Written by its own connection only, read by others for `CLIENT LIST`: a std::sync::Mutex, because nothing waits while holding it.
    state: Mutex<State>,
    listening: AtomicBool,
    /// What was published and waits for it.
    pub(crate) mailbox: Mailbox,
}

/// What a client has told of itself, and what it did last.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) protocol: Protocol,
    pub(crate) name: Option<String>,
    pub(crate) library: Option<String>,
    pub(crate) library_version: Option<String>,
    pub(crate) last: Option<(&'static str, Instant)>,
    /// Keys on which its next transaction depends, and what they were.
    pub(crate) watched: Vec<(Bytes, u128)>,
    channels: BTreeSet<Bytes>,
    patterns: BTreeSet<Bytes>,
}

impl State {
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

    /// Remembers the command that it sent last, and when that came.
    pub(crate) fn sent(&self, spec: &'static Spec, came: Instant) {
        self.state().last = Some((spec.name, came));
    }

    /// A line as `CLIENT LIST` has it, with those of Redis' fields that mean something here.
    pub(crate) fn describe(&self) -> String {
        let state = self.state();
        let (command, idle) = state.last.map_or(("NULL", self.since), |last| last);
        let mut line = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            line,
            "id={} addr={} laddr={} name={} age={} idle={} flags={} db=0 sub={} psub={} ssub=0 multi=-1 cmd={command} user=default redir=-1 resp={} \
             lib-name={} lib-ver={}",
            self.id,
            self.address,
            self.local,
            state.name.as_deref().unwrap_or_default(),
            self.since.elapsed().as_secs(),
            idle.elapsed().as_secs(),
            match (self.unix, state.subscriptions() > 0) {
                (true, _) => 'U',
                (false, true) => 'P',
                (false, false) => 'N',
            },
            state.channels.len(),
            state.patterns.len(),
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
        let first = clients.enter("a".into(), "b".into(), false, mailbox()).expect("there is a place");
        assert!(clients.enter("c".into(), "b".into(), false, mailbox()).is_none());
        clients.leave(&first);
        let second = clients.enter("c".into(), "b".into(), true, mailbox()).expect("there is a place again");
        assert_eq!((second.id, clients.len()), (2, 1));
        assert_eq!(clients.describe(Some(&[1, -5])), "");
        assert!(clients.describe(None).starts_with("id=2 addr=c laddr=b name= age=0 idle=0 flags=U db=0 "));
    }
}
