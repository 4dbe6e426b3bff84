//! The watch of the ConfigMap with the operator's intent. One that is missing or wrong changes nothing: the last good one stays.

use holdfast_api::names::INTENT_KEY;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tracing::warn;

use crate::director::Event;
use crate::discover::tracked::Tracked;
use crate::discover::{Names, WATCH_SECONDS, follow};
use crate::intent::{self, Intent};

pub(super) async fn watch(client: Client, namespace: &str, names: &Names, events: mpsc::Sender<Event>) {
    let api = Api::<ConfigMap>::namespaced(client, namespace);
    // The role names this one object: the watch must name it too.
    let config = watcher::Config::default().fields(&format!("metadata.name={}", names.config_map)).timeout(WATCH_SECONDS);
    let mut maps = Tracked::new();
    let take = |event| {
        if !maps.take(event) {
            return None;
        }
        let intent = read(maps.objects().next());
        intent.map(Event::Intent).inspect_err(|error| warn!(config_map = names.config_map, error, "keeping the last intent")).ok()
    };
    follow("configmaps", watcher(api, config), events, take).await;
}

fn read(map: Option<&ConfigMap>) -> Result<Intent, String> {
    let map = map.ok_or("the ConfigMap is not there")?;
    let text = map.data.as_ref().and_then(|data| data.get(INTENT_KEY)).ok_or_else(|| format!("the ConfigMap has no key `{INTENT_KEY}`"))?;
    intent::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn map(key: &str, text: &str) -> ConfigMap {
        ConfigMap { data: Some(BTreeMap::from([(key.to_owned(), text.to_owned())])), ..ConfigMap::default() }
    }

    #[test]
    fn a_missing_or_wrong_intent_is_named() {
        assert!(read(None).expect_err("missing").contains("not there"));
        assert!(read(Some(&map("other", "{}"))).expect_err("no key").contains(INTENT_KEY));
        assert!(read(Some(&map(INTENT_KEY, "{"))).expect_err("no JSON").contains("intent"));
        let text = serde_json::to_string(&Intent::default()).expect("serializable");
        assert_eq!(read(Some(&map(INTENT_KEY, &text))), Ok(Intent::default()));
    }
}
