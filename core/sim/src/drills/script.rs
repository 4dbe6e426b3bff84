//! How drills are written down.

use holdfast_core::placement::{home, position};
use holdfast_core::{MemberSet, NodeId};

use crate::action::Action::{self, Start};
use crate::action::Pod::New;
use crate::schedule::Schedule;
use crate::setup::Setup;

/// The same hosts in all drills: the owner, the one that is at home mostly, one that is neither, and one that comes later.
pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
pub(super) const C: usize = 2;
pub(super) const D: usize = 3;

/// How much later than written all of it happens, in milliseconds: losses soon after the beginning are excused, as there were no copies yet.
const AGE: u64 = 3_000;

/// A schedule that is being written.
pub(super) struct Script {
    pub(super) setup: Setup,
    actions: Vec<(u64, Action)>,
    length: u64,
}

impl Script {
    /// Three members, one copy.
    pub(super) fn plain(seed: u64) -> Script {
        let mut script = Script { setup: Setup::plain(seed, 3, 1), actions: Vec::new(), length: 4_000 };
        script.running(3);
        script
    }

    /// Another cluster, all of which runs from the beginning.
    pub(super) fn with_members(&mut self, hosts: usize, copies: u8) {
        self.setup = Setup::plain(self.setup.seed, hosts, copies);
        self.running(hosts);
    }

    /// This happens then.
    pub(super) fn at(&mut self, at: u64, action: Action) {
        self.actions.push((at, action));
    }

    /// So many start at the beginning, and are settled soon.
    fn running(&mut self, count: usize) {
        self.actions = (0..count).map(|host| (0, Start(host, New))).collect();
    }

    /// Works on a session whose home is `host` while the first `count` are full, and `then` once there is one more (or, if it is the same, some other
    /// one once it is gone).
    pub(super) fn with_home(&mut self, count: usize, host: usize, then: Option<usize>) {
        let at_home = |key: usize, count: usize| {
            let members = (0..count).filter_map(|id| NodeId::new(id as u8)).collect::<MemberSet>();
            home(members, position(format!("sess:{key}").as_bytes())).map(|id| usize::from(id.get()))
        };
        let fits = |key: &usize| {
            let is_home = at_home(*key, count) == Some(host);
            is_home && then.is_none_or(|then| then == host || at_home(*key, count + 1) == Some(then))
        };
        self.setup.first = (0..).find(fits).expect("each member is home to some session");
    }

    /// Works on a session for which these hosts are preferred in this order.
    pub(super) fn with_ranking(&mut self, hosts: &[usize]) {
        let members = |hosts: &[usize]| hosts.iter().filter_map(|host| NodeId::new(*host as u8)).collect::<MemberSet>();
        let is_first = |key: usize, from: usize| {
            let first = home(members(&hosts[from..]), position(format!("sess:{key}").as_bytes()));
            first.map(|id| usize::from(id.get())) == Some(hosts[from])
        };
        self.setup.first =
            (0..).find(|key| (0..hosts.len()).all(|from| is_first(*key, from))).expect("each ranking is that of some session");
    }

    /// The schedule.
    pub(super) fn done(mut self) -> Schedule {
        self.actions.sort_by_key(|(at, _)| *at);
        self.actions.iter_mut().filter(|(at, _)| *at > 0).for_each(|(at, _)| *at += AGE);
        Schedule { setup: self.setup, length: self.length + AGE, actions: self.actions }
    }
}
