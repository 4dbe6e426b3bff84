//! The connections there are, for `CLIENT LIST` and for the limit on their number.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::command::Spec;
use super::frame::Protocol;

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
    pub(crate) fn enter(&self, address: String, local: String, unix: bool) -> Option<Arc<Client>> {
        let mut open = lock(&self.open);
        if open.clients.len() >= self.most {
            return None;
        }
        open.last_id += 1;
        let client = Arc::new(Client { id: open.last_id, address, local, unix, since: Instant::now(), state: Mutex::default() });
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
}

/// What a client has told of itself, and what it did last.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) protocol: Protocol,
    pub(crate) name: Option<String>,
    pub(crate) library: Option<String>,
    pub(crate) library_version: Option<String>,
    pub(crate) last: Option<(&'static str, Instant)>,
}

impl Client {
    /// What can change.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Remembers the command that it sent last.
    pub(crate) fn sent(&self, spec: &'static Spec) {
        self.state().last = Some((spec.name, Instant::now()));
    }

    /// A line as `CLIENT LIST` has it, with those of Redis' fields that mean something here.
    pub(crate) fn describe(&self) -> String {
        let state = self.state();
        let (command, idle) = state.last.map_or(("NULL", self.since), |last| last);
        let mut line = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            line,
            "id={} addr={} laddr={} name={} age={} idle={} flags={} db=0 sub=0 psub=0 ssub=0 multi=-1 cmd={command} user=default redir=-1 resp={} \
             lib-name={} lib-ver={}",
            self.id,
            self.address,
            self.local,
            state.name.as_deref().unwrap_or_default(),
            self.since.elapsed().as_secs(),
            idle.elapsed().as_secs(),
            if self.unix { 'U' } else { 'N' },
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is whole after every statement, so a panic elsewhere has not broken it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_left_can_be_taken_again() {
        let clients = Clients::new(1);
        let first = clients.enter("a".into(), "b".into(), false).expect("there is a place");
        assert!(clients.enter("c".into(), "b".into(), false).is_none());
        clients.leave(&first);
        let second = clients.enter("c".into(), "b".into(), true).expect("there is a place again");
        assert_eq!((second.id, clients.len()), (2, 1));
        assert_eq!(clients.describe(Some(&[1, -5])), "");
        assert!(clients.describe(None).starts_with("id=2 addr=c laddr=b name= age=0 idle=0 flags=U db=0 "));
    }
}
