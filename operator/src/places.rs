//! Where members run, as far as failures are shared: the zone and the domain of each pod's node, written on the pod, since a pod may not read nodes. Pure.

use std::collections::BTreeMap;

use holdfast_api::{Placement, names};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::observed::Observed;

/// The annotations of a pod that say where it is.
pub type Place = BTreeMap<&'static str, String>;

/// A pod that does not say where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placing {
    /// Its name.
    pub pod: String,
    /// Its UID: a successor may be elsewhere.
    pub uid: String,
    /// What it should say.
    pub place: Place,
}

/// The place of a node with these labels. What it does not have is empty, so that the member knows that there is nothing to wait for.
pub fn of_node(labels: &BTreeMap<String, String>, placement: &Placement) -> Place {
    let value = |label: Option<&String>| label.and_then(|label| labels.get(label)).cloned().unwrap_or_default();
    BTreeMap::from([
        (names::ZONE_ANNOTATION, value(Some(&placement.zone_label))),
        (names::DOMAIN_ANNOTATION, value(placement.domain_label.as_ref())),
    ])
}

/// The members' pods that do not say where they are.
pub fn due(observed: &Observed) -> Vec<Placing> {
    let is_member = |pod: &&Pod| pod.labels().get(names::COMPONENT_LABEL).is_some_and(|component| component == names::MEMBER);
    let placing = |pod: &Pod| {
        let place = observed.places.get(pod.spec.as_ref()?.node_name.as_ref()?)?;
        let is_said = place.iter().all(|(key, value)| pod.annotations().get(*key) == Some(value));
        (!is_said).then(|| Placing { pod: pod.name_any(), uid: pod.uid().unwrap_or_default(), place: place.clone() })
    };
    observed.pods.iter().filter(is_member).filter_map(placing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    fn placement(domain: Option<&str>) -> Placement {
        Placement { domain_label: domain.map(str::to_owned), ..Placement::default() }
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_place_is_read_from_the_labels_that_the_resource_names() {
        let node = labels(&[("topology.kubernetes.io/zone", "a"), ("room", "7")]);
        let place = of_node(&node, &placement(Some("room")));
        assert_eq!((place["holdfast.dev/zone"].as_str(), place["holdfast.dev/domain"].as_str()), ("a", "7"));
        let place = of_node(&labels(&[]), &placement(None));
        assert_eq!((place["holdfast.dev/zone"].as_str(), place["holdfast.dev/domain"].as_str()), ("", ""));
    }

    #[test]
    fn a_pod_is_told_once_it_has_a_node_and_again_when_the_node_changes() {
        let zone = |zone: &str| of_node(&labels(&[("topology.kubernetes.io/zone", zone)]), &placement(None));
        let mut world = World::settled(2).pod(1, |pod| {
            pod.metadata.labels.get_or_insert_default().insert(names::COMPONENT_LABEL.to_owned(), names::MEMBER.to_owned());
        });
        assert_eq!(due(&world.observed), [], "nothing is known of its node");
        world.observed.places = BTreeMap::from([("node-1".to_owned(), zone("a"))]);
        let told = due(&world.observed);
        assert_eq!((told.len(), told[0].pod.as_str(), told[0].uid.as_str()), (1, "shop-1", "pod-1"));
        let mut told = world.pod(1, |pod| {
            pod.metadata.annotations = Some(zone("a").into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
        });
        assert_eq!(due(&told.observed), []);
        told.observed.places = BTreeMap::from([("node-1".to_owned(), zone("b"))]);
        assert_eq!(due(&told.observed).len(), 1);
    }
}
