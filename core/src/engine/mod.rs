//! One member of the cluster as a state machine: bytes, answers of the arbiter, commands and the time go in, [`Output`]s come out. It has no
//! sockets, threads, clock or randomness, so the same schedule gives the same history.
//!
//! Methods are of four kinds:
//! - `handle_*` tell it what happened; each takes the time,
//! - `execute`, `scan`, `drain` and `finish` ask it for something,
//! - [`Engine::poll_output`] says what is to be done; call it after each of the above until it returns nothing,
//! - `status`, `view`, `session` only look.
//!
//! [`Engine::handle_tick`] has to be called every [`TICK`] milliseconds.
//!
//! The rules that it follows have numbers, R1 to R18; docs/protocol.md states them.

mod adopt;
mod approach;
mod broadcast;
mod broken;
mod capacity;
mod client;
mod connections;
mod degraded;
mod detector;
mod direct;
mod follow;
mod home;
mod keeper;
mod lease;
mod link;
mod membership;
mod owner;
mod receive;
mod record;
mod scan;
mod sessions;
mod settle;
mod status;
mod stream;
mod takeover;
mod together;
mod transfer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::Millis;
use crate::command::{Key, Reply};
use crate::placement::Layout;
use crate::scan::ScanPage;
use crate::value::Notice;
use crate::view::{Member, MemberSet, NodeId, Version, View};
use crate::wire::WIRE_VERSIONS;

pub use broken::BrokenRule;
pub use capacity::Load;
pub use link::ConnId;
pub use membership::SwapOutcome;
pub use status::{LaneStatus, LinkCounters, LinkStatus, MemberPhase, Queues, SessionStatus, Status};
pub use together::NotTogether;

use client::ClientCommand;
use detector::Health;
use home::{Pointer, Queued, Transfer};
use lease::Leases;
use link::Connection;
use membership::Membership;
use record::Slot;
use scan::ScanRequest;
use sessions::Sessions;
use settle::Sweep;
use stream::Link;

/// How often the engine wants to be told the time, in milliseconds.
pub const TICK: Millis = 20;

/// How many sessions are looked at in one go, where all of them have to be: a million of them must not keep anything else waiting.
const STEP: usize = 256;

/// What does not change in the life of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The cluster's name: members of other clusters are refused.
    pub cluster: String,
    /// The name of this pod, which is its route.
    pub name: String,
    /// The UID of this pod.
    pub pod_uid: String,
    /// How many keepers each session gets if this member founds the first view.
    pub copies: u8,
    /// How long a command may take, in milliseconds.
    pub ack_timeout: Millis,
    /// How often a link carries a sign of life, in milliseconds.
    pub heartbeat_interval: Millis,
    /// After how much silence a member is suspected, in milliseconds.
    pub failure_timeout: Millis,
    /// How long a joiner waits to be filled before it counts all the same, in milliseconds.
    pub state_transfer_timeout: Millis,
    /// The largest value, in bytes.
    pub max_bytes: u64,
    /// How much may wait to be acknowledged by one member before new writes are refused, in bytes.
    pub queue_bytes: u64,
    /// How many commands of this member's clients may wait at once.
    pub max_commands: usize,
    /// When a write is answered.
    pub acknowledge: Acknowledge,
    /// What becomes of writes while a session has fewer copies than it should.
    pub on_under_replicated: OnUnderReplicated,
    /// How many connections share the stream to each member.
    pub connections: u8,
    /// Whether frames to members that can read it are compressed.
    pub compression: Compression,
    /// How fast copies are sent in the background after a change of members, in bytes per second from each member; 0 is as fast as it goes.
    pub transfer_rate: u64,
    /// Patterns ([`crate::glob`]) of the keys that are sessions and move with their users; all keys are if there are none. Others belong to their homes.
    pub session_keys: Vec<Bytes>,
    /// How much memory sessions and copies may take here, in bytes.
    pub memory: Option<u64>,
    /// How many sessions there may be in the whole cluster.
    pub max_active: Option<u64>,
}

