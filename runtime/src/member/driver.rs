//! The task that owns the engine: it tells it what happens, in the order in which it happens, and carries out what it wants. It never waits for
//! anything but the next event, so that no slow peer, arbiter or client can hold up another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_core::engine::{ConnId, Engine, Output, SwapOutcome, TICK};
use holdfast_core::wire::{Frame, Message};
use holdfast_core::{CommandError, Member, MemberState, Millis, Place, Reply, ScanPage};
use holdfast_process::health::Pulse;
use metrics::counter;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

use super::meters::{Meters, Started};
use super::observe::Observer;
use super::{MemberSettings, Question, Surroundings};
use crate::arbiter::{Arbiter, Shown, Swap};
use crate::clock::Clock;
use crate::links::{ConnHandle, EVENTS, LinkEvent, Links};
use crate::place::{Locator, follow};
use crate::proof::Prover;
use crate::session::Request;
use crate::status::Status;

/// How many events are told to the engine before its outputs are carried out: what they cause leaves together.
const BATCH: usize = 256;

/// The same, for events that cost more.
const BATCH_TIME: Duration = Duration::from_millis(2);

/// How often metrics are brought up to date.
const GAUGES: Duration = Duration::from_secs(1);

/// Without a turn for so long, the task hangs, and the process should be started again.
const HANGS: Duration = Duration::from_secs(10);

/// How long the last frames may take to leave when this member has left.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What the tasks beside this one have found out.
#[derive(Debug)]
enum News {
    /// The answer to [`Output::ReadView`]; `None` if there was none.
    Register(Option<Shown>),
    /// The answer to [`Output::SwapView`].
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
enum Waiting {
    Command { started: Started, reply: oneshot::Sender<Reply> },
    Scan { reply: oneshot::Sender<Result<ScanPage, CommandError>> },
}

/// Owns the engine and everything that runs for it. Dropping it ends all of that.
pub(super) struct Driver {
    engine: Engine,
    clock: Clock,
    last_tick: Millis,
    arbiter: Arc<dyn Arbiter>,
    prover: Arc<dyn Prover>,
    locator: Option<Arc<dyn Locator>>,
    /// How many copies were asked for last.
    copies: Option<u8>,

    links: Links,
    link_events: mpsc::Receiver<LinkEvent>,
    conns: HashMap<ConnId, ConnHandle>,

    requests: mpsc::Receiver<Request>,
    questions: mpsc::Receiver<Question>,
    waiting: HashMap<u64, Waiting>,
    last_request: u64,

    tasks: JoinSet<()>,
    news: mpsc::Receiver<News>,
    tell: mpsc::Sender<News>,

    status: watch::Sender<Status>,
    observer: Observer,
    meters: Meters,
    gauges_at: Instant,
    pulse: Pulse,
    has_left: bool,
}

impl Driver {
    pub(super) fn new(
        settings: &MemberSettings,
        surroundings: Surroundings,
        requests: mpsc::Receiver<Request>,
        questions: mpsc::Receiver<Question>,
        incarnation: u64,
    ) -> (Self, watch::Receiver<Status>) {
        let engine = Engine::new(settings.engine.clone(), Member { id: settings.id, incarnation }, 0);
        let (status, shown) = watch::channel(Status::from(engine.status()));
        let (event_sender, link_events) = mpsc::channel(EVENTS);
        let (tell, news) = mpsc::channel(64);
        let links = Links::start(settings.links(surroundings.tls), surroundings.resolver, surroundings.listener, event_sender);
        let driver = Self {
            engine,
            clock: Clock::start(),
            last_tick: 0,
            arbiter: surroundings.arbiter,
            prover: surroundings.prover,
            locator: surroundings.locator,
            copies: None,
            links,
            link_events,
            conns: HashMap::new(),
            requests,
            questions,
            waiting: HashMap::new(),
            last_request: 0,
            tasks: JoinSet::new(),
            news,
            tell,
            status,
            observer: Observer::new(),
            meters: Meters::new(),
            gauges_at: Instant::now(),
            pulse: surroundings.health.pulse("engine", HANGS),
            has_left: false,
        };
        (driver, shown)
    }

