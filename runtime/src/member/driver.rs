//! The task beside the engine: it tells the engine the time, and what other tasks have found out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_core::Member;
use holdfast_core::engine::TICK;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::core::{Core, CoreHandle, News};
use super::{MemberSettings, Question, Surroundings, Witness};
use crate::arbiter::Arbiter;
use crate::links::{ConnHandle, Links};
use crate::place::{Locator, follow};
use crate::status::Status;

/// How long the last frames may take to leave when this member has left.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Drives the engine, and ends it when dropped.
pub(super) struct Driver {
    core: CoreHandle,
    questions: mpsc::Receiver<Question>,
    news: mpsc::Receiver<News>,
    witness: Arc<dyn Witness>,
    /// What watches the world for this member.
    _watchers: JoinSet<()>,
}

impl Driver {
    pub(super) fn new(
        settings: &MemberSettings,
        surroundings: Surroundings,
        questions: mpsc::Receiver<Question>,
        incarnation: u64,
    ) -> (Self, CoreHandle, watch::Receiver<Status>) {
        let handle = CoreHandle::empty();
        let (tell, news) = mpsc::channel(64);
        let mut watchers = JoinSet::new();
        watch_arbiter(&mut watchers, surroundings.arbiter.clone(), tell.clone());
        if let Some(locator) = surroundings.locator {
            follow_place(&mut watchers, locator, tell.clone());
        }
        let events = handle.clone();
        let status = handle.fill(|| {
            let links = Links::start(
                settings.links(surroundings.tls),
                surroundings.resolver,
                surroundings.listener,
                Arc::new(move |event| events.link(event)),
            );
            let member = Member { id: settings.id, incarnation };
            Core::new(settings, member, links, surroundings.arbiter, surroundings.prover, surroundings.witness.clone(), tell)
        });
        (Self { core: handle.clone(), questions, news, witness: surroundings.witness, _watchers: watchers }, handle, status)
    }

    /// Runs until this member has left for good.
    pub(super) async fn run(mut self) {
        let mut tick = interval(Duration::from_millis(TICK));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_work = false;
        // There is a core for as long as this is.
        while self.core.tell(|core| core.has_left) == Some(false) {
            tokio::select! {
                biased;
                _ = tick.tick() => {
                    self.core.tell(Core::tick);
                    self.witness.alive();
                }
                Some(question) = self.questions.recv() => drop(self.core.tell(|core| core.answer(question))),
                Some(news) = self.news.recv() => drop(self.core.tell(|core| core.hear(news))),
                // Everything else that is ready goes first.
                () = yield_now(), if has_work => {}
            }
            has_work = self.core.tell(Core::work) == Some(true);
        }
        self.last_words().await;
    }

    /// Lets the peers hear the last view from this member, so that they do not have to find out.
    async fn last_words(self) {
        let deadline = Instant::now() + LAST_WORDS;
        let is_queued = |core: &mut Core| core.conns.values().map(ConnHandle::queued).any(|bytes| bytes > 0);
        while self.core.tell(is_queued) == Some(true) && Instant::now() < deadline {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.core.clear();
    }
}

fn watch_arbiter(watchers: &mut JoinSet<()>, arbiter: Arc<dyn Arbiter>, tell: mpsc::Sender<News>) {
    let (views, mut seen) = mpsc::channel(4);
    watchers.spawn(async move {
        loop {
            arbiter.watch(views.clone()).await;
            // A watch does not end by itself; should it, this keeps it from spinning.
            sleep(Duration::from_secs(1)).await;
        }
    });
    watchers.spawn(async move {
        while let Some(shown) = seen.recv().await {
            if tell.send(News::Watched(shown)).await.is_err() {
                return;
            }
        }
    });
}

fn follow_place(watchers: &mut JoinSet<()>, locator: Arc<dyn Locator>, tell: mpsc::Sender<News>) {
    let (places, mut told) = mpsc::channel(1);
    watchers.spawn(async move { follow(&*locator, places).await });
    watchers.spawn(async move {
        while let Some(place) = told.recv().await {
            if tell.send(News::Place(place)).await.is_err() {
                return;
            }
        }
    });
}
