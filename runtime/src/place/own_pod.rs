//! The place from this member's own pod. A pod may not read its node, so the operator writes the node's zone and domain on the pod.

use std::fmt::{self, Debug};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use holdfast_api::names;
use holdfast_core::Place;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt};
use tokio::time::timeout;
use tracing::debug;

use super::Locator;

/// One call to the API server.
const DEADLINE: Duration = Duration::from_secs(1);

/// Asks the API server for this member's own pod.
pub struct OwnPod {
    api: Api<Pod>,
    name: String,
    uid: String,
}

impl Debug for OwnPod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnPod").field("name", &self.name).finish_non_exhaustive()
    }
}

impl OwnPod {
    /// The pod `name` of `namespace`; one of another UID is somebody else's.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, uid: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned(), uid: uid.to_owned() }
    }
}

impl Locator for OwnPod {
    fn locate(&self) -> BoxFuture<'_, Option<Place>> {
        async move {
            match timeout(DEADLINE, self.api.get(&self.name)).await {
                Ok(Ok(pod)) => place_of(&pod, &self.uid),
                Ok(Err(error)) => {
                    debug!(error = &error as &dyn std::error::Error, "could not look for the place of this member");
                    None
                }
                Err(_) => None,
            }
        }
        .boxed()
    }
}

/// What the operator wrote on the pod. It writes both at once, and an empty zone where there is none.
fn place_of(pod: &Pod, uid: &str) -> Option<Place> {
    let note = |key| pod.annotations().get(key).cloned();
    let is_own = pod.metadata.uid.as_deref() == Some(uid);
    is_own.then(|| Some(Place { zone: note(names::ZONE_ANNOTATION)?, domain: note(names::DOMAIN_ANNOTATION).unwrap_or_default() }))?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(annotations: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"uid": "u1", "annotations": annotations}})).expect("a pod")
    }

    #[test]
    fn a_place_is_what_the_operator_wrote_on_the_own_pod() {
        let both = pod(json!({"holdfast.dev/zone": "a", "holdfast.dev/domain": "room"}));
        assert_eq!(place_of(&both, "u1"), Some(Place { zone: "a".to_owned(), domain: "room".to_owned() }));
        assert_eq!(place_of(&both, "u2"), None, "a successor's pod");
        assert_eq!(place_of(&pod(json!({"holdfast.dev/zone": "", "holdfast.dev/domain": ""})), "u1"), Some(Place::default()));
        assert_eq!(place_of(&pod(json!({})), "u1"), None);
    }
}
