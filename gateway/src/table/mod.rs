//! The routing table: the members and how they stand, in one immutable value that is swapped as a whole. A request reads it without a lock.

pub mod endpoint;
pub(crate) mod pick;
pub(crate) mod plan;
pub mod tier;

use std::sync::Arc;

use holdfast_api::names;
use serde::Serialize;

use crate::clock::Millis;
use crate::intent::Intent;
use crate::member::Member;
use crate::table::pick::{Field, Seen, Wish, pick};
use crate::table::tier::{Facts, Link, State, Tier};

/// A routing table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// What the operator wants.
    pub(crate) intent: Intent,
    /// Sorted by ordinal.
    pub(crate) entries: Vec<Entry>,
}

/// A member and what the EndpointSlices said of it when the table was made.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) member: Arc<Member>,
    pub(crate) ready: bool,
    pub(crate) serving: bool,
    pub(crate) terminating: bool,
    /// When it vanished from the slices; `None` while it is listed.
    pub(crate) unlisted: Option<Millis>,
}

impl Entry {
    /// Whether both entries say the same of the same member.
    pub(crate) fn stands_as(&self, other: &Self) -> bool {
        let flags = |entry: &Self| (entry.member.id, entry.ready, entry.serving, entry.terminating, entry.unlisted);
        flags(self) == flags(other)
    }

    pub(crate) fn tier(&self, controlled: bool) -> Tier {
        let member = &self.member;
        let facts = Facts {
            listed: self.unlisted.is_none(),
            ready: self.ready,
            serving: self.serving,
            link: member.link(),
            state: member.state(),
            ejected: member.ejected(),
            controlled,
        };
        facts.tier()
    }
}

/// The table as one request sees it.
struct View<'a> {
    entries: &'a [Entry],
    tried: &'a [u64],
    controlled: bool,
}

impl Field for View<'_> {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn route(&self, index: usize) -> &str {
        &self.entries[index].member.route
    }

    fn seen(&self, index: usize) -> Seen {
        let entry = &self.entries[index];
        Seen { tier: entry.tier(self.controlled), outstanding: entry.member.outstanding(), sessions: entry.member.sessions() }
    }

    fn tried(&self, index: usize) -> bool {
        self.tried.contains(&self.entries[index].member.id)
    }
}

impl Table {
    /// The member for a request that has tried the members `tried` already.
    pub(crate) fn choose(&self, wish: Wish<'_>, tried: &[u64], controlled: bool) -> Option<Arc<Member>> {
        let view = View { entries: &self.entries, tried, controlled };
        let index = pick(&view, wish, |sides| rand::random_range(0..sides))?;
        Some(self.entries[index].member.clone())
    }

    /// Which of the routes that a request carries binds it: the first of a member in the table, else the first that could be of a member of
    /// this cluster that is gone. Anything else is forged or of another cluster, and ignored.
    pub(crate) fn binding<'a>(&self, cluster: &str, routes: &'a [String]) -> Option<&'a str> {
        let present = |route: &&String| self.entries.iter().any(|entry| entry.member.route == **route);
        let past = |route: &&String| names::ordinal(cluster, route).is_some();
        routes.iter().find(present).or_else(|| routes.iter().find(past)).map(String::as_str)
    }

    /// The table for people and the operator.
    pub(crate) fn describe(&self, controlled: bool) -> Description {
        let member = |entry: &Entry| {
            let member = &entry.member;
            MemberDescription {
                route: member.route.clone(),
                pod_uid: member.uid.clone(),
                address: member.addr.to_string(),
                tier: entry.tier(controlled),
                listed: entry.unlisted.is_none(),
                ready: entry.ready,
                serving: entry.serving,
                terminating: entry.terminating,
                control: member.link(),
                state: member.last_report().map(|report| report.state),
                incarnation: member.last_report().map(|report| report.incarnation),
                epoch: member.last_report().map(|report| report.epoch),
                sessions: member.last_report().map(|report| report.sessions),
                ejected: member.ejected(),
                outstanding: member.outstanding(),
                idle_connections: member.pool.idle(),
            }
        };
        Description { generation: self.intent.generation, controlled, members: self.entries.iter().map(member).collect() }
    }
}

/// What `GET /table` answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    generation: u64,
    controlled: bool,
    members: Vec<MemberDescription>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberDescription {
    route: String,
    #[serde(rename = "podUID")]
    pod_uid: String,
    address: String,
    tier: Tier,
    listed: bool,
    ready: bool,
    serving: bool,
    terminating: bool,
    control: Link,
    state: Option<State>,
    incarnation: Option<String>,
    epoch: Option<u64>,
    sessions: Option<u64>,
    ejected: bool,
    outstanding: u64,
    idle_connections: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::tests::member;

    fn table(ordinals: &[u8]) -> Table {
        let entry = |ordinal: &u8| Entry { member: member(*ordinal), ready: true, serving: true, terminating: false, unlisted: None };
        Table { intent: Intent::default(), entries: ordinals.iter().map(entry).collect() }
    }

    fn bound(table: &Table, routes: &[&str]) -> Option<String> {
        let routes: Vec<_> = routes.iter().map(|route| (*route).to_owned()).collect();
        table.binding("shop", &routes).map(ToOwned::to_owned)
    }

    #[test]
    fn of_several_routes_the_one_of_a_present_member_binds() {
        let table = table(&[0, 1]);
        assert_eq!(bound(&table, &["shop-7", "shop-1", "shop-0"]).as_deref(), Some("shop-1"));
        assert_eq!(bound(&table, &["x", "shop-7"]).as_deref(), Some("shop-7"));
    }

    #[test]
    fn a_route_that_cannot_be_of_this_cluster_is_ignored() {
        let table = table(&[0, 1]);
        for forged in ["mall-0", "shop", "shop-01", "shop-gateway-1", "localhost", "10"] {
            assert_eq!(bound(&table, &[forged]), None, "{forged}");
        }
        assert_eq!(bound(&table, &[]), None);
    }

    #[test]
    fn an_ejected_member_is_passed_over_until_it_is_readmitted() {
        let table = table(&[0, 1]);
        table.entries[0].member.eject();
        let chosen = |route| table.choose(Wish::Route(route, 1), &[], false).expect("one is left").route.clone();
        assert_eq!(chosen("shop-0"), "shop-1");
        table.entries[0].member.readmit();
        assert_eq!(chosen("shop-0"), "shop-0");
    }

    #[test]
    fn new_sessions_spread_even_between_two_reports() {
        let table = table(&[0, 1, 2]);
        for _ in 0..300 {
            table.choose(Wish::New, &[], false).expect("three are open").newcomer();
        }
        assert!(table.entries.iter().all(|entry| entry.member.sessions() == 100));
    }
}
