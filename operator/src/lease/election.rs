//! Who leads: the decision, without IO or clock.
//!
//! As in Kubernetes' own elections, nobody compares wall clocks: a lease has run out when this process has seen no change of it for the lease's
//! duration on its own clock.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// What to do with the lease now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It does not exist: create it.
    Create,
    /// It is ours: renew it.
    Renew,
    /// It is free, or ran out: take it.
    Take,
    /// Somebody else holds it.
    Wait,
}

/// What this process has seen of a lease.
#[derive(Debug)]
pub(super) struct Election {
    identity: String,
    duration: Duration,
    seen: Option<(LeaseSpec, Instant)>,
}

impl Election {
    /// An election in which this process is `identity`, and a lease runs out after `duration`.
    pub(super) fn new(identity: impl Into<String>, duration: Duration) -> Self {
        Self { identity: identity.into(), duration, seen: None }
    }

    /// What to do with the lease as it was just read.
    pub(super) fn observe(&mut self, lease: Option<&Lease>, now: Instant) -> Step {
        let Some(lease) = lease else { return Step::Create };
        let spec = lease.spec.clone().unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == spec => *since,
            _ => {
                self.seen = Some((spec.clone(), now));
                now
            }
        };
        match spec.holder_identity.as_deref() {
            None | Some("") => Step::Take,
            Some(holder) if holder == self.identity => Step::Renew,
            Some(_) => {
                let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
                let duration = seconds.map_or(self.duration, Duration::from_secs);
                if now.duration_since(since) >= duration { Step::Take } else { Step::Wait }
            }
        }
    }

    /// What the lease shall say when this process holds it.
    pub(super) fn held(&self, before: Option<&Lease>, now: jiff::Timestamp) -> LeaseSpec {
        let before = before.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let ours = before.holder_identity.as_deref() == Some(&self.identity);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: if ours { before.acquire_time.clone() } else { Some(MicroTime(now)) },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(before.lease_transitions.unwrap_or_default() + i32::from(!ours)),
            ..before
        }
    }

    /// What the lease shall say when this process gives it up: free for whoever comes first.
    pub(super) fn released(&self, before: &Lease) -> Option<LeaseSpec> {
        let before = before.spec.clone().unwrap_or_default();
        let ours = before.holder_identity.as_deref() == Some(&self.identity);
        ours.then(|| LeaseSpec { holder_identity: Some(String::new()), lease_duration_seconds: Some(1), ..before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(15);

    fn lease(holder: &str, renewal: i64) -> Lease {
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(jiff::Timestamp::from_second(renewal).expect("a moment"))),
            lease_transitions: Some(4),
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[test]
    fn a_lease_that_does_not_exist_is_created_and_a_free_one_taken() {
        let mut election = Election::new("a", DURATION);
        assert_eq!(election.observe(None, Instant::now()), Step::Create);
        assert_eq!(election.observe(Some(&lease("", 0)), Instant::now()), Step::Take);
        assert_eq!(election.observe(Some(&Lease::default()), Instant::now()), Step::Take);
    }

    #[test]
    fn the_holder_renews() {
        assert_eq!(Election::new("a", DURATION).observe(Some(&lease("a", 0)), Instant::now()), Step::Renew);
    }

    #[test]
    fn a_lease_that_is_renewed_is_never_taken_whatever_the_clocks_say() {
        let mut election = Election::new("a", DURATION);
        let start = Instant::now();
        for renewal in 0..10 {
            let now = start + Duration::from_secs(10) * u32::try_from(renewal).expect("small");
            // The holder's clock is decades behind.
            assert_eq!(election.observe(Some(&lease("b", renewal)), now), Step::Wait);
        }
    }

    #[test]
    fn a_lease_that_is_not_renewed_is_taken_after_its_duration() {
        let mut election = Election::new("a", DURATION);
        let start = Instant::now();
        assert_eq!(election.observe(Some(&lease("b", 0)), start), Step::Wait);
        assert_eq!(election.observe(Some(&lease("b", 0)), start + Duration::from_secs(14)), Step::Wait);
        assert_eq!(election.observe(Some(&lease("b", 0)), start + DURATION), Step::Take);
    }

    #[test]
    fn transitions_count_changes_of_the_holder_only() {
        let election = Election::new("a", DURATION);
        let now = jiff::Timestamp::UNIX_EPOCH;
        let taken = election.held(Some(&lease("b", 0)), now);
        assert_eq!((taken.lease_transitions, taken.acquire_time), (Some(5), Some(MicroTime(now))));
        let renewed = election.held(Some(&lease("a", 0)), now);
        assert_eq!((renewed.lease_transitions, renewed.acquire_time), (Some(4), None));
        assert_eq!(election.held(None, now).lease_transitions, Some(1));
    }

    #[test]
    fn only_the_holder_releases() {
        let election = Election::new("a", DURATION);
        assert_eq!(election.released(&lease("b", 0)), None);
        let released = election.released(&lease("a", 0)).expect("ours");
        assert_eq!((released.holder_identity.as_deref(), released.lease_duration_seconds), (Some(""), Some(1)));
    }
}
