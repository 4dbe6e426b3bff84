//! The pretend arbiter: a linearizable register whose callers sometimes hear nothing of what they did, and sometimes do not reach it at all.

use holdfast_core::engine::SwapOutcome;
use holdfast_core::{Version, View};

/// The register.
pub(crate) struct Arbiter {
    view: View,
    pub(crate) is_up: bool,
    /// Swaps that were given up by their callers and may come about yet.
    late: Vec<(Version, View)>,
}

/// How a swap goes.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    /// Done, and the caller hears it.
    Heard,
    /// Done, and the caller does not hear it.
    Unheard,
    /// The caller gives up; it may be done later.
    Late,
    /// Never done, and the caller does not hear that.
    Lost,
}

impl Arbiter {
    pub(crate) fn new(copies: u8) -> Arbiter {
        Arbiter { view: View::unfounded(copies), is_up: true, late: Vec::new() }
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    pub(crate) fn swap(&mut self, expected: Version, view: View, fate: Fate) -> SwapOutcome {
        match fate {
            Fate::Lost => return SwapOutcome::Unknown,
            Fate::Late => {
                self.late.push((expected, view));
                return SwapOutcome::Unknown;
            }
            Fate::Heard | Fate::Unheard => {}
        }
        let is_done = self.commit(expected, view);
        match fate {
            Fate::Unheard => SwapOutcome::Unknown,
            _ if is_done => SwapOutcome::Done(self.view.clone()),
            _ => SwapOutcome::Conflict(self.view.clone()),
        }
    }

    /// A swap that its caller has given up on comes about, if it still can.
    pub(crate) fn commit_late(&mut self, index: usize) -> bool {
        if self.late.is_empty() {
            return false;
        }
        let (expected, view) = self.late.swap_remove(index % self.late.len());
        self.commit(expected, view)
    }

    fn commit(&mut self, expected: Version, view: View) -> bool {
        let is_expected = self.view.version == expected;
        if is_expected {
            self.view = view;
        }
        is_expected
    }
}
