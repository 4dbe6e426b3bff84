//! When a loss is excused: only while more members failed since all was last protected than the copies can bear, and only of writes that are older
//! than these failures: a write that is acknowledged after a member failed is held by enough of the others.

//!
//! Where less is promised, more is excused. A failure, crash or eviction, may set a session back to what it was, but never to before what was answered when
//! the epoch of the last settled view began:
//! - `acknowledge: Received`: if it is not the first one since all was last protected (a holder may have received a write that it could not apply);
//! - `acknowledge: None`: always. Without a failure, sessions are as linearizable as ever, and what is set back is in the order in which it was written;
//! - `onUnderReplicated: Accept`: if somebody had been suspected for so long that writes did not wait for him. Once somebody is evicted without a budget the view
//!   is lossy and nothing is promised any more: such a run only has to come to rest.
//!
//! `Reject` excuses nothing, and a write that was refused must not have happened.

use holdfast_core::engine::Acknowledge;
use holdfast_core::{Member, NodeId, View};

use crate::setup::PATIENCE;

/// A view may be in use by a member for so long after the arbiter has shown another, in milliseconds.
const BEHIND: u64 = 3_000;

/// A member that is of no use any more.
struct Failure {
    member: Member,
    /// Until when it took writes; `None` as long as it does not know.
    until: Option<u64>,
    is_crash: bool,
    /// From then on it counted no more, and nobody had a copy of what it took all the same.
    void_from: Option<u64>,
}

/// Something may be lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Excuse {
    pub(crate) at: u64,
    /// When all that was left was protected again.
    pub(crate) until: Option<u64>,
    /// What was asked for then or later is not lost.
    pub(crate) older_than: u64,
}

/// Counts failures since the arbiter last showed a settled view.
pub(crate) struct Failures {
    acknowledge: Acknowledge,
    /// When the epoch of the arbiter's view began, and that of the last settled one.
    began: u64,
    kept: u64,
    /// When members were suspected, where `Accept` may go on without them.
    suspected: Vec<u64>,
    /// What was answered since `older_than` may be lost as if it had not been.
    pub(crate) set_back: Vec<Excuse>,
    failures: Vec<Failure>,
    /// Members that were evicted before all was last protected, and take writes of which there are no copies.
    void: Vec<Failure>,
    /// How many could be borne, from when on.
    tolerated: Vec<(u64, usize)>,
    /// How many can be borne by what is written from when on: so few are left since all was last protected.
    left: Vec<(u64, usize)>,
    /// Some view since all was last protected wants none: then there is nothing that an eviction could not lose.
    has_no_copies: bool,
    pub(crate) excused: Vec<Excuse>,
}

impl Failures {
    pub(crate) fn new(acknowledge: Acknowledge) -> Failures {
        Failures {
            acknowledge,
            began: 0,
            kept: 0,
            suspected: Vec::new(),
            set_back: Vec::new(),
            failures: Vec::new(),
            void: Vec::new(),
            tolerated: Vec::new(),
            left: Vec::new(),
            has_no_copies: false,
            excused: Vec::new(),
        }
    }

    /// A member is suspected, and may be done without after a while.
    pub(crate) fn suspected(&mut self, now: u64) {
        self.suspected.push(now);
    }

    /// Whether a failure may take with it what was answered since the last settled view began.
    fn may_set_back(&self, now: u64) -> bool {
        let is_given_up = self.suspected.iter().any(|at| *at + PATIENCE <= now && *at + BEHIND >= self.kept);
        let by_mode = match self.acknowledge {
            Acknowledge::Applied => false,
            Acknowledge::Received => self.failures.len() > 1,
            Acknowledge::None => true,
        };
        is_given_up || by_mode
    }

