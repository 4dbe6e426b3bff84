//! What one user was promised: which items must be in the cart, which must not, and which may be either because the outcome of
//! an operation is unknown. Item ids are used once only, so a look at the cart is exact.

use std::collections::{BTreeMap, BTreeSet};

/// What is known about an item that the user once asked to be put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knowledge {
    /// Added and acknowledged.
    Present,
    /// The adding has an unknown outcome: once seen it must stay.
    MaybeAdded,
    /// The removing has an unknown outcome: once gone it must stay away.
    MaybeRemoved,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Loss {
    /// Its adding was acknowledged, or it had been seen, and it is not in the cart.
    Missing(String),
    /// Its removing was acknowledged, or its adding was refused, and it is in the cart.
    CameBack(String),
    /// The session's count of its requests did not grow: an acknowledged state was undone.
    WentBack {
        /// The count of the last acknowledged answer.
        from: u64,
        /// The count now.
        to: u64,
    },
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(id) => write!(f, "{id} was acknowledged and is gone"),
            Self::CameBack(id) => write!(f, "{id} should not be there and is"),
            Self::WentBack { from, to } => write!(f, "the session's request count went from {from} to {to}"),
        }
    }
}

/// The user's own book about their cart.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    items: BTreeMap<String, Knowledge>,
    issued: u64,
    requests: u64,
}

impl Ledger {
    /// A name for the next item, `<product>.u<user>-<n>`, never used before.
    pub(super) fn next_id(&mut self, product: &str, user: usize) -> String {
        self.issued += 1;
        format!("{product}.u{user}-{}", self.issued)
    }

    /// Items that are surely in the cart.
    pub(super) fn present(&self) -> impl ExactSizeIterator<Item = &String> {
        let present: Vec<_> = self.items.iter().filter(|(_, known)| **known == Knowledge::Present).map(|(id, _)| id).collect();
        present.into_iter()
    }

    pub(super) fn added(&mut self, id: String) {
        self.items.insert(id, Knowledge::Present);
    }

    pub(super) fn maybe_added(&mut self, id: String) {
        self.items.insert(id, Knowledge::MaybeAdded);
    }

    pub(super) fn removed(&mut self, id: &str) {
        self.items.remove(id);
    }

    pub(super) fn maybe_removed(&mut self, id: String) {
        self.items.insert(id, Knowledge::MaybeRemoved);
    }

    /// Every acknowledged answer carries how many requests the session has seen; it must have grown.
    pub(super) fn check_requests(&mut self, requests: u64) -> Option<Loss> {
        let from = std::mem::replace(&mut self.requests, requests);
        (requests <= from).then_some(Loss::WentBack { from, to: requests })
    }

    /// Compares the cart with what was promised. Afterwards the book agrees with the cart, so that each loss is told once.
    pub(super) fn check_cart(&mut self, cart: &BTreeSet<String>) -> Vec<Loss> {
        let mut losses = Vec::new();
        self.items.retain(|id, known| match (*known, cart.contains(id)) {
            (Knowledge::Present, false) => {
                losses.push(Loss::Missing(id.clone()));
                false
            }
            (Knowledge::MaybeAdded, true) => {
                *known = Knowledge::Present;
                true
            }
            (Knowledge::MaybeRemoved, false) => false,
            (Knowledge::Present | Knowledge::MaybeRemoved, true) | (Knowledge::MaybeAdded, false) => true,
        });
        for id in cart {
            if !self.items.contains_key(id) {
                losses.push(Loss::CameBack(id.clone()));
                self.added(id.clone());
            }
        }
        losses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cart(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn an_acknowledged_add_must_be_there_and_its_loss_is_told_once() {
        let mut ledger = Ledger::default();
        ledger.added("a".to_owned());
        assert_eq!(ledger.check_cart(&cart(&["a"])), []);
        assert_eq!(ledger.check_cart(&cart(&[])), [Loss::Missing("a".to_owned())]);
        assert_eq!(ledger.check_cart(&cart(&[])), []);
    }

    #[test]
    fn an_acknowledged_remove_must_stay_away() {
        let mut ledger = Ledger::default();
        ledger.added("a".to_owned());
        ledger.removed("a");
        assert_eq!(ledger.check_cart(&cart(&[])), []);
        assert_eq!(ledger.check_cart(&cart(&["a"])), [Loss::CameBack("a".to_owned())]);
    }

    #[test]
    fn a_doubtful_add_may_be_either_but_once_seen_it_must_stay() {
        let mut ledger = Ledger::default();
        ledger.maybe_added("a".to_owned());
        assert_eq!(ledger.check_cart(&cart(&[])), [], "not yet, or never");
        assert_eq!(ledger.check_cart(&cart(&["a"])), [], "now it is");
        assert_eq!(ledger.check_cart(&cart(&[])), [Loss::Missing("a".to_owned())]);
    }

    #[test]
    fn a_doubtful_remove_may_be_either_but_once_gone_it_must_stay_away() {
        let mut ledger = Ledger::default();
        ledger.added("a".to_owned());
        ledger.maybe_removed("a".to_owned());
        assert_eq!(ledger.check_cart(&cart(&["a"])), []);
        assert_eq!(ledger.check_cart(&cart(&[])), []);
        assert_eq!(ledger.check_cart(&cart(&["a"])), [Loss::CameBack("a".to_owned())]);
    }

    #[test]
    fn the_sessions_own_count_never_goes_back() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.check_requests(3), None);
        assert_eq!(ledger.check_requests(5), None, "requests with an unknown outcome may have counted");
        assert_eq!(ledger.check_requests(5), Some(Loss::WentBack { from: 5, to: 5 }));
        assert_eq!(ledger.check_requests(1), Some(Loss::WentBack { from: 5, to: 1 }));
    }

    #[test]
    fn ids_are_never_used_twice() {
        let mut ledger = Ledger::default();
        assert_ne!(ledger.next_id("mug", 7), ledger.next_id("mug", 7));
    }
}
