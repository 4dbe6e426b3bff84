//! What the gateways are told: a ConfigMap with one JSON document, whose generation rises when, and only when, what it says changes.

use std::collections::BTreeMap;

use holdfast_api::{GatewayIntent, names};
use k8s_openapi::api::core::v1::ConfigMap;

use super::meta;
use crate::cluster::Cluster;

/// What the gateways shall be told, given what the ConfigMap says now. One that cannot be read counts as generation 0 of something else.
pub fn next(cluster: &Cluster, now: Option<&ConfigMap>) -> GatewayIntent {
    let text = now.and_then(|map| map.data.as_ref()).and_then(|data| data.get(names::INTENT_KEY));
    let before = text.and_then(|text| serde_json::from_str::<GatewayIntent>(text).ok());
    let generation = before.as_ref().map_or(0, |intent| intent.generation);
    let intent = GatewayIntent {
        generation,
        cookie: names::ROUTE_COOKIE.to_owned(),
        sources: cluster.spec.affinity_sources(),
        admin_port: names::ADMIN_PORT,
    };
    if before.as_ref() == Some(&intent) { intent } else { GatewayIntent { generation: generation + 1, ..intent } }
}

/// The ConfigMap. Gateways watch it through the API server; mounted, it would arrive a minute late.
pub(super) fn config_map(cluster: &Cluster, intent: &GatewayIntent) -> ConfigMap {
    let text = serde_json::to_string(intent).expect("numbers, texts and a list of texts");
    ConfigMap {
        metadata: meta::object(cluster, names::gateway(&cluster.name), names::GATEWAY),
        data: Some(BTreeMap::from([(names::INTENT_KEY.to_owned(), text)])),
        ..ConfigMap::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    #[test]
    fn the_first_intent_has_generation_one_and_the_agreed_fields() {
        let cluster = testing::cluster(json!({"affinity": {"sources": [{"type": "Cookie", "name": "sessionid"}]}}));
        let map = config_map(&cluster, &next(&cluster, None));
        let text = &map.data.expect("data")["intent.json"];
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(text).expect("JSON"),
            json!({"generation": 1, "cookie": "holdfast-route", "sources": [{"type": "Cookie", "name": "sessionid"}], "adminPort": 4001})
        );
    }

    #[test]
    fn the_generation_rises_when_and_only_when_the_content_changes() {
        let before = testing::cluster(json!({}));
        let first = config_map(&before, &next(&before, None));
        assert_eq!(next(&before, Some(&first)).generation, 1);
        let after = testing::cluster(json!({"affinity": {"sources": [{"type": "Cookie", "name": "sessionid"}]}}));
        let second = next(&after, Some(&first));
        assert_eq!(second.generation, 2);
        assert_eq!(next(&after, Some(&config_map(&after, &second))).generation, 2);
    }

    #[test]
    fn a_preset_names_the_cookie_unless_the_resource_does() {
        let names = |spec| next(&testing::cluster(spec), None).sources.into_iter().map(|source| source.name).collect::<Vec<_>>();
        assert_eq!(names(json!({"workload": {"preset": "Django"}})), ["sessionid"]);
        let both = json!({"workload": {"preset": "Django"}, "affinity": {"sources": [{"type": "Cookie", "name": "sid"}]}});
        assert_eq!(names(both), ["sid"]);
    }

    #[test]
    fn an_intent_that_cannot_be_read_is_written_anew() {
        let cluster = testing::cluster(json!({}));
        let mut map = config_map(&cluster, &next(&cluster, None));
        map.data = Some(BTreeMap::from([(names::INTENT_KEY.to_owned(), "{".to_owned())]));
        assert_eq!(next(&cluster, Some(&map)).generation, 1);
    }
}
