//! What to do when an attempt failed: one pure function. A request that may have taken effect is sent again only where its method says that this
//! does no harm; one that was certainly not sent goes anywhere.

use crate::proxy::answer::{Failure, Refusal};
use crate::proxy::replay::BodyError;

/// How an attempt ended without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// There was no connection.
    NotConnected,
    /// The connection had closed before anything was sent.
    Unsent {
        /// It had been used before.
        reused: bool,
    },
    /// The connection broke, or what came was no response.
    Broken {
        /// It had been used before.
        reused: bool,
    },
    /// The member was cut off.
    Lost,
    /// The response's head did not come in time.
    Late,
    /// The client did not send its body.
    Client(BodyError),
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The same member, on a fresh connection.
    Same,
    /// Another member.
    Elsewhere,
    /// Nothing: this is the end.
    Fail(Failure),
    /// Nothing: the client is at fault.
    Refuse(Refusal),
}

/// The next step for a request that has been sent `sends` times in all. `safe`: it may be sent again although it may have taken effect, and can
/// be. `allowed` asks the retry budget, and is asked only when it counts.
pub(crate) fn next(trouble: Trouble, safe: bool, sends: u32, most: u32, allowed: impl FnOnce() -> bool) -> Next {
    let again = matches!(trouble, Trouble::Broken { .. } | Trouble::Lost) && safe && sends < most && allowed();
    match trouble {
        Trouble::NotConnected | Trouble::Unsent { reused: false } => Next::Elsewhere,
        // The member had closed an idle connection, as it may: that says nothing against it.
        Trouble::Unsent { reused: true } => Next::Same,
        // A connection that had rested may have been closed in good order; a fresh one was not.
        Trouble::Broken { reused: true } if again => Next::Same,
        Trouble::Broken { .. } | Trouble::Lost if again => Next::Elsewhere,
        Trouble::Broken { .. } => Next::Fail(Failure::InFlight),
        Trouble::Lost => Next::Fail(Failure::Cut),
        Trouble::Late => Next::Fail(Failure::Timeout),
        Trouble::Client(BodyError::Stalled) => Next::Refuse(Refusal::Slow),
        Trouble::Client(_) => Next::Refuse(Refusal::Request("the request broke off")),
    }
}

impl Trouble {
    /// The label in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NotConnected => "not-connected",
            Self::Unsent { .. } => "unsent",
            Self::Broken { .. } => "broken",
            Self::Lost => "lost",
            Self::Late => "late",
            Self::Client(_) => "client",
        }
    }

    /// Whether the member may have got the request.
    pub(crate) fn was_sent(self) -> bool {
        !matches!(self, Self::NotConnected | Self::Unsent { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(trouble: Trouble, safe: bool, sends: u32) -> Next {
        next(trouble, safe, sends, 5, || true)
    }

    #[test]
    fn what_was_not_sent_goes_on_whatever_the_method_and_the_budget() {
        for safe in [true, false] {
            let ask = |trouble| next(trouble, safe, 99, 5, || panic!("the budget is not asked"));
            assert_eq!(ask(Trouble::NotConnected), Next::Elsewhere);
            assert_eq!(ask(Trouble::Unsent { reused: false }), Next::Elsewhere);
            assert_eq!(ask(Trouble::Unsent { reused: true }), Next::Same);
        }
    }

    #[test]
    fn what_was_sent_goes_on_only_if_safe() {
        assert_eq!(decide(Trouble::Broken { reused: true }, true, 1), Next::Same);
        assert_eq!(decide(Trouble::Broken { reused: false }, true, 1), Next::Elsewhere);
        assert_eq!(decide(Trouble::Lost, true, 1), Next::Elsewhere);
        assert_eq!(decide(Trouble::Broken { reused: true }, false, 1), Next::Fail(Failure::InFlight));
        assert_eq!(decide(Trouble::Broken { reused: false }, false, 1), Next::Fail(Failure::InFlight));
        assert_eq!(decide(Trouble::Lost, false, 1), Next::Fail(Failure::Cut));
    }

    #[test]
    fn retries_end_at_the_limit_and_at_the_budget() {
        assert_eq!(decide(Trouble::Lost, true, 4), Next::Elsewhere);
        assert_eq!(decide(Trouble::Lost, true, 5), Next::Fail(Failure::Cut));
        assert_eq!(next(Trouble::Broken { reused: true }, true, 1, 5, || false), Next::Fail(Failure::InFlight));
    }

    #[test]
    fn a_late_response_and_a_client_at_fault_are_the_end() {
        assert_eq!(decide(Trouble::Late, true, 1), Next::Fail(Failure::Timeout));
        assert_eq!(decide(Trouble::Client(BodyError::Stalled), true, 1), Next::Refuse(Refusal::Slow));
        assert!(matches!(decide(Trouble::Client(BodyError::Client), true, 1), Next::Refuse(Refusal::Request(_))));
    }
}
