//! When a loss is excused: only while more members failed since all was last protected than the copies can bear.

use holdfast_core::{Member, NodeId, View};

/// Counts failures since the arbiter last showed a settled view.
#[derive(Default)]
pub(crate) struct Failures {
    count: usize,
    /// How many of them were crashes: evictions alone must never lose anything.
    crashes: usize,
    tolerated: usize,
    /// When more failed than the copies can bear, and when all that was left was protected again.
    pub(crate) excused: Vec<(u64, Option<u64>)>,
}

impl Failures {
    fn failed(&mut self, now: u64) {
        self.count += 1;
        if self.count > self.tolerated && self.crashes > 0 {
            self.excused.push((now, None));
        }
    }

    pub(crate) fn crashed(&mut self, member: Member, view: &View, now: u64) {
        if view.has(member) && view.voters().contains(member.id) {
            self.crashes += 1;
            self.failed(now);
        }
    }

    pub(crate) fn evicted(&mut self, before: &View, id: NodeId, now: u64) {
        if before.voters().contains(id) {
            self.failed(now);
        }
    }

    pub(crate) fn committed(&mut self, before: &View, view: &View, alive: &[Member], now: u64) {
        let full = view.full().len();
        if view.version.sub > before.version.sub && view.version.epoch == before.version.epoch {
            self.tolerated = usize::from(view.copies).min(full.saturating_sub(1));
            self.crashes = view.voters().iter().filter_map(|id| view.member(id)).filter(|member| !alive.contains(member)).count();
            self.count = self.crashes;
            self.excused.iter_mut().for_each(|(_, until)| *until = until.or(Some(now)));
        } else if view.voters().len() == before.voters().len() && full < before.full().len() {
            // A member begins to leave: what it held is given away before all is settled again.
            self.tolerated = self.tolerated.min(full.saturating_sub(1));
        }
    }
}
