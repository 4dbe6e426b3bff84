//! The engine and what it acts through, behind one lock. Whoever has something to tell the engine calls it here, from its own task, and what the engine
//! wants is carried out before the call returns: replies are handed to those who wait, and frames are put into the queues of their connections. So a
//! command costs no hop to another task, and a write that waits for its keepers costs one, back to the connection it came from.
//!
//! Nothing that is done under the lock waits for anything, so that no slow peer, arbiter or client can hold up another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_core::engine::{ConnId, Engine, NotTogether, SwapOutcome, TICK};
use holdfast_core::wire::{Frame, Message};
use holdfast_core::{Command, CommandError, Member, Millis, Place, Reply, ScanPage};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::info;

use super::meters::{Meters, Started};
use super::observe::Observer;
use super::{MemberSettings, Question, Witness};
use crate::arbiter::{Arbiter, Shown};
use crate::begun::Begun;
use crate::broadcast::{Broadcast, Teller, teller};
use crate::clock::Clock;
use crate::links::{ConnHandle, LinkEvent, Links};
use crate::proof::Prover;
use crate::status::Status;

/// How often metrics are brought up to date.
const GAUGES: Duration = Duration::from_secs(1);

/// What the tasks beside the engine have found out.
#[derive(Debug)]
pub(super) enum News {
    /// The answer to `Output::ReadView`; `None` if there was none.
    Register(Option<Shown>),
    /// The answer to `Output::SwapView`.
    Swapped(SwapOutcome),
    /// What the arbiter showed by itself.
    Watched(Shown),
    /// Where this member runs.
    Place(Place),
    /// A member is dead beyond doubt.
    Dead(Member),
}

/// Answers that clients wait for.
#[derive(Debug)]
pub(super) enum Waiting {
    Command { started: Started, reply: oneshot::Sender<Reply> },
    Scan { reply: oneshot::Sender<Result<ScanPage, CommandError>> },
}

/// Reaches the engine. It outlives the member; then nobody is at home.
#[derive(Clone, Debug)]
pub(crate) struct CoreHandle {
    core: Arc<Mutex<Option<Core>>>,
}

impl CoreHandle {
    /// The place of an engine that is yet to come.
    pub(crate) fn empty() -> Self {
        Self { core: Arc::default() }
    }

    /// Puts the engine there. Who has something to tell it waits while it is being made.
    pub(super) fn fill<T>(&self, make: impl FnOnce() -> (Core, T)) -> T {
        let mut place = self.core.lock().expect(UNBROKEN);
        let (core, rest) = make();
        *place = Some(core);
        rest
    }

    /// Takes it away, and with it all connections of this member and all answers that are still waited for.
    pub(super) fn clear(&self) {
        // Dropped after the lock is free: tasks that end with it may be about to take it.
        let _core = self.core.lock().expect(UNBROKEN).take();
    }

    /// Tells the engine something, and carries out what follows. `None` if the member has ended.
    pub(super) fn tell<T>(&self, tell: impl FnOnce(&mut Core) -> T) -> Option<T> {
        let mut core = self.core.lock().expect(UNBROKEN);
        let core = core.as_mut()?;
        let told = tell(core);
        core.carry_out();
        Some(told)
    }

    /// Something happened on the links. False if the member has ended.
    pub(crate) fn link(&self, event: LinkEvent) -> bool {
        self.tell(|core| core.link(event)).is_some()
    }

    /// Begins a command; `None` if the member has ended. The sender of an answer is dropped if the member ends before it answers.
    pub(crate) fn execute(&self, key: Bytes, command: Command) -> Option<Begun<oneshot::Receiver<Reply>>> {
        self.tell(|core| core.execute(key, command))
    }

    /// Begins commands on several keys as one step, if this member owns all of them.
    pub(crate) fn execute_together(
        &self,
        commands: Vec<(Bytes, Command)>,
        expected: &[(Bytes, u128)],
    ) -> Result<Vec<oneshot::Receiver<Reply>>, NotTogether> {
        self.tell(|core| core.execute_together(commands, expected)).unwrap_or(Err(NotTogether::Apart))
    }

    /// Which of these keys have to be claimed before that; `None` if it is of no use.
    pub(crate) fn to_claim(&self, keys: &[Bytes]) -> Option<Vec<Bytes>> {
        self.tell(|core| core.engine.to_claim(keys.iter())).flatten()
    }

    /// Tells all members what a client publishes.
    pub(crate) fn publish(&self, channel: Bytes, payload: Bytes) -> Result<(), CommandError> {
        let publish = |core: &mut Core| {
            let now = core.now();
            core.engine.publish(now, channel, payload)
        };
        self.tell(publish).unwrap_or(Err(CommandError::NotJoined))
    }

