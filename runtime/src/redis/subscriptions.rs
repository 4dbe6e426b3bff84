//! Who listens to what: the channels and patterns of this member's clients, and what waits for each of them. A message goes to a client at most once for each of
//! its subscriptions. One that does not read is cut off, before what waits for it fills the memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use holdfast_core::glob;

use super::clients::{Client, lock};
use super::frame::Value;

/// The most that waits for one client, and for all of them, in bytes. Redis has the first one, too (`client-output-buffer-limit pubsub`).
const MOST: usize = 32 << 20;
const MOST_OF_ALL: usize = 64 << 20;

/// What a message takes beside its bytes, about.
const ENTRY: usize = 128;

/// The most subscriptions of one client.
pub(crate) const MOST_SUBSCRIPTIONS: usize = 16 << 10;

/// What a client subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A channel by its name.
    Channel,
    /// All channels that match a pattern.
    Pattern,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    table: Mutex<Table>,
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Table {
    channels: HashMap<Bytes, Subscribers>,
    patterns: BTreeMap<Bytes, Subscribers>,
}

type Subscribers = BTreeMap<u64, Arc<Client>>;

impl Table {
    fn subscribers(&mut self, kind: Kind, name: &Bytes) -> &mut Subscribers {
        match kind {
            Kind::Channel => self.channels.entry(name.clone()).or_default(),
            Kind::Pattern => self.patterns.entry(name.clone()).or_default(),
        }
    }

    fn leave(&mut self, kind: Kind, name: &Bytes, client: &Client) {
        let subscribers = self.subscribers(kind, name);
        subscribers.remove(&client.id);
        if subscribers.is_empty() {
            match kind {
                Kind::Channel => drop(self.channels.remove(name)),
                Kind::Pattern => drop(self.patterns.remove(name)),
            }
        }
    }
}

impl Subscriptions {
    /// A mailbox that counts for the limit of all.
    pub(crate) fn mailbox(&self) -> Mailbox {
        Mailbox { waiting: Mutex::default(), all: self.waiting.clone() }
    }

    /// Returns how many subscriptions the client has then; nothing if that would be too many.
    pub(crate) fn subscribe(&self, client: &Arc<Client>, kind: Kind, name: Bytes) -> Option<usize> {
        let mut table = lock(&self.table);
        let mut state = client.state();
        let is_new = !state.subscribed(kind).contains(&name);
        if is_new && state.subscriptions() >= MOST_SUBSCRIPTIONS {
            return None;
        }
        table.subscribers(kind, &name).insert(client.id, client.clone());
        state.subscribed(kind).insert(name);
        client.set_listening(true);
        Some(state.subscriptions())
    }

    /// Likewise, of a subscription that ends.
    pub(crate) fn unsubscribe(&self, client: &Client, kind: Kind, name: &Bytes) -> usize {
        let mut table = lock(&self.table);
        let mut state = client.state();
        if state.subscribed(kind).remove(name) {
            table.leave(kind, name, client);
        }
        client.set_listening(state.subscriptions() > 0);
        state.subscriptions()
    }

    /// A client goes, or begins anew.
    pub(crate) fn end(&self, client: &Client) {
        let mut table = lock(&self.table);
        let mut state = client.state();
        for kind in [Kind::Channel, Kind::Pattern] {
            for name in std::mem::take(state.subscribed(kind)) {
                table.leave(kind, &name, client);
            }
        }
        client.set_listening(false);
    }

    /// How many would get what is published on this channel.
    pub(crate) fn receivers(&self, channel: &[u8]) -> usize {
        let table = lock(&self.table);
        let by_pattern = table.patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel)).map(|(_, clients)| clients.len());
        table.channels.get(channel).map_or(0, BTreeMap::len) + by_pattern.sum::<usize>()
    }

    /// Puts a message into the mailboxes of all who listen.
    pub(crate) fn deliver(&self, channel: &Bytes, payload: &Bytes) {
        let table = lock(&self.table);
        let bulk = |bytes: &Bytes| Value::Bulk(bytes.clone());
        for client in table.channels.get(channel).into_iter().flat_map(BTreeMap::values) {
            client.post(Value::Push(vec![Value::fixed("message"), bulk(channel), bulk(payload)]), channel.len() + payload.len());
        }
        for (pattern, clients) in table.patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel)) {
            for client in clients.values() {
                let message = vec![Value::fixed("pmessage"), bulk(pattern), bulk(channel), bulk(payload)];
                client.post(Value::Push(message), pattern.len() + channel.len() + payload.len());
            }
        }
    }

    /// The channels that somebody listens to by name, as far as they match.
    pub(crate) fn channels(&self, pattern: Option<&[u8]>) -> BTreeSet<Bytes> {
        let table = lock(&self.table);
        table.channels.keys().filter(|channel| pattern.is_none_or(|pattern| glob::matches(pattern, channel))).cloned().collect()
    }

    /// How many listen to a channel by its name.
    pub(crate) fn listeners(&self, channel: &[u8]) -> usize {
        lock(&self.table).channels.get(channel).map_or(0, BTreeMap::len)
    }

    /// How many patterns somebody listens to.
    pub(crate) fn patterns(&self) -> usize {
        lock(&self.table).patterns.len()
    }
}

/// What waits for a client that listens.
#[derive(Debug)]
pub(crate) struct Mailbox {
    waiting: Mutex<Waiting>,
    /// What waits for all clients, in bytes.
    all: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<(Value, usize)>,
    bytes: usize,
}

impl Mailbox {
    /// Says whether there was room.
    pub(super) fn put(&self, message: Value, bytes: usize) -> bool {
        let mut waiting = lock(&self.waiting);
        let bytes = bytes + ENTRY;
        if waiting.bytes + bytes > MOST || self.all.load(Relaxed) + bytes > MOST_OF_ALL {
            return false;
        }
        waiting.bytes += bytes;
        self.all.fetch_add(bytes, Relaxed);
        waiting.messages.push_back((message, bytes));
        true
    }

    /// The next message.
    pub(crate) fn take(&self) -> Option<Value> {
        let mut waiting = lock(&self.waiting);
        let (message, bytes) = waiting.messages.pop_front()?;
        waiting.bytes -= bytes;
        self.all.fetch_sub(bytes, Relaxed);
        Some(message)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.all.fetch_sub(lock(&self.waiting).bytes, Relaxed);
    }
}
