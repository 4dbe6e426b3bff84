//! Conditions in Kubernetes' convention: one of each type, and `lastTransitionTime` moves only when the status flips.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// All the members are there and the application can be reached.
pub const READY: &str = "Ready";
/// The operator is on its way to what the spec asks for.
pub const RECONCILING: &str = "Reconciling";
/// The operator cannot go on until somebody changes something.
pub const STALLED: &str = "Stalled";
/// Something does not work.
pub const DEGRADED: &str = "Degraded";
/// Every session has all its copies.
pub const SESSIONS_PROTECTED: &str = "SessionsProtected";
/// The others could carry what any one member holds.
pub const CAPACITY_FOR_FAILOVER: &str = "CapacityForFailover";
/// All the members are in the view.
pub const MEMBERSHIP_FORMED: &str = "MembershipFormed";
/// All the gateways run with the current instructions.
pub const GATEWAY_SYNCED: &str = "GatewaySynced";

/// The members' links are encrypted.
pub const LINKS_ENCRYPTED: &str = "LinksEncrypted";

/// Whether it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    True,
    False,
    Unknown,
}

/// What one condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) status: Truth,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Verdict {
    pub(super) fn yes(reason: &str, message: impl Into<String>) -> Self {
        Self { status: Truth::True, reason: reason.to_owned(), message: message.into() }
    }

    pub(super) fn no(reason: &str, message: impl Into<String>) -> Self {
        Self { status: Truth::False, reason: reason.to_owned(), message: message.into() }
    }

    pub(super) fn unknown(reason: &str, message: impl Into<String>) -> Self {
        Self { status: Truth::Unknown, reason: reason.to_owned(), message: message.into() }
    }

    pub(super) fn is_true(&self) -> bool {
        self.status == Truth::True
    }
}

/// Puts a verdict in the place of the condition of its type.
pub(super) fn set(conditions: &mut Vec<Condition>, type_: &str, verdict: Verdict, generation: Option<i64>, now: Timestamp) {
    let status = match verdict.status {
        Truth::True => "True",
        Truth::False => "False",
        Truth::Unknown => "Unknown",
    };
    let before = conditions.iter().position(|condition| condition.type_ == type_);
    let since = before.map(|at| &conditions[at]).filter(|before| before.status == status).map(|before| before.last_transition_time.clone());
    // Whole seconds, as the API server keeps them: what is compared with what was stored must be equal to it.
    let now = Time(Timestamp::from_second(now.as_second()).expect("a moment cut to its second"));
    let condition = Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason,
        message: verdict.message,
        observed_generation: generation,
        last_transition_time: since.unwrap_or(now),
    };
    match before {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

/// The condition of a type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of a type is true.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noon;

    #[test]
    fn the_transition_time_moves_only_when_the_status_flips() {
        let mut conditions = Vec::new();
        let later = noon() + jiff::SignedDuration::from_secs(60);
        set(&mut conditions, READY, Verdict::no("A", "a"), Some(1), noon());
        set(&mut conditions, READY, Verdict::no("B", "b"), Some(2), later);
        assert_eq!((conditions[0].last_transition_time.0, conditions[0].reason.as_str()), (noon(), "B"));
        set(&mut conditions, READY, Verdict::yes("C", "c"), Some(2), later);
        assert_eq!((conditions[0].last_transition_time.0, conditions.len()), (later, 1));
    }

    #[test]
    fn moments_are_cut_to_the_second_as_the_api_server_stores_them() {
        let mut conditions = Vec::new();
        set(&mut conditions, READY, Verdict::no("A", "a"), None, noon() + jiff::SignedDuration::from_millis(999));
        assert_eq!(conditions[0].last_transition_time.0, noon());
    }
}
