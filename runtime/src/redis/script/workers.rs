//! Where scripts run: on threads of their own, a few at a time, so that a slow one holds up nothing but other scripts. Those on one key take turns, which spares
//! them finding out that another one was faster.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::redis::frame::Value;

/// How long a script waits for a thread or for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long one that is running is waited for. It ends itself before that, except within one long operation of Lua.
const GRACE: Duration = Duration::from_secs(3);

/// So many keys take turns apart; others share a place.
const PLACES: usize = 1024;

/// The threads and the turns.
#[derive(Debug)]
pub(crate) struct Workers {
    threads: Arc<Semaphore>,
    turns: Vec<Mutex<()>>,
}

impl Default for Workers {
    fn default() -> Workers {
        let threads = std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
        Workers { threads: Arc::new(Semaphore::new(threads)), turns: (0..PLACES).map(|_| Mutex::new(())).collect() }
    }
}

impl Workers {
    /// The turn of a script on `key`.
    pub(super) async fn turn(&self, key: &[u8]) -> Result<MutexGuard<'_, ()>, Value> {
        let mut hasher = DefaultHasher::new();
        hasher.write(key);
        let place = &self.turns[hasher.finish() as usize % PLACES];
        timeout(PATIENCE, place.lock()).await.map_err(|_| busy("other scripts on this key take too long"))
    }

    /// A thread. Whoever waits for one has read nothing yet: what scripts take of the memory is bounded by those that run.
    pub(super) async fn thread(&self) -> Result<Thread, Value> {
        match timeout(PATIENCE, self.threads.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Thread(permit)),
            _ => Err(busy("other scripts take too long")),
        }
    }
}

/// A thread that nobody else uses.
pub(super) struct Thread(OwnedSemaphorePermit);

impl Thread {
    /// Runs `work` on it.
    pub(super) async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Value> {
        let Thread(permit) = self;
        let running = spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        match timeout(GRACE, running).await {
            Ok(Ok(result)) => Ok(result),
            _ => Err(busy("the script takes too long")),
        }
    }
}

fn busy(why: &str) -> Value {
    Value::Error(format!("BUSY {why}; nothing was written").into())
}
