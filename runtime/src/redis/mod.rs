//! The Redis front door: serves the sessions of the cluster to the application in this pod, over loopback and a unix socket, in the words of the
//! Redis protocol. What is served, and where it differs from Redis, is in docs/redis.md.
//!
//! `frame` turns bytes into requests and replies into bytes, `command` requests into operations on sessions, `connection` runs those of one
//! client, `server` owns the listeners.

mod bell;
mod clients;
mod command;
mod connection;
mod context;
mod frame;
#[cfg(fuzzing)]
pub mod fuzzing;
mod idle;
mod moment;
mod notify;
mod output;
mod pause;
mod script;
// The fuzz targets, which are made of this folder, have no sockets.
#[cfg(not(fuzzing))]
mod server;
mod settings;
#[cfg(not(fuzzing))]
mod stream;
mod subscriptions;
mod tally;
mod users;
mod window;

use bytes::Bytes;
use holdfast_core::engine::{Load, NotTogether};
use holdfast_core::{Command, CommandError, Reply, ScanPage};
use tokio::sync::broadcast;

pub use crate::begun::Begun;
use crate::broadcast::Broadcast;

pub(crate) use context::REDIS_VERSION;
#[cfg(not(fuzzing))]
pub use server::{Server, ServerError};
pub use settings::Settings;
pub use users::{Users, UsersError};

/// The longest key, in bytes. Names of sessions are far shorter; the limit bounds a page of a scan, and what is kept beside the values.
pub const MAX_KEY: usize = 16 << 10;

/// The sessions of the whole cluster, as the front door needs them.
pub trait Sessions: Clone + Send + Sync + 'static {
    /// Runs one command on one session, wherever in the cluster it is. It begins with the first poll and goes on without being polled again. Always ends:
    /// what cannot be done in time is answered with an error.
    fn execute(&self, key: Bytes, command: Command) -> impl Future<Output = Reply> + Send;

    /// The same; where nobody has to be waited for, there is no future either.
    fn begin(&self, key: Bytes, command: Command) -> Begun<impl Future<Output = Reply> + Send + 'static> {
        let sessions = self.clone();
        Begun::Waits(async move { sessions.execute(key, command).await })
    }

    /// Runs commands on several keys as one step, if this member owns all of them and each of `expected` has that fingerprint.
    fn execute_together(
        &self,
        commands: Vec<(Bytes, Command)>,
        expected: &[(Bytes, u128)],
    ) -> impl Future<Output = Result<Vec<Reply>, NotTogether>> + Send;

    /// The same; keys that nobody has come to be owned by this member first, where keys have owners.
    fn execute_gathered(
        &self,
        commands: Vec<(Bytes, Command)>,
        expected: &[(Bytes, u128)],
    ) -> impl Future<Output = Result<Vec<Reply>, NotTogether>> + Send {
        self.execute_together(commands, expected)
    }

    /// One step of a scan over all keys: 0 to begin, then the cursor of the page before. `count` is a wish.
    fn scan(&self, cursor: u64, count: usize) -> impl Future<Output = Result<ScanPage, CommandError>> + Send;

    /// Tells clients of all members what one of them publishes; each member at most once.
    ///
    /// # Errors
    /// When nobody is told: this member is not in the view, or another one takes nothing.
    fn publish(&self, channel: Bytes, payload: Bytes) -> Result<(), CommandError>;

    /// From now on this member hears of what happens to keys, as far as it belongs to these classes ([`holdfast_core::NoticeClass::bit`]).
    fn want_notices(&self, classes: u16);

    /// Listens to what is told to many; `None` if the member has ended.
    fn listen(&self) -> Option<broadcast::Receiver<Broadcast>>;

    /// What this member is and holds. Waits for nobody, because `INFO` must not.
    fn counts(&self) -> Counts;
}

/// What a member is and holds, for `INFO`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Whether it is in the view, so that commands can be carried out.
    pub joined: bool,
    /// Where it is on its way: `Joining`, `Accepting`, `Draining` or `Drained`.
    pub phase: String,
    /// The epoch of its view; 0 before the first.
    pub epoch: u64,
    /// How many members that view has.
    pub members: usize,
    /// How many keepers each session has in it.
    pub copies: u8,
    /// How many sessions it owns.
    pub owned: u64,
    /// How many sessions of others it keeps.
    pub kept: u64,
    /// What sessions and copies take and may take here.
    pub load: Load,
}
