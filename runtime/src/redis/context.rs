//! What all connections share, and what the commands of one connection see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use super::clients::{Client, Clients};
use super::command::commands;
use super::notify::Notify;
use super::output::Pool;
use super::pause::Pause;
use super::script::{Registry, Workers};
use super::settings::Settings;
use super::subscriptions::Subscriptions;

/// The Redis version whose replies and texts are served, and which is told to clients.
pub(crate) const REDIS_VERSION: &str = "7.0.15";

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Front {
    /// As given; the address is the one that was bound.
    pub(crate) settings: Settings,
    /// When it began.
    pub(crate) started: Instant,
    /// Tells one life of this process from another.
    pub(crate) run_id: String,
    /// The connections there are.
    pub(crate) clients: Clients,
    /// Memory for replies that wait to be read.
    pub(crate) pool: Pool,
    /// The scripts that clients have sent.
    pub(crate) scripts: Registry,
    /// Where scripts run.
    pub(crate) workers: Workers,
    /// Who listens to what is published.
    pub(crate) subscriptions: Subscriptions,
    /// What they are told of what happens to keys.
    pub(crate) notify: Notify,
    /// After how many seconds a client that asks nothing is closed; 0 is never.
    pub(crate) timeout: AtomicU64,
    /// Seconds since the front door was opened, as far as idle clients are concerned.
    pub(crate) clock: AtomicU64,
    /// Whether clients have to wait, because one of them says so.
    pub(crate) pause: Pause,
    /// For `INFO` and the metrics.
    pub(crate) statistics: Statistics,
}

impl Front {
    pub(crate) fn new(settings: Settings) -> Front {
        Front {
            clients: Clients::new(settings.max_clients),
            timeout: AtomicU64::new(settings.timeout),
            clock: AtomicU64::new(0),
            settings,
            started: Instant::now(),
            run_id: format!("{:032x}{:08x}", rand::random::<u128>(), rand::random::<u32>()),
            pool: Pool::default(),
            scripts: Registry::default(),
            workers: Workers::default(),
            subscriptions: Subscriptions::default(),
            notify: Notify::default(),
            pause: Pause::default(),
            statistics: Statistics::new(),
        }
    }
}

/// Counts since the start.
#[derive(Debug)]
pub(crate) struct Statistics {
    /// Connections taken.
    pub(crate) accepted: AtomicU64,
    /// Connections turned away.
    pub(crate) rejected: AtomicU64,
    /// Commands read.
    pub(crate) commands: AtomicU64,
    /// The same as metrics, commands in the order of [`commands`].
    pub(crate) commands_by_name: Vec<Counter>,
    /// Requests that are no command.
    pub(crate) unknown: Counter,
    /// Answers that were an error.
    pub(crate) errors: Counter,
    /// Connections there are.
    pub(crate) connected: Gauge,
    /// As `rejected`.
    pub(crate) rejections: Counter,
    /// Messages that no client got because this front door fell behind.
    pub(crate) missed: Counter,
}

impl Statistics {
    fn new() -> Statistics {
        describe_counter!("holdfast_redis_commands_total", "Commands that came over the Redis protocol, by name");
        describe_counter!("holdfast_redis_errors_total", "Commands over the Redis protocol that were answered with an error");
        describe_counter!("holdfast_redis_rejected_connections_total", "Connections over the Redis protocol beyond the limit");
        describe_counter!("holdfast_redis_missed_messages_total", "Published messages and notifications that this member's clients missed");
        describe_gauge!("holdfast_redis_connections", "Open connections over the Redis protocol");
        Statistics {
            accepted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            commands_by_name: commands().iter().map(|spec| counter!("holdfast_redis_commands_total", "command" => spec.name)).collect(),
            unknown: counter!("holdfast_redis_commands_total", "command" => "unknown"),
            errors: counter!("holdfast_redis_errors_total"),
            connected: gauge!("holdfast_redis_connections"),
            rejections: counter!("holdfast_redis_rejected_connections_total"),
            missed: counter!("holdfast_redis_missed_messages_total"),
        }
    }
}

/// What the commands of one connection see.
pub(crate) struct Context<S> {
    /// The sessions.
    pub(crate) sessions: S,
    /// What all connections share.
    pub(crate) front: Arc<Front>,
    /// This connection.
    pub(crate) client: Arc<Client>,
}

impl<S> Context<S> {
    /// Whether the client has to say first who it is.
    pub(crate) fn is_stranger(&self) -> bool {
        self.front.settings.users.is_some() && self.client.state().user.is_none()
    }

    /// The client has sent something.
    pub(crate) fn touch(&self) {
        self.client.touch(self.front.clock.load(Relaxed));
    }
}