impl Config {
    /// A member of this cluster in this pod. All else is what the resource has where it says nothing, and as many commands at once as a member carries
    /// out within a second, at 50 microseconds each.
    pub fn new(cluster: impl Into<String>, name: impl Into<String>, pod_uid: impl Into<String>) -> Config {
        Config {
            cluster: cluster.into(),
            name: name.into(),
            pod_uid: pod_uid.into(),
            copies: 1,
            ack_timeout: 5_000,
            heartbeat_interval: 250,
            failure_timeout: 2_000,
            state_transfer_timeout: 60_000,
            max_bytes: 1 << 20,
            queue_bytes: 64 << 20,
            max_commands: 16 << 10,
            acknowledge: Acknowledge::default(),
            on_under_replicated: OnUnderReplicated::default(),
            connections: 1,
            compression: Compression::default(),
            transfer_rate: 0,
            session_keys: Vec::new(),
            memory: None,
            max_active: None,
        }
    }
}

/// When a write is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// When all holders have applied it.
    #[default]
    Applied,
    /// When all holders have received it.
    Received,
    /// At once. An owner that fails takes with it what was still on its way.
    None,
}

/// What becomes of writes while a session has fewer copies than it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnderReplicated {
    /// They wait, and end with an error after `ack_timeout`.
    #[default]
    Wait,
    /// Members that have been suspected for half of `ack_timeout` are no longer waited for, and are evicted even without a budget.
    Accept,
    /// They are refused at once.
    Reject,
}

/// How frames are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// LZ4, where it makes a frame smaller.
    Lz4,
}

/// What the engine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes on this connection, after all that was given before.
    Send {
        /// The connection.
        conn: ConnId,
        /// One encoded frame.
        bytes: Bytes,
    },
    /// Send what was given before, then close this connection.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// Connect to this member, within about a second, and tell [`Engine::handle_connected`] or [`Engine::handle_dial_failed`]. The engine asks
    /// again, at growing intervals, as long as it has no connection.
    Dial {
        /// The member.
        peer: NodeId,
        /// The name of its pod.
        name: String,
    },
    /// Read the arbiter linearizably and tell [`Engine::handle_register`], or [`Engine::handle_arbiter_unreachable`].
    ReadView,
    /// Replace the view in the arbiter if its version is `expected`, and tell [`Engine::handle_swap`].
    SwapView {
        /// The version to be replaced.
        expected: Version,
        /// The new view.
        view: View,
    },
    /// Look for proof that this member is dead, and if there is any, tell [`Engine::handle_proof_of_death`].
    SeekProof {
        /// The member.
        member: Member,
        /// The name of its pod.
        name: String,
        /// The UID of its pod.
        pod_uid: String,
    },
    /// The answer to [`Engine::execute`].
    Reply {
        /// As given there.
        request: u64,
        /// The answer.
        reply: Reply,
    },
    /// The answer to [`Engine::scan`]; an error means that the view did not settle in time.
    ScanReply {
        /// As given there.
        request: u64,
        /// The page.
        page: Result<ScanPage, crate::command::CommandError>,
    },
    /// A client somewhere in the cluster has published this.
    Published {
        /// Where.
        channel: Bytes,
        /// What.
        payload: Bytes,
    },
    /// Something happened to a key, of a class that is wanted here.
    Noticed {
        /// The key.
        key: Key,
        /// What happened.
        notice: Notice,
    },
    /// The view changed.
    ViewChanged(Arc<View>),
    /// This member was evicted, has dropped everything and joins anew under this incarnation. All its connections are to be closed.
    Reset {
        /// Who it is now.
        member: Member,
    },
    /// This member has left; the engine does nothing any more.
    Left,
    /// Something to be logged and counted.
    Event(Event),
}

