//! One member as this gateway knows it: a pod at an address, what it said of itself, how much it has to do, and the idle connections to it.
//! It is shared by all tables it stands in, and changes by atomics: a request looks at it without waiting for anybody.

pub(crate) mod connect;
pub(crate) mod pool;
pub(crate) mod socket;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::Counter;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Millis};
use crate::control::report::Report;
use crate::member::pool::Pool;
use crate::meters::{self, Responses};
use crate::table::endpoint::Endpoint;
use crate::table::tier::{Link, State};

/// A member; a pod that gets another address, or a pod that takes over a name, is another member.
#[derive(Debug)]
pub(crate) struct Member {
    /// Tells members apart in the list of those that a request has tried.
    pub(crate) id: u64,
    pub(crate) route: String,
    pub(crate) uid: String,
    pub(crate) addr: SocketAddr,
    pub(crate) pool: Pool,
    pub(crate) responses: Responses,
    pub(crate) connections: Counter,
    /// Cancelled when the member has left the table for good.
    pub(crate) gone: CancellationToken,
    link: AtomicU8,
    state: AtomicU8,
    sessions: AtomicU64,
    /// New sessions sent here since the last report.
    newcomers: AtomicU64,
    outstanding: AtomicU64,
    ejected: AtomicBool,
    /// Grows each time the member is found to be cut off.
    silences: AtomicU64,
    silenced: Notify,
    heard_control: AtomicU64,
    heard_data: AtomicU64,
    report: Mutex<Option<Report>>,
}

const LINKS: [Link; 5] = [Link::Unknown, Link::Live, Link::Broken, Link::Silent, Link::Stranger];
const STATES: [State; 4] = [State::Joining, State::Accepting, State::Draining, State::Drained];

impl Member {
    pub(crate) fn new(endpoint: &Endpoint) -> Arc<Self> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: IDS.fetch_add(1, Relaxed),
            route: endpoint.pod.clone(),
            uid: endpoint.uid.clone(),
            addr: endpoint.addr,
            pool: Pool::default(),
            responses: Responses::new(&endpoint.pod),
            connections: meters::connections(&endpoint.pod),
            gone: CancellationToken::new(),
            link: AtomicU8::new(Link::Unknown as u8),
            state: AtomicU8::new(State::Joining as u8),
            sessions: AtomicU64::new(0),
            newcomers: AtomicU64::new(0),
            outstanding: AtomicU64::new(0),
            ejected: AtomicBool::new(false),
            silences: AtomicU64::new(0),
            silenced: Notify::new(),
            heard_control: AtomicU64::new(0),
            heard_data: AtomicU64::new(0),
            report: Mutex::new(None),
        })
    }

    pub(crate) fn link(&self) -> Link {
        LINKS[usize::from(self.link.load(Relaxed))]
    }

    pub(crate) fn state(&self) -> State {
        STATES[usize::from(self.state.load(Relaxed))]
    }

    /// The control stream runs, and the member has not handed everything over.
    pub(crate) fn alive(&self) -> bool {
        self.link() == Link::Live && self.state() != State::Drained
    }

    pub(crate) fn ejected(&self) -> bool {
        self.ejected.load(Relaxed)
    }

    pub(crate) fn outstanding(&self) -> u64 {
        self.outstanding.load(Relaxed)
    }

    /// Sessions by the last report, and new ones sent here since.
    pub(crate) fn sessions(&self) -> u64 {
        self.sessions.load(Relaxed).saturating_add(self.newcomers.load(Relaxed))
    }

    pub(crate) fn last_report(&self) -> Option<Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a request that brings a new session.
    pub(crate) fn newcomer(&self) {
        self.newcomers.fetch_add(1, Relaxed);
    }

    /// Starts counting new sessions anew.
    pub(crate) fn forget_newcomers(&self) {
        self.newcomers.store(0, Relaxed);
    }

    /// Changes the state of the control stream; whether that was a change.
    pub(crate) fn set_link(&self, link: Link) -> bool {
        let changed = self.link.swap(link as u8, Relaxed) != link as u8;
        if changed && link != Link::Live {
            // What rests in the pool may be half dead.
            self.pool.purge();
        }
        changed
    }

    /// Takes up what the member says of itself; whether that changes how it may be used. Only a successor in the same pod has another
    /// incarnation: connections to its predecessor are dead.
    pub(crate) fn take_report(&self, report: Report) -> bool {
        self.heard_control.store(clock::now(), Relaxed);
        self.sessions.store(report.sessions, Relaxed);
        self.forget_newcomers();
        let state_changed = self.state.swap(report.state as u8, Relaxed) != report.state as u8;
        let before = self.report.lock().unwrap_or_else(PoisonError::into_inner).replace(report.clone());
        if before.is_some_and(|before| before.incarnation != report.incarnation) {
            self.pool.purge();
        }
        self.set_link(Link::Live) || state_changed
    }

    /// Declares the member cut off: requests that wait for its answer stop waiting. Whether that was news.
    pub(crate) fn fall_silent(&self) -> bool {
        let changed = self.set_link(Link::Silent);
        if changed {
            self.silences.fetch_add(1, Relaxed);
            self.silenced.notify_waiters();
        }
        changed
    }

    /// Stops using the member until it takes a connection again; whether it was in use.
    pub(crate) fn eject(&self) -> bool {
        let first = !self.ejected.swap(true, Relaxed);
        if first {
            self.pool.purge();
        }
        first
    }

    /// The member takes connections again; whether that was news.
    pub(crate) fn readmit(&self) -> bool {
        self.ejected.swap(false, Relaxed)
    }

    /// The member has left the table: its tasks end, and no connection to it is kept.
    pub(crate) fn retire(&self) {
        self.gone.cancel();
        self.pool.close();
    }

    /// Something of the application came from this member.
    pub(crate) fn hear_data(&self) {
        self.heard_data.store(clock::now(), Relaxed);
    }

    /// How long the member has said nothing at all.
    pub(crate) fn unheard(&self) -> Duration {
        clock::since(self.heard_control.load(Relaxed).max(self.heard_data.load(Relaxed)))
    }

    /// When the application last said something.
    pub(crate) fn heard_data(&self) -> Millis {
        self.heard_data.load(Relaxed)
    }

    pub(crate) fn silences(&self) -> u64 {
        self.silences.load(Relaxed)
    }

    /// Returns when the member has been declared cut off since `silences` was read, or has left the table.
    pub(crate) async fn lost(&self, silences: u64) {
        loop {
            let mut notified = std::pin::pin!(self.silenced.notified());
            // Listening starts before looking, so that nothing falls between the two.
            notified.as_mut().enable();
            if self.silences() != silences {
                return;
            }
            tokio::select! {
                () = notified => {}
                () = self.gone.cancelled() => return,
            }
        }
    }

    /// Counts a request as outstanding until the lease is dropped.
    pub(crate) fn lease(self: &Arc<Self>) -> Lease {
        self.outstanding.fetch_add(1, Relaxed);
        Lease(self.clone())
    }
}

