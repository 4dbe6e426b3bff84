//! Which member a request goes to. Pure but for the dice: the members come in as a [`Field`], so that the same code runs on the live table and
//! on a list in a test.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::table::tier::Tier;

/// What the choice looks at in one member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// How far it may be used.
    pub(crate) tier: Tier,
    /// Requests that it has not finished.
    pub(crate) outstanding: u64,
    /// Sessions that it owns, and new ones sent there since it counted.
    pub(crate) sessions: u64,
}

/// The members to choose from.
pub(crate) trait Field {
    /// How many there are.
    fn len(&self) -> usize;
    /// The route of one.
    fn route(&self, index: usize) -> &str;
    /// What counts of one.
    fn seen(&self, index: usize) -> Seen;
    /// Whether this request has tried it already.
    fn tried(&self, index: usize) -> bool;
}

/// Where a request belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish<'a> {
    /// Nowhere yet.
    New,
    /// It carries the application's session, but no route: all its requests should meet at one member, whichever gateway they come through.
    Session(u64),
    /// To the member of this route; the number stands for its session.
    Route(&'a str, u64),
}

/// The member for a request; `None` if there is none that it has not tried.
pub(crate) fn pick(field: &impl Field, wish: Wish<'_>, mut dice: impl FnMut(usize) -> usize) -> Option<usize> {
    if let Wish::Route(route, _) = wish {
        let own = (0..field.len()).find(|index| field.route(*index) == route && !field.tried(*index));
        if let Some(own) = own {
            let tier = field.seen(own).tier;
            // A spare keeps its own only where all the others are no better: moving a session costs, and would gain nothing.
            if tier <= Tier::Bound || tier == Tier::Spare && best_tier(field) == Some(Tier::Spare) {
                return Some(own);
            }
        }
    }
    let best = best_tier(field)?;
    let candidates = || (0..field.len()).filter(|index| !field.tried(*index) && field.seen(*index).tier == best);
    match wish {
        Wish::New => least_loaded(field, candidates(), &mut dice),
        Wish::Session(session) => candidates().max_by_key(|index| score("", session, field.route(*index))),
        Wish::Route(route, session) => candidates().max_by_key(|index| score(route, session, field.route(*index))),
    }
}

fn best_tier(field: &impl Field) -> Option<Tier> {
    let usable = (0..field.len()).filter(|index| !field.tried(*index)).map(|index| field.seen(index).tier);
    usable.filter(|tier| *tier < Tier::Never).min()
}

/// Rendezvous hashing: every gateway that sees the same members gives the same answer, and a member that comes or goes moves only its own share.
fn score(route: &str, session: u64, member: &str) -> u64 {
    xxh3_64_with_seed(member.as_bytes(), session ^ xxh3_64(route.as_bytes()))
}

