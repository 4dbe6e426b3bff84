//! The metrics, under the names that docs/gateway.md lists. What a request counts has its handle ready, because looking one up by its labels for
//! every request costs more than the rest of the routing.

use std::sync::OnceLock;

use http::StatusCode;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// Says what each metric means; call it once, after the recorder is installed.
pub(crate) fn describe() {
    describe_counter!("holdfast_gateway_requests_total", "Responses to clients, by member (empty: the gateway's own) and code");
    describe_counter!("holdfast_gateway_retries_total", "Attempts after the first, by reason");
    describe_counter!("holdfast_gateway_retries_denied_total", "Retries that the budget did not allow");
    describe_counter!("holdfast_gateway_ejections_total", "Times that a member was taken out of use, by member and reason");
    describe_counter!(
        "holdfast_gateway_affinity_total",
        "Requests by affinity: hit, miss (no valid route), failover (the member was gone)"
    );
    describe_counter!("holdfast_gateway_holds_total", "Requests that waited for a member, by result: served, expired, full");
    describe_counter!("holdfast_gateway_member_connections_total", "Connections opened, by member");
    describe_counter!("holdfast_gateway_table_swaps_total", "Routing tables taken into use");
    describe_counter!("holdfast_gateway_watch_errors_total", "Failed watches of the API server, by kind");
    describe_gauge!("holdfast_gateway_held_requests", "Requests that wait for a member");
    describe_gauge!("holdfast_gateway_client_connections", "Connections of clients");
    describe_gauge!("holdfast_gateway_tunnels", "Upgraded connections (WebSocket)");
    describe_gauge!("holdfast_gateway_table_members", "Members in the routing table");
    describe_gauge!("holdfast_gateway_table_generation", "Generation of the operator's intent that the table follows");
}

/// The responses of one member, or the gateway's own.
pub(crate) struct Responses {
    route: String,
    /// By code, from 100.
    codes: Box<[OnceLock<Counter>; 500]>,
}

impl std::fmt::Debug for Responses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responses").field("route", &self.route).finish_non_exhaustive()
    }
}

impl Responses {
    /// The route is empty for the gateway's own.
    pub(crate) fn new(route: &str) -> Self {
        Self { route: route.to_owned(), codes: Box::new([const { OnceLock::new() }; 500]) }
    }

    pub(crate) fn count(&self, code: StatusCode) {
        let new = || counter!("holdfast_gateway_requests_total", "member" => self.route.clone(), "code" => code.as_str().to_owned());
        match self.codes.get(usize::from(code.as_u16()).saturating_sub(100)) {
            Some(slot) => slot.get_or_init(new).increment(1),
            // Codes from 600 on are not HTTP, but members may send what they like.
            None => new().increment(1),
        }
    }
}

/// What the whole gateway counts.
pub(crate) struct Meters {
    pub(crate) own: Responses,
    pub(crate) hit: Counter,
    pub(crate) miss: Counter,
    pub(crate) failover: Counter,
    pub(crate) denied: Counter,
    pub(crate) held: Gauge,
    pub(crate) clients: Gauge,
    pub(crate) tunnels: Gauge,
}

impl Meters {
    pub(crate) fn new() -> Self {
        let affinity = |result: &'static str| counter!("holdfast_gateway_affinity_total", "result" => result);
        Self {
            own: Responses::new(""),
            hit: affinity("hit"),
            miss: affinity("miss"),
            failover: affinity("failover"),
            denied: counter!("holdfast_gateway_retries_denied_total"),
            held: gauge!("holdfast_gateway_held_requests"),
            clients: gauge!("holdfast_gateway_client_connections"),
            tunnels: gauge!("holdfast_gateway_tunnels"),
        }
    }
}

/// Connections opened to a member.
pub(crate) fn connections(route: &str) -> Counter {
    counter!("holdfast_gateway_member_connections_total", "member" => route.to_owned())
}

pub(crate) fn retry(reason: &'static str) {
    counter!("holdfast_gateway_retries_total", "reason" => reason).increment(1);
}

pub(crate) fn ejection(route: &str, reason: &'static str) {
    counter!("holdfast_gateway_ejections_total", "member" => route.to_owned(), "reason" => reason).increment(1);
}

pub(crate) fn hold(result: &'static str) {
    counter!("holdfast_gateway_holds_total", "result" => result).increment(1);
}

pub(crate) fn table(members: usize, generation: u64) {
    counter!("holdfast_gateway_table_swaps_total").increment(1);
    gauge!("holdfast_gateway_table_members").set(members as f64);
    gauge!("holdfast_gateway_table_generation").set(generation as f64);
}

pub(crate) fn watch_error(kind: &'static str) {
    counter!("holdfast_gateway_watch_errors_total", "kind" => kind).increment(1);
}