    /// Runs until this member has left for good.
    pub(super) async fn run(mut self) {
        self.watch_arbiter();
        self.follow_place();
        let mut tick = interval(Duration::from_millis(TICK));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.has_left {
            tokio::select! {
                biased;
                _ = tick.tick() => self.tick(),
                Some(question) = self.questions.recv() => self.answer(question),
                Some(news) = self.news.recv() => self.hear(news),
                Some(event) = self.link_events.recv() => self.link(event),
                Some(request) = self.requests.recv() => self.request(request),
            }
            self.take_what_is_there();
            self.carry_out();
        }
        self.last_words().await;
    }

    /// Tells the engine of more events, each source in turn, so that a flood from one does not silence another.
    fn take_what_is_there(&mut self) {
        let start = Instant::now();
        for _ in 0..BATCH {
            let event = self.link_events.try_recv().map(|event| self.link(event)).is_ok();
            let request = self.requests.try_recv().map(|request| self.request(request)).is_ok();
            if !(event || request) || start.elapsed() > BATCH_TIME {
                return;
            }
        }
    }

    /// The time. After a pause, whatever its reason, the engine hears of the time before it hears of anything else: it must not take its own
    /// silence for that of others.
    fn now(&mut self) -> Millis {
        let now = self.clock.now();
        if now >= self.last_tick + TICK {
            self.last_tick = now;
            self.engine.handle_tick(now);
        }
        now
    }

    fn tick(&mut self) {
        self.now();
        self.pulse.beat();
        while self.tasks.try_join_next().is_some() {}
        let status = self.show_status();
        if self.gauges_at.elapsed() >= GAUGES {
            self.gauges_at = Instant::now();
            let queued = self.conns.values().map(ConnHandle::queued).sum();
            self.observer.gauges(&status, &self.engine.status().links, queued);
        }
    }

    fn show_status(&mut self) -> Status {
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

    fn answer(&mut self, question: Question) {
        let now = self.now();
        // Whoever asked may have given up; then nobody misses the answer.
        match question {
            Question::Drain => self.engine.drain(now),
            Question::Finish => self.engine.finish(now),
            Question::Session { key, reply } => drop(reply.send(self.engine.session(&key))),
            Question::Links { reply } => drop(reply.send(self.engine.status().links)),
        }
    }

    fn hear(&mut self, news: News) {
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
            }
            LinkEvent::Closed { conn } => {
                if self.conns.remove(&conn).is_some() {
                    self.engine.handle_disconnected(now, conn);
                }
            }
        }
    }

    fn request(&mut self, request: Request) {
        let now = self.now();
        self.last_request += 1;
        let number = self.last_request;
        match request {
            Request::Execute { key, command, reply } => {
                self.waiting.insert(number, Waiting::Command { started: self.meters.started(&command), reply });
                self.engine.execute(now, number, key, command);
            }
            Request::Scan { cursor, count, reply } => {
                self.waiting.insert(number, Waiting::Scan { reply });
                self.engine.scan(now, number, cursor, u32::try_from(count).unwrap_or(u32::MAX));
            }
        }
    }

