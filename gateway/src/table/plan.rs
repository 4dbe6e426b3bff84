//! Which members the next table holds: those that the EndpointSlices list, and those that vanished from them but are to be kept. Pure.

use std::net::SocketAddr;
use std::time::Duration;

use crate::clock::{Millis, millis};
use crate::table::endpoint::Endpoint;

/// What of a member of the present table decides whether it stays.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) addr: SocketAddr,
    /// Its control stream runs and it has not handed everything over.
    pub(crate) alive: bool,
    /// When it vanished from the EndpointSlices; `None` while it is listed.
    pub(crate) unlisted: Option<Millis>,
}

/// Indices of the members of the present table to keep although `listed` does not have them.
///
/// A list that lacks a living member is behind or wrong (a controller that restarts, an endpoint between two slices), and it ends by itself:
/// the stream breaks when the pod goes. Where no control stream tells more, only a list without any endpoint is doubted, and not for long,
/// because the addresses may be given to others.
pub(crate) fn kept(present: &[Known], listed: &[Endpoint], controlled: bool, now: Millis, ghosts: Duration) -> Vec<usize> {
    let stays = |known: &Known| {
        let taken_over = |endpoint: &Endpoint| endpoint.pod == known.pod || endpoint.addr.ip() == known.addr.ip();
        if listed.iter().any(taken_over) {
            false
        } else if controlled {
            known.alive
        } else {
            listed.is_empty() && known.unlisted.is_none_or(|since| now.saturating_sub(since) < millis(ghosts))
        }
    };
    let unlisted = |known: &Known| !listed.iter().any(|endpoint| same(known, endpoint));
    present.iter().enumerate().filter(|(_, known)| unlisted(known) && stays(known)).map(|(index, _)| index).collect()
}

/// A member is one pod at one address: with either another it is another member, with connections of its own.
pub(crate) fn same(known: &Known, endpoint: &Endpoint) -> bool {
    known.uid == endpoint.uid && known.addr == endpoint.addr
}

#[cfg(test)]
mod tests {
    use super::*;

    const GHOSTS: Duration = Duration::from_secs(30);

    fn known(ordinal: u8, alive: bool) -> Known {
        let addr = SocketAddr::from(([10, 0, 0, ordinal], 80));
        Known { pod: format!("shop-{ordinal}"), uid: format!("uid-{ordinal}"), addr, alive, unlisted: None }
    }

    fn listed(ordinal: u8) -> Endpoint {
        let Known { pod, uid, addr, .. } = known(ordinal, true);
        Endpoint { pod, uid, addr, ready: true, serving: true, terminating: false }
    }

    #[test]
    fn a_member_that_vanished_stays_while_its_stream_runs() {
        let present = [known(0, true), known(1, true), known(2, false)];
        assert_eq!(kept(&present, &[listed(0)], true, 0, GHOSTS), [1]);
        assert_eq!(kept(&present, &[], true, 0, GHOSTS), [0, 1]);
    }

    #[test]
    fn a_successor_and_whoever_takes_over_the_address_end_it() {
        let present = [known(1, true)];
        let successor = Endpoint { uid: "new".to_owned(), addr: SocketAddr::from(([10, 0, 0, 9], 80)), ..listed(1) };
        assert!(kept(&present, &[successor], true, 0, GHOSTS).is_empty());
        let squatter = Endpoint { pod: "shop-2".to_owned(), uid: "x".to_owned(), ..listed(1) };
        assert!(kept(&present, &[squatter], true, 0, GHOSTS).is_empty());
    }

    #[test]
    fn without_control_streams_only_an_empty_list_is_doubted_and_not_for_ever() {
        let mut present = [known(0, false), known(1, false)];
        assert!(kept(&present, &[listed(0)], false, 0, GHOSTS).is_empty());
        assert_eq!(kept(&present, &[], false, 0, GHOSTS), [0, 1]);
        present[0].unlisted = Some(1000);
        present[1].unlisted = Some(5000);
        assert_eq!(kept(&present, &[], false, 31_000, GHOSTS), [1]);
    }

    #[test]
    fn a_listed_member_is_not_kept_beside_itself() {
        assert!(kept(&[known(0, true)], &[listed(0)], true, 0, GHOSTS).is_empty());
    }
}