/// What operators of a cluster want to know about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A member is suspected.
    Suspected {
        /// Who.
        member: Member,
        /// Since when it is silent, in milliseconds.
        silent: Millis,
    },
    /// This member proposes to evict another.
    Evicting {
        /// Who.
        member: Member,
        /// Whether its death is proven.
        proven: bool,
    },
    /// All members of this epoch have reported.
    BarrierPassed {
        /// The epoch.
        epoch: u64,
        /// Orphans that this member took over.
        taken: usize,
        /// Orphans that it appointed others for.
        appointed: usize,
    },
    /// The time to live of a session is over, and all copies know. Said once in the whole cluster, unless its owner fails just then.
    Expired {
        /// The session.
        key: Key,
    },
    /// A member that takes nothing misses what happened to keys.
    NoticesLost {
        /// Who.
        to: Member,
        /// How many.
        count: usize,
    },
    /// An invariant does not hold; the message was ignored.
    Alarm(String),
}

/// One member. See the [module's documentation](self).
pub struct Engine {
    config: Config,
    broken: broken::Broken,
    me: Member,
    now: Millis,
    outputs: VecDeque<Output>,
    view: Option<Arc<View>>,
    layout: Layout,
    membership: Membership,

    sessions: Sessions,
    /// How many sessions are looked at in one go.
    step: usize,
    /// Where the reports of this epoch go on; `None` when all are given.
    reporting: Option<u64>,
    sweep: Sweep,
    /// Where a leaving member goes on looking for what it owns.
    leaving: u64,
    /// Terms are a Lamport clock (R6).
    clock: u64,

    pointers: BTreeMap<Slot, Pointer>,
    /// Pointers from before the barrier, of ranges that this member went on serving (R12).
    old_pointers: BTreeMap<Slot, Pointer>,
    transfers: BTreeMap<Key, Transfer>,
    /// Commands that wait at this home until it knows who owns their session.
    homeq: BTreeMap<Key, Vec<Queued>>,

    synced: MemberSet,
    barrier: bool,
    /// The Full members of each view since the last completed barrier: a range whose home is the same in all of them is served on.
    unbroken: Vec<MemberSet>,
    /// What was reported of sessions whose owner this home has not found out.
    reports: BTreeMap<Slot, Vec<(Member, crate::wire::Report)>>,
    /// From the barrier on until all owners are found out: how many sessions this home took over itself, and how many it appointed others for.
    resolved: Option<(usize, usize)>,
    confirms: MemberSet,
    confirmed: bool,

    health: Health,
    leases: Leases,
    /// Members that are no longer waited for.
    given_up: MemberSet,
    links: BTreeMap<NodeId, Link>,
    conns: BTreeMap<ConnId, Connection>,
    /// What links to members that are not in the view have done.
    ended_links: BTreeMap<NodeId, LinkCounters>,
    /// The wire versions that it speaks.
    versions: (u16, u16),
    /// How many bytes go on one of several connections before the next ones go on another.
    stripe: u64,

    commands: BTreeMap<u64, ClientCommand>,
    /// Deadlines of commands, in the order of their arrival.
    command_deadlines: VecDeque<(Millis, u64)>,
    /// Commands that are to be routed again.
    idle: BTreeSet<u64>,
    scans: BTreeMap<u64, ScanRequest>,

    /// The classes of notices that clients of this member want, and those that anybody wants.
    interest: u16,
    wanted_notices: u16,
}

