//! How far a member may be used right now: one pure function of what the EndpointSlices, the control stream and the connections themselves say.

use serde::{Deserialize, Serialize};

/// What the control stream of a member is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[repr(u8)]
pub enum Link {
    /// It has never worked, or the member refuses to talk to this gateway: nothing is known.
    #[default]
    Unknown,
    /// It runs.
    Live,
    /// It broke or was refused, and could not be opened again: the runtime is not there.
    Broken,
    /// Nothing came for too long, or connections to it get no answer at all: the node is cut off.
    Silent,
    /// Another pod answers at the member's address.
    Stranger,
}

/// The state that a member reports of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[repr(u8)]
pub enum State {
    /// Not yet in the view as a full member.
    #[default]
    Joining,
    /// Takes new sessions.
    Accepting,
    /// Leaves; it still owns sessions.
    Draining,
    /// Leaves and owns nothing any more.
    Drained,
}

/// How far a member may be used, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Tier {
    /// For every request.
    Open,
    /// For the sessions bound to it; for others only when no member is open.
    Bound,
    /// When nothing better is left: trying beats an error page.
    Spare,
    /// Not at all.
    Never,
}

/// What is known of a member.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// It stands in the EndpointSlices. If not, it is kept because its control stream still runs, or because all vanished at once.
    pub listed: bool,
    /// As in the EndpointSlices.
    pub ready: bool,
    /// As in the EndpointSlices.
    pub serving: bool,
    /// Its control stream.
    pub link: Link,
    /// What it reported last.
    pub state: State,
    /// It refused a connection, and has not taken one since.
    pub ejected: bool,
    /// Whether any member's control stream has ever worked. If none has, readiness alone decides.
    pub controlled: bool,
}

impl Facts {
    /// How far the member may be used.
    pub fn tier(self) -> Tier {
        if self.ejected || self.link == Link::Stranger {
            return Tier::Never;
        }
        let by_readiness = if self.ready {
            Tier::Open
        } else if self.serving {
            Tier::Bound
        } else {
            Tier::Spare
        };
        if !self.controlled {
            return by_readiness;
        }
        match (self.link, self.state) {
            // Gone from the slices, but alive: it ends, or the slices lag. New sessions have better places.
            (Link::Live, State::Accepting) if !self.listed => Tier::Bound,
            (Link::Live, State::Accepting) => by_readiness,
            // A member that leaves may fail its readiness while it hands its sessions over; until it has, they are best served where they are.
            (Link::Live, State::Draining) => Tier::Bound,
            (Link::Live, State::Joining | State::Drained) => Tier::Spare,
            // Its stream may be about to open: those bound to it stay, new sessions go where it is certain.
            (Link::Unknown, _) => by_readiness.max(Tier::Bound),
            (Link::Broken | Link::Silent | Link::Stranger, _) => Tier::Spare,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Facts =
        Facts { listed: true, ready: true, serving: true, link: Link::Live, state: State::Accepting, ejected: false, controlled: true };

    #[test]
    fn a_ready_accepting_member_is_open() {
        assert_eq!(GOOD.tier(), Tier::Open);
    }

    #[test]
    fn a_terminating_or_draining_member_keeps_its_own() {
        assert_eq!(Facts { ready: false, ..GOOD }.tier(), Tier::Bound);
        assert_eq!(Facts { state: State::Draining, ..GOOD }.tier(), Tier::Bound);
        assert_eq!(Facts { state: State::Draining, ready: false, serving: false, ..GOOD }.tier(), Tier::Bound);
        assert_eq!(Facts { listed: false, ready: false, serving: false, ..GOOD }.tier(), Tier::Bound);
    }

    #[test]
    fn a_member_that_is_drained_joining_unready_or_out_of_reach_is_the_last_resort() {
        assert_eq!(Facts { state: State::Drained, ..GOOD }.tier(), Tier::Spare);
        assert_eq!(Facts { state: State::Joining, ..GOOD }.tier(), Tier::Spare);
        assert_eq!(Facts { ready: false, serving: false, ..GOOD }.tier(), Tier::Spare);
        assert_eq!(Facts { link: Link::Broken, ..GOOD }.tier(), Tier::Spare);
        assert_eq!(Facts { link: Link::Silent, ..GOOD }.tier(), Tier::Spare);
    }

    #[test]
    fn another_pod_at_the_address_and_a_refusing_member_are_never_used() {
        for controlled in [true, false] {
            assert_eq!(Facts { link: Link::Stranger, controlled, ..GOOD }.tier(), Tier::Never);
            assert_eq!(Facts { ejected: true, controlled, ..GOOD }.tier(), Tier::Never);
        }
    }

    #[test]
    fn without_any_control_stream_readiness_decides() {
        let blind = Facts { link: Link::Unknown, state: State::Joining, controlled: false, ..GOOD };
        assert_eq!(blind.tier(), Tier::Open);
        assert_eq!(Facts { ready: false, ..blind }.tier(), Tier::Bound);
        assert_eq!(Facts { ready: false, serving: false, ..blind }.tier(), Tier::Spare);
        assert_eq!(Facts { link: Link::Broken, ..blind }.tier(), Tier::Open);
    }

    #[test]
    fn a_member_whose_stream_is_not_open_yet_keeps_its_own_and_gets_no_new_ones() {
        let unknown = Facts { link: Link::Unknown, state: State::Joining, ..GOOD };
        assert_eq!(unknown.tier(), Tier::Bound);
        assert_eq!(Facts { ready: false, serving: false, ..unknown }.tier(), Tier::Spare);
    }
}
