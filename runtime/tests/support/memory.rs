//! Sessions in the memory of this process, with the core's meaning of commands: a cluster of one member that never fails.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_core::engine::NotTogether;
use holdfast_core::value::{Notices, Value, apply, decide_noticed};
use holdfast_core::{Command, CommandError, Reply, ScanPage, ScanPart};
use holdfast_runtime::broadcast::Broadcast;
use holdfast_runtime::redis::{Counts, Sessions};
use tokio::sync::broadcast;

/// The sessions.
#[derive(Clone)]
pub(crate) struct Memory {
    values: Arc<Mutex<HashMap<Bytes, Value>>>,
    begin: Instant,
    max_bytes: u64,
    told: broadcast::Sender<Broadcast>,
    wanted: Arc<AtomicU16>,
    /// How long each command takes, as if keepers had to be asked.
    pub(crate) delay: Duration,
    /// Whether each key has an owner of its own.
    pub(crate) is_apart: bool,
}

impl Memory {
    /// None yet.
    pub(crate) fn new(max_bytes: u64) -> Memory {
        let (told, wanted) = (broadcast::channel(1000).0, Arc::default());
        Memory { values: Arc::default(), begin: Instant::now(), max_bytes, told, wanted, delay: Duration::ZERO, is_apart: false }
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.values.lock().expect("no test panics with it").clear();
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_millis() as u64
    }
}

impl Sessions for Memory {
    async fn execute(&self, key: Bytes, command: Command) -> Reply {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let now = self.now();
        let mut values = self.values.lock().expect("no test panics with it");
        let mut value = values.remove(&key).filter(|value| !value.is_expired(now));
        let mut notices = Notices::wanted(self.wanted.load(Relaxed));
        let (reply, change) = decide_noticed(value.as_ref(), &command, now, self.max_bytes, &mut notices);
        if let Some(change) = change {
            apply(&mut value, change, now);
        }
        for notice in notices.into_list() {
            // Whether anybody listens.
            let _ = self.told.send(Broadcast::Noticed { key: key.clone(), notice });
        }
        if let Some(value) = value {
            values.insert(key, value);
        }
        reply
    }

    async fn execute_together(&self, commands: Vec<(Bytes, Command)>, expected: &[(Bytes, u128)]) -> Result<Vec<Reply>, NotTogether> {
        if self.is_apart {
            return Err(NotTogether::Apart);
        }
        for (key, fingerprint) in expected {
            if self.execute(key.clone(), Command::Fingerprint).await != Reply::Fingerprint(*fingerprint) {
                return Err(NotTogether::Refuted);
            }
        }
        let mut replies = Vec::new();
        for (key, command) in commands {
            replies.push(self.execute(key, command).await);
        }
        Ok(replies)
    }

    async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, CommandError> {
        let now = self.now();
        let values = self.values.lock().expect("no test panics with it");
        let live = values.iter().filter(|(_, value)| !value.is_expired(now));
        let mut keys: Vec<(u64, Bytes)> = live.map(|(key, _)| (position(key), key.clone())).filter(|(at, _)| *at >= cursor).collect();
        keys.sort_unstable();
        let next = keys.get(count).map(|(at, _)| *at);
        Ok(ScanPage::merge(vec![ScanPart { epoch: 1, keys, next }]))
    }

    fn publish(&self, channel: Bytes, payload: Bytes) -> Result<(), CommandError> {
        let _ = self.told.send(Broadcast::Published { channel, payload });
        Ok(())
    }

    fn want_notices(&self, classes: u16) {
        self.wanted.store(classes, Relaxed);
    }

    fn listen(&self) -> Option<broadcast::Receiver<Broadcast>> {
        Some(self.told.subscribe())
    }

    fn counts(&self) -> Counts {
        let owned = self.values.lock().expect("no test panics with it").len() as u64;
        Counts { joined: true, phase: "Accepting".into(), epoch: 1, members: 1, owned, ..Counts::default() }
    }
}

/// A fixed place for each key; never 0, where a scan begins and ends.
fn position(key: &Bytes) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish().max(1)
}