impl Engine {
    /// A member that has just started. `me.incarnation` must be new, and leave room to count up from it.
    pub fn new(config: Config, me: Member, now: Millis) -> Engine {
        Engine {
            config,
            broken: broken::Broken::default(),
            me,
            now,
            outputs: VecDeque::new(),
            view: None,
            layout: Layout::default(),
            membership: Membership::new(now),
            sessions: Sessions::default(),
            step: STEP,
            reporting: None,
            sweep: Sweep::new(now),
            leaving: 0,
            clock: 0,
            pointers: BTreeMap::new(),
            old_pointers: BTreeMap::new(),
            transfers: BTreeMap::new(),
            homeq: BTreeMap::new(),
            synced: MemberSet::EMPTY,
            barrier: false,
            unbroken: Vec::new(),
            reports: BTreeMap::new(),
            resolved: None,
            confirms: MemberSet::EMPTY,
            confirmed: false,
            health: Health::default(),
            leases: Leases::default(),
            given_up: MemberSet::EMPTY,
            links: BTreeMap::new(),
            conns: BTreeMap::new(),
            ended_links: BTreeMap::new(),
            versions: WIRE_VERSIONS,
            stripe: stream::STRIPE,
            commands: BTreeMap::new(),
            command_deadlines: VecDeque::new(),
            idle: BTreeSet::new(),
            scans: BTreeMap::new(),
            interest: 0,
            wanted_notices: 0,
        }
    }

    /// The same, announcing other wire versions than this build speaks: for trying what it does among newer and older ones.
    pub fn with_versions(self, versions: (u16, u16)) -> Engine {
        Engine { versions, ..self }
    }

    /// The same, looking at so many sessions in one go: for trying what happens between the steps.
    pub fn with_step(self, step: usize) -> Engine {
        Engine { step, ..self }
    }

    /// The same, with another number of bytes that go on one of several connections before the next ones go on another: for trying what it does with
    /// messages that overtake each other.
    pub fn with_stripe(self, stripe: u64) -> Engine {
        Engine { stripe, ..self }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.send_receipts();
        }
        self.outputs.pop_front()
    }

    /// The answer to the command that was just given to [`Engine::execute`], if it waited for nobody: it is the first thing to be done then.
    pub fn poll_reply(&mut self, request: u64) -> Option<Reply> {
        let answers = |output: &mut Output| matches!(output, Output::Reply { request: answered, .. } if *answered == request);
        match self.outputs.pop_front_if(answers) {
            Some(Output::Reply { reply, .. }) => Some(reply),
            _ => None,
        }
    }

    /// Time has passed.
    pub fn handle_tick(&mut self, now: Millis) {
        self.detect_own_pause(now);
        self.now = now;
        self.release_reports();
        self.expire_due();
        self.sweep.earn(self.config.transfer_rate, now);
        // However many live writes there are, it goes on.
        self.work_within(u64::MAX, settle::WINDOW.max(self.config.queue_bytes / 2));
        self.sweep_tombstones();
        self.hand_off_when_leaving();
        self.route_idle();
        self.time_out_commands();
        self.retry_scans();
        self.tell_load();
        self.tick_links();
        self.detect_failures();
        self.find_given_up();
        self.drive_membership();
    }

    /// Does the next step of what a change of members has left to be done for all sessions, and says whether there is more that could be done now. Each
    /// tick does one too; whoever calls this whenever nothing else waits is done sooner.
    pub fn work(&mut self, now: Millis) -> bool {
        self.now = now;
        self.work_within(settle::WINDOW, settle::WINDOW)
    }

    /// Whether a change of members has left anything to be done here.
    pub fn has_work(&self) -> bool {
        self.reporting.is_some() || self.resolved.is_some() || self.sweep.is_under_way()
    }

    /// So long as no more bytes than this wait to be acknowledged by any one member: for what is said about sessions, and for sessions themselves.
    fn work_within(&mut self, words: u64, values: u64) -> bool {
        self.report_some(words);
        self.resolve_some(words);
        let can_sweep = self.sweep_some(values);
        self.confirm();
        let can_report = (self.reporting.is_some() || self.resolved.is_some()) && self.has_room(words);
        can_report || can_sweep
    }

    fn out(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn alarm(&mut self, text: String) {
        self.out(Output::Event(Event::Alarm(text)));
    }

    /// The view, of a member that is in one.
    fn current(&self) -> Option<Arc<View>> {
        self.view.clone()
    }
}
