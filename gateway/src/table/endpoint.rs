//! EndpointSlices as the gateway understands them: one endpoint for each member's pod. Pure.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use holdfast_api::names;
use k8s_openapi::api::discovery::v1::{Endpoint as Listed, EndpointPort, EndpointSlice};

/// A member's pod as the EndpointSlices show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The pod's name, which is the route.
    pub pod: String,
    /// The pod's UID: another pod may take over the name and the address, but never this.
    pub uid: String,
    /// Where its application listens.
    pub addr: SocketAddr,
    /// Passes its readiness probes and is not terminating.
    pub ready: bool,
    /// Passes its readiness probes, whether it is terminating or not.
    pub serving: bool,
    /// Is terminating.
    pub terminating: bool,
}

/// All endpoints of the slices that belong to members of `cluster`, sorted by ordinal, one for each route.
pub fn endpoints<'a>(cluster: &str, slices: impl IntoIterator<Item = &'a EndpointSlice>) -> Vec<Endpoint> {
    let mut found: HashMap<u32, Endpoint> = HashMap::new();
    for slice in slices {
        let Some(port) = application_port(slice.ports.as_deref().unwrap_or_default()) else { continue };
        for listed in &slice.endpoints {
            let Some((ordinal, endpoint)) = endpoint(cluster, listed, port) else { continue };
            // The same pod stands in two slices while it moves between them or has two address families, and for a moment the slices may show
            // a pod beside its successor of the same name: the one that serves counts, then the IPv4 address.
            let rank = |endpoint: &Endpoint| (endpoint.ready, endpoint.serving, endpoint.addr.is_ipv4());
            match found.get(&ordinal) {
                Some(other) if rank(other) >= rank(&endpoint) => {}
                _ => drop(found.insert(ordinal, endpoint)),
            }
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(ordinal, _)| *ordinal);
    found.into_iter().map(|(_, endpoint)| endpoint).collect()
}

fn endpoint(cluster: &str, listed: &Listed, port: u16) -> Option<(u32, Endpoint)> {
    let target = listed.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"))?;
    let (pod, uid) = (target.name.clone()?, target.uid.clone()?);
    let ordinal = names::ordinal(cluster, &pod)?;
    // All addresses of an endpoint are the same pod; the API allows more than one, and consumers use the first.
    let ip: IpAddr = listed.addresses.first()?.parse().ok()?;
    let conditions = listed.conditions.clone().unwrap_or_default();
    // Absent means "unknown", which the API tells consumers to take for ready and for as serving as it is ready.
    let ready = conditions.ready.unwrap_or(true);
    let serving = conditions.serving.unwrap_or(ready);
    let terminating = conditions.terminating.unwrap_or(false);
    Some((ordinal, Endpoint { pod, uid, addr: SocketAddr::new(ip, port), ready, serving, terminating }))
}

fn application_port(ports: &[EndpointPort]) -> Option<u16> {
    let named = ports.iter().find(|port| port.name.as_deref() == Some(names::HTTP_PORT_NAME));
    let only = if let [port] = ports { Some(port) } else { None };
    named.or(only)?.port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ObjectReference;
    use k8s_openapi::api::discovery::v1::EndpointConditions;

    use super::*;

    fn listed(pod: &str, uid: &str, ip: &str, conditions: (Option<bool>, Option<bool>, Option<bool>)) -> Listed {
        Listed {
            addresses: vec![ip.to_owned()],
            conditions: Some(EndpointConditions { ready: conditions.0, serving: conditions.1, terminating: conditions.2 }),
            target_ref: Some(ObjectReference {
                kind: Some("Pod".to_owned()),
                name: Some(pod.to_owned()),
                uid: Some(uid.to_owned()),
                ..ObjectReference::default()
            }),
            ..Listed::default()
        }
    }

    fn slice(endpoints: Vec<Listed>, ports: &[(&str, i32)]) -> EndpointSlice {
        let port =
            |(name, port): &(&str, i32)| EndpointPort { name: Some((*name).to_owned()), port: Some(*port), ..EndpointPort::default() };
        EndpointSlice { endpoints, ports: Some(ports.iter().map(port).collect()), ..EndpointSlice::default() }
    }

    const READY: (Option<bool>, Option<bool>, Option<bool>) = (Some(true), Some(true), Some(false));

    #[test]
    fn members_come_out_by_ordinal_with_the_applications_port() {
        let all = [
            slice(vec![listed("shop-10", "k", "10.0.0.10", READY)], &[("metrics", 9000), ("http", 8080)]),
            slice(vec![listed("shop-2", "c", "10.0.0.2", READY)], &[("any", 8080)]),
        ];
        let found = endpoints("shop", &all);
        let short: Vec<_> = found.iter().map(|endpoint| (endpoint.pod.as_str(), endpoint.addr.to_string())).collect();
        assert_eq!(short, [("shop-2", "10.0.0.2:8080".to_owned()), ("shop-10", "10.0.0.10:8080".to_owned())]);
    }

    #[test]
    fn what_is_no_member_is_passed_over() {
        let mut service = listed("shop-1", "a", "10.0.0.1", READY);
        service.target_ref = None;
        let strange = vec![
            service,
            listed("other-0", "b", "10.0.0.2", READY),
            listed("shop-gateway-1", "c", "10.0.0.3", READY),
            listed("shop-3", "d", "a.name", READY),
        ];
        assert_eq!(endpoints("shop", &[slice(strange, &[("http", 80)])]), []);
        let two_unnamed = slice(vec![listed("shop-0", "a", "10.0.0.1", READY)], &[("a", 1), ("b", 2)]);
        assert_eq!(endpoints("shop", &[two_unnamed]), []);
    }

    #[test]
    fn unknown_conditions_count_as_ready_and_a_terminating_pod_may_still_serve() {
        let all = [slice(
            vec![
                listed("shop-0", "a", "10.0.0.1", (None, None, None)),
                listed("shop-1", "b", "10.0.0.2", (Some(false), Some(true), Some(true))),
                listed("shop-2", "c", "10.0.0.3", (Some(false), None, None)),
            ],
            &[("http", 80)],
        )];
        let flags: Vec<_> = endpoints("shop", &all).iter().map(|one| (one.ready, one.serving, one.terminating)).collect();
        assert_eq!(flags, [(true, true, false), (false, true, true), (false, false, false)]);
    }

    #[test]
    fn of_two_entries_for_one_route_the_one_that_serves_counts() {
        let old = listed("shop-0", "old", "10.0.0.1", (Some(false), Some(false), Some(true)));
        let new = listed("shop-0", "new", "10.0.0.2", READY);
        for order in [vec![old.clone(), new.clone()], vec![new, old]] {
            let found = endpoints("shop", &[slice(order, &[("http", 80)])]);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].uid, "new");
        }
    }
}