    /// Says which notices are wanted here.
    pub(crate) fn want_notices(&self, classes: u16) {
        // A member that has ended notices nothing.
        let _ = self.tell(|core| {
            let now = core.now();
            core.engine.want_notices(now, classes);
        });
    }

    /// Listens to what is told to many; `None` if the member has ended.
    pub(crate) fn listen(&self) -> Option<broadcast::Receiver<Broadcast>> {
        self.tell(|core| core.teller.subscribe())
    }

    /// Begins a step of a scan.
    pub(crate) fn scan(&self, cursor: u64, count: usize) -> Option<oneshot::Receiver<Result<ScanPage, CommandError>>> {
        self.tell(|core| core.scan(cursor, count))
    }
}

/// A panic while the lock is held ends the process; in a test, it is to be seen.
const UNBROKEN: &str = "nothing panics in the engine";

/// The engine and what it acts through. Dropping it ends all of that.
pub(crate) struct Core {
    pub(super) engine: Engine,
    clock: Clock,
    last_tick: Millis,
    pub(super) arbiter: Arc<dyn Arbiter>,
    pub(super) prover: Arc<dyn Prover>,
    /// How many copies were asked for last.
    copies: Option<u8>,

    pub(super) links: Links,
    pub(super) conns: BTreeMap<ConnId, ConnHandle>,
    /// Connections with frames that were put into their queues in this turn.
    pub(super) to_flush: Vec<ConnId>,

    pub(super) waiting: BTreeMap<u64, Waiting>,
    last_request: u64,

    /// Where the tasks below run, whoever starts them.
    pub(super) runtime: Handle,
    pub(super) tasks: JoinSet<()>,
    pub(super) tell: mpsc::Sender<News>,
    pub(super) teller: Teller,

    status: watch::Sender<Status>,
    pub(super) witness: Arc<dyn Witness>,
    pub(super) observer: Observer,
    pub(super) meters: Meters,
    gauges_at: Instant,
    pub(super) has_left: bool,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("member", &self.engine.member()).finish_non_exhaustive()
    }
}

impl Core {
    pub(super) fn new(
        settings: &MemberSettings,
        member: Member,
        links: Links,
        arbiter: Arc<dyn Arbiter>,
        prover: Arc<dyn Prover>,
        witness: Arc<dyn Witness>,
        tell: mpsc::Sender<News>,
    ) -> (Self, watch::Receiver<Status>) {
        #[cfg_attr(not(feature = "broken-rules"), expect(unused_mut, reason = "an engine whose rules are all kept is ready as it is"))]
        let mut engine = Engine::new(settings.engine.clone(), member, 0);
        #[cfg(feature = "broken-rules")]
        break_rule(&mut engine);
        let (status, shown) = watch::channel(Status::from(engine.status()));
        let core = Self {
            engine,
            clock: Clock::start(),
            last_tick: 0,
            arbiter,
            prover,
            copies: None,
            links,
            conns: BTreeMap::new(),
            to_flush: Vec::new(),
            waiting: BTreeMap::new(),
            last_request: 0,
            runtime: Handle::current(),
            tasks: JoinSet::new(),
            tell,
            teller: teller(),
            status,
            witness,
            observer: Observer::new(),
            meters: Meters::new(),
            gauges_at: Instant::now(),
            has_left: false,
        };
        (core, shown)
    }

    /// The time. After a pause, whatever its reason, the engine hears of the time before it hears of anything else: it must not take its own
    /// silence for that of others.
    pub(super) fn now(&mut self) -> Millis {
        let now = self.clock.now();
        if now >= self.last_tick + TICK {
            self.last_tick = now;
            self.engine.handle_tick(now);
        }
        now
    }

    /// A step of what a change of members has left to do; says whether there is more that could be done now.
    pub(super) fn work(&mut self) -> bool {
        let now = self.now();
        self.engine.work(now)
    }

    /// Called every [`TICK`] milliseconds.
    pub(super) fn tick(&mut self) {
        self.now();
        while self.tasks.try_join_next().is_some() {}
        let status = self.show_status();
        if self.gauges_at.elapsed() >= GAUGES {
            self.gauges_at = Instant::now();
            let queued = self.conns.values().map(ConnHandle::queued).sum();
            self.meters.publish();
            self.observer.gauges(&status, &self.engine.status().links, queued);
        }
    }

    pub(super) fn show_status(&mut self) -> Status {
        let status = Status::from(self.engine.status());
        self.observer.phase(&status);
        self.status.send_if_modified(|shown| {
            let changed = *shown != status;
            if changed {
                shown.clone_from(&status);
            }
            changed
        });
        status
    }

    pub(super) fn answer(&mut self, question: Question) {
        let now = self.now();
        // Whoever asked may have given up; then nobody misses the answer.
        match question {
            Question::Drain => self.engine.drain(now),
            Question::Finish => self.engine.finish(now),
            Question::Session { key, reply } => drop(reply.send(self.engine.session(&key))),
            Question::Links { reply } => drop(reply.send(self.engine.status().links)),
        }
    }

