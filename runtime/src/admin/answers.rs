//! The JSON of the admin API.

use std::collections::BTreeMap;

use holdfast_core::engine::{LaneStatus, LinkStatus, SessionStatus};
use holdfast_core::{NodeId, View};
use serde::Serialize;

use super::Identity;
use crate::status::{Phase, Status};

/// `GET /v1/members`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Members<'a> {
    cluster: &'a str,
    /// Who answers.
    member: &'a str,
    epoch: u64,
    members: Vec<Entry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: u8,
    name: String,
    incarnation: String,
    #[serde(rename = "podUID")]
    pod_uid: String,
    state: String,
    /// How it stands with the one who answers; absent for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<Link>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    ready: bool,
    suspected: bool,
    silent_millis: u64,
    wire_version: u16,
    compressed: bool,
    /// How many connections it should have.
    wanted_connections: u8,
    connections: Vec<LinkConnection>,
    sent: u64,
    sent_bytes: u64,
    received: u64,
    resent: u64,
    not_transferred: u64,
    duplicates: u64,
    overflows: u64,
    /// What waits now: sent and not acknowledged, and received before an earlier message.
    unacknowledged: usize,
    unacknowledged_bytes: u64,
    early_bytes: u64,
    /// From sending to acknowledgement.
    average_millis: f64,
    longest_millis: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkConnection {
    number: u64,
    ready: bool,
    silent_millis: u64,
    unacknowledged_bytes: u64,
}

impl Link {
    fn new(link: &LinkStatus) -> Self {
        let connection = |connection: &LaneStatus| LinkConnection {
            number: connection.conn.0,
            ready: connection.is_ready,
            silent_millis: connection.silent,
            unacknowledged_bytes: connection.unacked_bytes,
        };
        let counters = &link.counters;
        Self {
            ready: link.is_ready,
            suspected: link.is_suspected,
            silent_millis: link.silent,
            wire_version: link.version,
            compressed: link.is_packed,
            wanted_connections: link.wanted_connections,
            connections: link.connections.iter().map(connection).collect(),
            sent: counters.sent,
            sent_bytes: counters.sent_bytes,
            received: counters.received,
            resent: counters.resent,
            not_transferred: counters.not_transferred,
            duplicates: counters.duplicates,
            overflows: counters.overflows,
            unacknowledged: link.unacked_frames,
            unacknowledged_bytes: link.unacked_bytes,
            early_bytes: link.early_bytes,
            average_millis: counters.wait_total as f64 / counters.acknowledged.max(1) as f64,
            longest_millis: counters.wait_longest,
        }
    }
}

impl<'a> Members<'a> {
    pub(super) fn new(identity: &'a Identity, status: &Status, links: &[LinkStatus]) -> Self {
        let links: BTreeMap<NodeId, &LinkStatus> = links.iter().map(|link| (link.peer.id, link)).collect();
        let entry = |(id, entry): (&NodeId, &holdfast_core::ViewEntry)| Entry {
            id: id.get(),
            name: entry.name.clone(),
            incarnation: entry.incarnation.to_string(),
            pod_uid: entry.pod_uid.clone(),
            state: format!("{:?}", entry.state),
            link: links.get(id).map(|link| Link::new(link)),
        };
        let members = status.view.iter().flat_map(|view| view.members.iter().map(entry)).collect();
        Self { cluster: &identity.cluster, member: &identity.member, epoch: status.epoch(), members }
    }
}

/// `GET /v1/sessions`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sessions<'a> {
    cluster: &'a str,
    member: &'a str,
    state: Phase,
    epoch: u64,
    owned: u64,
    kept: u64,
    /// Own ones that are not known to have all their copies in this view.
    unprotected: u64,
    /// Given away, and not confirmed yet.
    unconfirmed_transfers: u64,
    /// Memory that sessions and copies take, and may take; absent without a limit.
    memory_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_budget_bytes: Option<u64>,
}

impl<'a> Sessions<'a> {
    pub(super) fn new(identity: &'a Identity, status: &Status) -> Self {
        Self {
            cluster: &identity.cluster,
            member: &identity.member,
            state: status.phase,
            epoch: status.epoch(),
            owned: status.owned,
            kept: status.kept,
            unprotected: status.unprotected,
            unconfirmed_transfers: status.transfers,
            memory_bytes: status.load.bytes,
            memory_budget_bytes: status.load.budget,
        }
    }
}

/// `GET /v1/sessions/{key}`: everything but its content.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Session {
    key: String,
    owner: String,
    home: Option<String>,
    holders: Vec<String>,
    term: u64,
    sequence: u64,
    /// Absent for a session that was deleted and is not forgotten yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_millis: Option<u64>,
}

impl Session {
    pub(super) fn new(key: &[u8], session: &SessionStatus, view: Option<&View>) -> Self {
        // A member that is not in the view any more has no name here.
        let name = |id: NodeId| view.and_then(|view| view.members.get(&id)).map_or_else(|| format!("{id:?}"), |entry| entry.name.clone());
        Self {
            key: key.escape_ascii().to_string(),
            owner: name(session.owner.id),
            home: session.home.map(name),
            holders: session.holders.iter().map(name).collect(),
            term: session.term,
            sequence: session.seq,
            bytes: session.size,
            ttl_millis: session.ttl,
        }
    }
}