/// The fewest outstanding requests; among equals the fewest sessions; among equals any.
fn least_loaded(field: &impl Field, candidates: impl Iterator<Item = usize>, dice: &mut impl FnMut(usize) -> usize) -> Option<usize> {
    let mut best: Option<(u64, u64)> = None;
    let mut chosen = None;
    let mut equals = 0;
    for index in candidates {
        let seen = field.seen(index);
        let load = (seen.outstanding, seen.sessions);
        if best.is_none_or(|best| load < best) {
            best = Some(load);
            chosen = Some(index);
            equals = 1;
        } else if best == Some(load) {
            // Each of the equals found so far stays chosen with the same probability.
            equals += 1;
            if dice(equals) == 0 {
                chosen = Some(index);
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Member(&'static str, Tier, u64, u64);

    struct List(Vec<Member>, Vec<usize>);

    impl Field for List {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn route(&self, index: usize) -> &str {
            self.0[index].0
        }
        fn seen(&self, index: usize) -> Seen {
            let Member(_, tier, outstanding, sessions) = self.0[index];
            Seen { tier, outstanding, sessions }
        }
        fn tried(&self, index: usize) -> bool {
            self.1.contains(&index)
        }
    }

    fn list(members: [Member; 3]) -> List {
        List(members.into(), vec![])
    }

    fn chosen(list: &List, wish: Wish<'_>) -> Option<&'static str> {
        pick(list, wish, |_| 0).map(|index| list.0[index].0)
    }

    #[test]
    fn a_new_session_goes_to_the_least_outstanding_then_to_the_fewest_sessions() {
        let members = list([Member("a", Tier::Open, 3, 0), Member("b", Tier::Open, 1, 9), Member("c", Tier::Open, 1, 8)]);
        assert_eq!(chosen(&members, Wish::New), Some("c"));
    }

    #[test]
    fn equals_are_chosen_by_the_dice() {
        let members = list([Member("a", Tier::Open, 0, 0), Member("b", Tier::Open, 0, 0), Member("c", Tier::Open, 0, 0)]);
        let mut counts = [0; 3];
        for _ in 0..3000 {
            let index = pick(&members, Wish::New, |n| rand::random_range(0..n)).expect("one of three");
            counts[index] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_new_session_never_goes_to_a_draining_member_while_one_is_open() {
        let members = list([Member("a", Tier::Bound, 0, 0), Member("b", Tier::Open, 900, 9), Member("c", Tier::Spare, 0, 0)]);
        assert_eq!(chosen(&members, Wish::New), Some("b"));
    }

    #[test]
    fn a_bound_session_stays_while_its_member_serves() {
        for tier in [Tier::Open, Tier::Bound] {
            let members = list([Member("a", tier, 99, 99), Member("b", Tier::Open, 0, 0), Member("c", Tier::Open, 0, 0)]);
            assert_eq!(chosen(&members, Wish::Route("a", 7)), Some("a"));
        }
    }

    #[test]
    fn a_bound_session_leaves_a_spare_for_better_ones_only() {
        let members = list([Member("a", Tier::Spare, 0, 0), Member("b", Tier::Open, 0, 0), Member("c", Tier::Spare, 0, 0)]);
        assert_eq!(chosen(&members, Wish::Route("a", 7)), Some("b"));
        let members = list([Member("a", Tier::Spare, 0, 0), Member("b", Tier::Never, 0, 0), Member("c", Tier::Spare, 0, 0)]);
        for session in 0..50 {
            assert_eq!(chosen(&members, Wish::Route("a", session)), Some("a"));
        }
    }

    #[test]
    fn the_failover_is_the_same_in_every_order_and_whatever_the_load() {
        let names = ["shop-0", "shop-2", "shop-3"];
        let mut used = std::collections::BTreeSet::new();
        for session in 0..200 {
            let one = list(names.map(|name| Member(name, Tier::Open, session, 3)));
            let other = List(names.iter().rev().map(|name| Member(name, Tier::Open, 0, session)).collect(), vec![]);
            let target = chosen(&one, Wish::Route("shop-1", session));
            assert_eq!(target, chosen(&other, Wish::Route("shop-1", session)));
            used.extend(target);
        }
        assert_eq!(used.len(), 3, "the sessions of one member spread over all the others");
    }

    #[test]
    fn a_member_that_goes_moves_only_its_own_share() {
        let names = ["shop-0", "shop-1", "shop-2"];
        for session in 0..200 {
            let before = chosen(&list(names.map(|name| Member(name, Tier::Open, 0, 0))), Wish::Session(session)).expect("one");
            let gone = |name: &'static str| Member(name, if name == "shop-2" { Tier::Never } else { Tier::Open }, 0, 0);
            let after = chosen(&list(names.map(gone)), Wish::Session(session)).expect("one");
            assert!(before == "shop-2" || before == after);
        }
    }

    #[test]
    fn what_was_tried_is_not_chosen_again() {
        let mut members = list([Member("a", Tier::Open, 0, 0), Member("b", Tier::Bound, 0, 0), Member("c", Tier::Never, 0, 0)]);
        members.1.push(0);
        assert_eq!(chosen(&members, Wish::Route("a", 1)), Some("b"));
        members.1.push(1);
        for wish in [Wish::New, Wish::Session(1), Wish::Route("a", 1), Wish::Route("c", 1)] {
            assert_eq!(chosen(&members, wish), None);
        }
    }
}
