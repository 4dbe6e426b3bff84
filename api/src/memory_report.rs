//! What a member says about its memory.

use serde::{Deserialize, Serialize};

/// An annotation of the SessionView, one for each member ([`crate::names::memory_annotation`]): the operator learns from it whether the others could carry
/// what a member holds. It is written when it has changed a good deal, not with each session.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MemoryReport {
    /// Who says it: what another pod of the same name has said is nothing to anybody.
    #[serde(rename = "podUID")]
    pub pod_uid: String,

    /// What its sessions and copies take, in bytes, rounded up to a twentieth of the budget; 0 without one.
    pub bytes: u64,

    /// What they may take, in bytes; absent: there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
}

impl MemoryReport {
    /// What is to be said after `before`: up at once, down only where it is clear, so that a little to and fro is not written each time.
    #[must_use]
    pub fn next(pod_uid: &str, bytes: u64, budget: Option<u64>, before: Option<&Self>) -> Self {
        let step = budget.map_or(u64::MAX, |budget| (budget / 20).max(1));
        let rounded = budget.map_or(0, |_| bytes.div_ceil(step).saturating_mul(step));
        let still =
            before.filter(|before| before.budget == budget && before.bytes == rounded.saturating_add(step)).map(|before| before.bytes);
        Self { pod_uid: pod_uid.to_owned(), bytes: still.unwrap_or(rounded), budget }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_rounded_up_and_goes_down_two_steps_at_a_time() {
        let next = |bytes, before: Option<&MemoryReport>| MemoryReport::next("u", bytes, Some(2_000), before);
        let first = next(101, None);
        assert_eq!(first.bytes, 200);
        assert_eq!(next(100, Some(&first)).bytes, 200, "a little less is not worth a write");
        assert_eq!(next(0, Some(&first)).bytes, 0);
        assert_eq!(next(201, Some(&first)).bytes, 300);
        assert_eq!(next(1_990, Some(&first)).bytes, 2_000);
    }

    #[test]
    fn without_a_limit_there_is_nothing_to_compare_with() {
        let report = MemoryReport::next("u", 12_345, None, None);
        assert_eq!((report.bytes, report.budget), (0, None));
    }
}