    fn failed(&mut self, member: Member, until: Option<u64>, is_crash: bool, now: u64) {
        let void_from = (self.has_no_copies && until.is_none()).then_some(now);
        self.failures.push(Failure { member, until, is_crash, void_from });
        if self.may_set_back(now) {
            self.set_back.push(Excuse { at: now, until: None, older_than: self.kept });
        }
        // Evictions alone must never lose anything of which there is a copy.
        if !self.has_no_copies && !self.failures.iter().any(|failure| failure.is_crash) {
            return;
        }
        // A write may have come earlier in the same millisecond.
        let ends = self.failures.iter().filter_map(|failure| failure.until).map(|until| until + 1);
        let changes = self.tolerated.iter().map(|(at, _)| at + BEHIND + 1);
        let mut moments: Vec<u64> = ends.chain(changes).chain([now + 1]).filter(|moment| *moment <= now + 1).collect();
        moments.sort_unstable();
        let older_than = moments.into_iter().rev().find(|moment| self.may_lose(moment.saturating_sub(1)));
        self.excused.extend(older_than.map(|older_than| Excuse { at: now, until: None, older_than }));
    }

    /// Whether what was written at `moment` may be lost now.
    fn may_lose(&self, moment: u64) -> bool {
        let failed = self.failures.iter().filter(|failure| failure.until.is_none_or(|until| until >= moment)).count();
        let from = moment.saturating_sub(BEHIND);
        let before = self.tolerated.iter().rev().find(|(at, _)| *at <= from);
        let since = self.tolerated.iter().filter(|(at, _)| *at > from);
        let left = self.left.iter().filter(|(at, _)| *at <= moment);
        failed > before.into_iter().chain(since).chain(left).map(|(_, tolerated)| *tolerated).min().unwrap_or(0)
    }

    pub(crate) fn crashed(&mut self, member: Member, view: &View, now: u64) {
        self.forgot(member, now);
        if view.has(member) {
            self.failed(member, Some(now), true, now);
        }
    }

    /// A member that lives is not in the view any more.
    pub(crate) fn evicted(&mut self, before: &View, id: NodeId, now: u64) {
        if let Some(member) = before.member(id).filter(|_| before.voters().contains(id)) {
            self.failed(member, None, false, now);
        }
    }

    /// A member takes no more writes in this life.
    pub(crate) fn forgot(&mut self, member: Member, now: u64) {
        for failure in self.failures.iter_mut().chain(&mut self.void).filter(|failure| failure.member == member && failure.until.is_none())
        {
            failure.until = Some(now);
            let excuse = failure.void_from.map(|at| Excuse { at, until: None, older_than: now + 1 });
            self.excused.extend(excuse);
        }
    }

    pub(crate) fn committed(&mut self, before: &View, view: &View, alive: &[Member], now: u64) {
        let full = view.full().len();
        let bears = usize::from(view.copies).min(full.saturating_sub(1));
        let now_tolerated = self.tolerated.last().map_or(0, |(_, tolerated)| *tolerated);
        self.has_no_copies |= view.copies == 0;
        if view.version.epoch > before.version.epoch {
            self.began = now;
        }
        if view.version.sub > before.version.sub && view.version.epoch == before.version.epoch {
            self.kept = self.began;
            self.suspected.retain(|at| *at + BEHIND >= self.kept);
            self.set_back.iter_mut().for_each(|excuse| excuse.until = excuse.until.or(Some(now)));
            self.tolerated.push((now, bears));
            self.left.clear();
            self.has_no_copies = view.copies == 0;
            let (kept, over): (Vec<_>, Vec<_>) = self.failures.drain(..).partition(|failure| view.has(failure.member));
            self.failures = kept;
            self.void.extend(over.into_iter().filter(|failure| failure.until.is_none() && failure.void_from.is_some()));
            for member in view.voters().iter().filter_map(|id| view.member(id)).filter(|member| !alive.contains(member)) {
                if !self.failures.iter().any(|failure| failure.member == member) {
                    self.failures.push(Failure { member, until: Some(now), is_crash: true, void_from: None });
                }
            }
            self.excused.iter_mut().for_each(|excuse| excuse.until = excuse.until.or(Some(now)));
        } else if bears < now_tolerated && view.voters().len() == before.voters().len() {
            // A member begins to leave: what it held is given away before all is settled again.
            self.tolerated.push((now, bears));
        } else if bears < now_tolerated {
            self.left.push((now, bears));
        }
    }
}