    fn carry_out(&mut self) {
        let mut to_flush: Vec<ConnId> = Vec::new();
        let mut look_again = false;
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { conn, bytes } => self.send(conn, bytes, &mut to_flush),
                Output::Close { conn } => {
                    if let Some(handle) = self.conns.remove(&conn) {
                        handle.close();
                    }
                }
                Output::Dial { peer, name } => self.links.dial(peer, name),
                Output::ReadView => self.read_view(),
                Output::SwapView { expected, view } => {
                    let (arbiter, tell) = (self.arbiter.clone(), self.tell.clone());
                    self.tasks.spawn(async move {
                        let outcome = match arbiter.swap(expected, view.clone()).await {
                            Swap::Done => SwapOutcome::Done(view),
                            Swap::Conflict(there) => SwapOutcome::Conflict(there),
                            Swap::Unknown | Swap::Unavailable => SwapOutcome::Unknown,
                        };
                        // The receiver lives as long as this task.
                        let _ = tell.send(News::Swapped(outcome)).await;
                    });
                }
                Output::SeekProof { member, name, pod_uid } => self.seek_proof(member, name, pod_uid),
                Output::Reply { request, reply } => {
                    if let Some(Waiting::Command { started, reply: client }) = self.waiting.remove(&request) {
                        self.meters.answered(started, &reply);
                        // A client that has gone does not need it.
                        let _ = client.send(reply);
                    }
                }
                Output::ScanReply { request, page } => {
                    if let Some(Waiting::Scan { reply }) = self.waiting.remove(&request) {
                        let _ = reply.send(page);
                    }
                }
                Output::ViewChanged(view) => {
                    self.observer.view(&view);
                    let has_voice = matches!(view.state(self.engine.member().id), Some(MemberState::Full | MemberState::Leave));
                    self.arbiter.hold(has_voice.then_some(view));
                    look_again = true;
                }
                Output::Reset { member } => {
                    counter!("holdfast_resets_total").increment(1);
                    warn!(?member, "joining anew under another incarnation");
                    self.arbiter.hold(None);
                    // The engine may have been told of another one since it said this.
                    let now = self.now();
                    for (conn, _) in std::mem::take(&mut self.conns) {
                        self.engine.handle_disconnected(now, conn);
                    }
                    look_again = true;
                }
                Output::Left => {
                    info!("left the cluster");
                    self.arbiter.hold(None);
                    self.has_left = true;
                    look_again = true;
                }
                Output::Event(event) => self.observer.event(&event),
            }
        }
        for conn in to_flush {
            if let Some(handle) = self.conns.get(&conn) {
                handle.flush();
            }
        }
        if look_again {
            self.show_status();
        }
    }

    fn send(&mut self, conn: ConnId, bytes: Bytes, to_flush: &mut Vec<ConnId>) {
        let Some(handle) = self.conns.get(&conn) else { return };
        if !handle.send(bytes) {
            warn!(?conn, "a peer takes nothing: cutting the connection; what it lacks is sent again on the next one");
            self.conns.remove(&conn);
            let now = self.now();
            self.engine.handle_disconnected(now, conn);
        } else if to_flush.last() != Some(&conn) {
            to_flush.push(conn);
        }
    }

    fn watch_arbiter(&mut self) {
        let (arbiter, tell) = (self.arbiter.clone(), self.tell.clone());
        let (views, mut seen) = mpsc::channel(4);
        self.tasks.spawn(async move {
            loop {
                arbiter.watch(views.clone()).await;
                // A watch does not end by itself; should it, this keeps it from spinning.
                sleep(Duration::from_secs(1)).await;
            }
        });
        self.tasks.spawn(async move {
            while let Some(shown) = seen.recv().await {
                if tell.send(News::Watched(shown)).await.is_err() {
                    return;
                }
            }
        });
    }

    fn follow_place(&mut self) {
        let Some(locator) = self.locator.clone() else { return };
        let tell = self.tell.clone();
        let (places, mut told) = mpsc::channel(1);
        self.tasks.spawn(async move { follow(&*locator, places).await });
        self.tasks.spawn(async move {
            while let Some(place) = told.recv().await {
                if tell.send(News::Place(place)).await.is_err() {
                    return;
                }
            }
        });
    }

    fn read_view(&mut self) {
        let (arbiter, tell) = (self.arbiter.clone(), self.tell.clone());
        self.tasks.spawn(async move {
            let shown = arbiter.read().await.inspect_err(|error| debug!(%error, "the arbiter did not answer")).ok();
            let _ = tell.send(News::Register(shown)).await;
        });
    }

    fn seek_proof(&mut self, member: Member, name: String, pod_uid: String) {
        let (prover, tell) = (self.prover.clone(), self.tell.clone());
        self.tasks.spawn(async move {
            match prover.seek(&name, &pod_uid, member.incarnation).await {
                Ok(Some(death)) => {
                    info!(?member, pod = name, %death, "this member is dead");
                    let _ = tell.send(News::Dead(member)).await;
                }
                Ok(None) => debug!(?member, pod = name, "no proof of death"),
                Err(error) => debug!(?member, error = &error as &dyn std::error::Error, "could not look for proof of death"),
            }
        });
    }

    /// Lets the peers hear the last view from this member, so that they do not have to find out.
    async fn last_words(self) {
        let deadline = Instant::now() + LAST_WORDS;
        while self.conns.values().any(|handle| handle.queued() > 0) && Instant::now() < deadline {
            sleep(Duration::from_millis(5)).await;
        }
    }
}