    pub(super) fn hear(&mut self, news: News) {
        let now = self.now();
        match news {
            News::Register(Some(shown)) => {
                self.wanted(now, shown.copies);
                self.engine.handle_register(now, shown.view);
            }
            News::Register(None) => self.engine.handle_arbiter_unreachable(now),
            News::Swapped(outcome) => self.engine.handle_swap(now, outcome),
            News::Watched(shown) => {
                self.wanted(now, shown.copies);
                self.engine.handle_watched(now, shown.view);
            }
            News::Place(place) => self.engine.handle_place(now, place),
            News::Dead(member) => self.engine.handle_proof_of_death(now, member),
        }
    }

    /// Before the view that it was shown with: whoever founds the first one founds it with that.
    fn wanted(&mut self, now: Millis, copies: Option<u8>) {
        if let Some(copies) = copies.filter(|copies| self.copies != Some(*copies)) {
            info!(copies, "copies of each session that are asked for");
            self.copies = Some(copies);
            self.engine.handle_copies(now, copies);
        }
    }

    fn link(&mut self, event: LinkEvent) {
        let now = self.now();
        match event {
            LinkEvent::Opened { conn, dialed, handle } => {
                self.conns.insert(conn, handle);
                self.engine.handle_connected(now, conn, dialed);
            }
            LinkEvent::DialFailed { peer, refused } => self.engine.handle_dial_failed(now, peer, refused),
            // What a connection said before it was closed here counts for nothing any more.
            LinkEvent::Received { conn, .. } if !self.conns.contains_key(&conn) => {}
            LinkEvent::Received { conn, frames } => {
                self.engine.handle_heard(now, conn);
                for frame in frames {
                    if let Frame::Data { message: Message::Forward { .. }, .. } = &frame {
                        self.meters.forwarded_here.increment(1);
                    }
                    self.engine.handle_frame(now, conn, frame);
                }
                // What the peer has acknowledged made room for more.
                if self.engine.has_work() {
                    self.engine.work(now);
                }
            }
            LinkEvent::Closed { conn } => {
                if self.conns.remove(&conn).is_some() {
                    self.engine.handle_disconnected(now, conn);
                }
            }
        }
    }

    fn execute(&mut self, key: Bytes, command: Command) -> Begun<oneshot::Receiver<Reply>> {
        self.meters.count(&command);
        let is_read = command.is_read_only();
        let (now, number) = (self.now(), self.number());
        self.engine.execute(now, number, key, command);
        if let Some(reply) = self.engine.poll_reply(number) {
            Meters::look_for_error(&reply);
            return Begun::Answered(reply);
        }
        let (reply, answer) = oneshot::channel();
        self.waiting.insert(number, Waiting::Command { started: Started::now(is_read), reply });
        Begun::Waits(answer)
    }

    fn execute_together(
        &mut self,
        commands: Vec<(Bytes, Command)>,
        expected: &[(Bytes, u128)],
    ) -> Result<Vec<oneshot::Receiver<Reply>>, NotTogether> {
        let now = self.now();
        let mut answers = Vec::with_capacity(commands.len());
        let mut numbered = Vec::with_capacity(commands.len());
        for (key, command) in commands {
            let (reply, answer) = oneshot::channel();
            self.meters.count(&command);
            let (started, number) = (Started::now(command.is_read_only()), self.number());
            self.waiting.insert(number, Waiting::Command { started, reply });
            numbered.push((number, key, command));
            answers.push(answer);
        }
        let numbers: Vec<u64> = numbered.iter().map(|(number, ..)| *number).collect();
        let begun = self.engine.execute_together(now, numbered, expected);
        if begun.is_err() {
            numbers.iter().for_each(|number| drop(self.waiting.remove(number)));
        }
        begun.map(|()| answers)
    }

    fn scan(&mut self, cursor: u64, count: usize) -> oneshot::Receiver<Result<ScanPage, CommandError>> {
        let (reply, answer) = oneshot::channel();
        let (now, number) = (self.now(), self.number());
        self.waiting.insert(number, Waiting::Scan { reply });
        self.engine.scan(now, number, cursor, u32::try_from(count).unwrap_or(u32::MAX));
        answer
    }

    fn number(&mut self) -> u64 {
        self.last_request += 1;
        self.last_request
    }
}

/// Breaks the rule that was named when this was built.
#[cfg(feature = "broken-rules")]
fn break_rule(engine: &mut Engine) {
    if let Some(rule) = option_env!("HOLDFAST_BREAK").and_then(holdfast_core::engine::BrokenRule::named) {
        tracing::error!(?rule, "this runtime breaks a rule of the replication: it is for tests only");
        engine.break_rule(rule);
    }
}