/// A request's place among a member's outstanding ones.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Member>);

impl Lease {
    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn member(ordinal: u8) -> Arc<Member> {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        Member::new(&Endpoint {
            pod: format!("shop-{ordinal}"),
            uid: format!("uid-{ordinal}"),
            addr,
            ready: true,
            serving: true,
            terminating: false,
        })
    }

    fn report(state: State, sessions: u64) -> Report {
        Report {
            cluster: "shop".into(),
            member: "shop-1".into(),
            pod_uid: "uid-1".into(),
            incarnation: "7".into(),
            state,
            sessions,
            epoch: 1,
        }
    }

    #[test]
    fn a_report_replaces_the_guess_about_new_sessions() {
        let member = member(1);
        assert!(member.take_report(report(State::Accepting, 10)));
        member.newcomer();
        member.newcomer();
        assert_eq!(member.sessions(), 12);
        assert!(!member.take_report(report(State::Accepting, 11)), "a count alone changes nothing for those who wait");
        assert_eq!(member.sessions(), 11);
        assert!(member.take_report(report(State::Draining, 11)));
    }

    #[test]
    fn a_request_counts_until_its_lease_is_dropped() {
        let member = member(1);
        let leases = [member.lease(), member.lease()];
        assert_eq!(member.outstanding(), 2);
        drop(leases);
        assert_eq!(member.outstanding(), 0);
    }

    #[tokio::test]
    async fn a_silence_reaches_who_waits_and_who_comes_too_late() {
        let member = member(1);
        let before = member.silences();
        let waiting = tokio::spawn({
            let member = member.clone();
            async move { member.lost(before).await }
        });
        tokio::task::yield_now().await;
        assert!(member.fall_silent());
        assert!(!member.fall_silent());
        waiting.await.expect("no panic");
        member.lost(before).await;
        let later = tokio::time::timeout(Duration::from_millis(20), member.lost(member.silences())).await;
        assert!(later.is_err(), "who knew of the silence waits for the next");
    }
}
