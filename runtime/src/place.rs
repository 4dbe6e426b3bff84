//! Where this member runs, as far as failures are shared. A pod may not read its node, so the operator writes the node's zone and domain on the pod.

use std::fmt::{self, Debug};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use holdfast_api::names;
use holdfast_core::Place;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt};
use rand::RngExt;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::debug;

/// One call to the API server.
const DEADLINE: Duration = Duration::from_secs(1);

/// How often the pod is looked at while it does not say where it is.
const UNKNOWN: Duration = Duration::from_secs(1);

/// After so many looks nobody is about to say it: an operator that is older, or away.
const HOPEFUL: u32 = 60;

/// How often the pod is looked at otherwise: nodes are hardly ever given another zone.
const KNOWN: Duration = Duration::from_secs(60);

/// Knows where this member runs: the API server on Kubernetes, whatever a test says.
pub trait Locator: Debug + Send + Sync + 'static {
    /// Its place; `None` while that is not known.
    fn locate(&self) -> BoxFuture<'_, Option<Place>>;
}

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

/// Tells the place when it is known and whenever it changes, until nobody listens any more.
pub(crate) async fn follow(locator: &dyn Locator, places: mpsc::Sender<Place>) {
    let mut told = None;
    let mut looks = 0;
    while !places.is_closed() {
        let place = locator.locate().await;
        if place.is_some() && place != told {
            told.clone_from(&place);
            if let Some(place) = place
                && places.send(place).await.is_err()
            {
                return;
            }
        }
        looks += 1;
        let wait = if told.is_none() && looks < HOPEFUL { UNKNOWN } else { KNOWN };
        // Spread over the members.
        let wait = wait.mul_f64(rand::rng().random_range(0.8..1.2));
        tokio::select! {
            () = sleep(wait) => {}
            () = places.closed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

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

    /// Answers one after the other, the last one for ever.
    #[derive(Debug)]
    struct Told(Mutex<Vec<Option<Place>>>);

    impl Locator for Told {
        fn locate(&self) -> BoxFuture<'_, Option<Place>> {
            let mut answers = self.0.lock().expect("unpoisoned");
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            async move { answer }.boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_told_when_it_is_known_and_when_it_changes() {
        let at = |zone: &str| Some(Place { zone: zone.to_owned(), domain: String::new() });
        let locator = Told(Mutex::new(vec![None, None, at("a"), at("a"), None, at("b")]));
        let (places, mut told) = mpsc::channel(1);
        let following = tokio::spawn(async move { follow(&locator, places).await });
        assert_eq!(told.recv().await, at("a"));
        assert_eq!(told.recv().await, at("b"));
        drop(told);
        following.await.expect("ends with its listener");
    }
}
