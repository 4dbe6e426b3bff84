//! What one connection has asked for and has not told yet. Counters that all threads share are dear, so they hear of a run of commands at once: before anything
//! looks at them, and before the connection waits.

use std::sync::atomic::Ordering::Relaxed;

use super::command::Spec;
use super::context::{Context, Statistics};

/// Commands of one connection that are not counted yet.
#[derive(Default)]
pub(crate) struct Tally {
    /// The last command, and how often it came in a row.
    run: Option<(usize, &'static Spec)>,
    length: u64,
    /// The last one that the client is known to have sent.
    told: Option<&'static Spec>,
}

impl Tally {
    /// Counts a command that was found in the table, by its place there.
    pub(crate) fn count(&mut self, index: usize, spec: &'static Spec, statistics: &Statistics) {
        if self.run.is_some_and(|(before, _)| before != index) {
            self.tell_counters(statistics);
        }
        self.run = Some((index, spec));
        self.length += 1;
    }

    /// Tells everybody.
    pub(crate) fn tell<S>(&mut self, context: &Context<S>) {
        if let Some((_, spec)) = self.run {
            if !self.told.is_some_and(|told| std::ptr::eq(told, spec)) {
                context.client.sent(spec);
                self.told = Some(spec);
            }
            self.tell_counters(&context.front.statistics);
        }
    }

    fn tell_counters(&mut self, statistics: &Statistics) {
        if let Some((index, _)) = self.run.take() {
            statistics.commands.fetch_add(self.length, Relaxed);
            statistics.commands_by_name[index].increment(self.length);
            self.length = 0;
        }
    }
}
