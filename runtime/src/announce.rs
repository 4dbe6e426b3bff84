//! What this member tells the operator about its links and its memory: annotations of the SessionView, written when they change. Nothing between members
//! depends on them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use holdfast_api::{LinksReport, MemoryReport, SessionView, names};
use holdfast_core::engine::Load;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use rand::RngExt;
use serde::Serialize;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::tls::Tls;

/// One call to the API server.
const DEADLINE: Duration = Duration::from_secs(1);

/// How often is looked whether there is something new to tell.
const LOOK: Duration = Duration::from_secs(5);

/// How often is looked whether what was told still stands there: the object may have been made anew.
const STANDS: Duration = Duration::from_secs(60);

/// Annotations and what they say.
type Notes = BTreeMap<String, String>;

/// Tells it.
pub struct Announcer {
    api: Api<SessionView>,
    view: String,
    ordinal: u32,
    pod_uid: String,
    tls: Option<Tls>,
    load: Box<dyn Fn() -> Load + Send + Sync>,
    /// What was last to be said about memory.
    memory: Option<MemoryReport>,
    /// What the register says, and when that was seen.
    said: Option<(Notes, Instant)>,
    /// The last attempt failed, and that was logged.
    in_trouble: bool,
}

impl Announcer {
    /// For the member in this place and pod of a cluster, which has links by `tls`, or plain ones, and holds what `load` says.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: &str,
        cluster: &str,
        (ordinal, pod_uid): (u8, &str),
        tls: Option<Tls>,
        load: impl Fn() -> Load + Send + Sync + 'static,
    ) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            view: names::view(cluster),
            ordinal: ordinal.into(),
            pod_uid: pod_uid.to_owned(),
            tls,
            load: Box::new(load),
            memory: None,
            said: None,
            in_trouble: false,
        }
    }

    /// Tells what is so, at once and whenever it changes, until `closing`.
    pub async fn run(mut self, closing: CancellationToken) {
        // Spread over the members, which get new certificates at about the same time.
        let mut tick = interval(LOOK.mul_f64(rand::rng().random_range(0.8..1.2)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while closing.run_until_cancelled(tick.tick()).await.is_some() {
            self.look(STANDS).await;
        }
    }

    /// Tells it unless it stands there, as was seen within `stands`.
    async fn look(&mut self, stands: Duration) {
        let notes = self.notes();
        if self.said.as_ref().is_some_and(|(said, at)| *said == notes && at.elapsed() < stands) {
            return;
        }
        let told = timeout(DEADLINE, self.tell(&notes)).await;
        let trouble = match told {
            Ok(Ok(())) => {
                self.said = Some((notes, Instant::now()));
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {DEADLINE:?}")),
        };
        match &trouble {
            Some(error) if !self.in_trouble => warn!(error, "failed to tell the operator how this member is; trying again"),
            None if self.in_trouble => info!("told the operator how this member is"),
            _ => {}
        }
        self.in_trouble = trouble.is_some();
    }

    fn notes(&mut self) -> Notes {
        let (certificate, authorities) = self.tls.as_ref().map(Tls::serials).unzip();
        let pod_uid = self.pod_uid.clone();
        let links = LinksReport { pod_uid, encrypted: self.tls.is_some(), certificate, authorities: authorities.unwrap_or_default() };
        let load = (self.load)();
        let memory = MemoryReport::next(&self.pod_uid, load.bytes, load.budget, self.memory.as_ref());
        let notes = [(names::links_annotation(self.ordinal), text(&links)), (names::memory_annotation(self.ordinal), text(&memory))].into();
        self.memory = Some(memory);
        notes
    }

    async fn tell(&self, notes: &Notes) -> kube::Result<()> {
        let there = self.api.get_metadata(&self.view).await?;
        if notes.iter().all(|(annotation, note)| there.annotations().get(annotation).is_some_and(|stands| stands == note)) {
            return Ok(());
        }
        // On whatever it is at: this is of no view, and must not be in the way of one.
        let patch = json!({"metadata": {"annotations": notes}});
        self.api.patch_metadata(&self.view, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }
}

fn text(report: &impl Serialize) -> String {
    serde_json::to_string(report).expect("texts, numbers and lists of them")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use holdfast_support::certificates::{Authority, SHOP, write};
    use http_body_util::BodyExt;
    use hyper::{Method, Request, Response};
    use kube::client::Body;
    use serde_json::Value;
    use tower::service_fn;

    use super::*;
    use crate::tls::testing::member;

    /// A register that takes merge patches, and how many there were; without one, it refuses everything.
    #[derive(Clone, Default)]
    struct Server(Arc<Mutex<(Option<Value>, usize)>>);

    impl Server {
        fn client(&self) -> Client {
            let server = self.clone();
            Client::new(
                service_fn(move |request: Request<Body>| {
                    let server = server.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        assert_eq!(head.uri.path(), "/apis/holdfast.dev/v1alpha1/namespaces/ns/sessionviews/shop");
                        let body = body.collect().await.expect("a body").to_bytes();
                        let mut state = server.0.lock().expect("unpoisoned");
                        let (object, patches) = &mut *state;
                        let (code, answer) = match object {
                            None => {
                                (403, json!({"kind": "Status", "status": "Failure", "code": 403, "message": "no", "reason": "Forbidden"}))
                            }
                            Some(object) => {
                                if head.method == Method::PATCH {
                                    assert_eq!(head.headers["content-type"], "application/merge-patch+json");
                                    let patch: Value = serde_json::from_slice(&body).expect("JSON");
                                    let annotations = patch["metadata"]["annotations"].as_object().expect("annotations").clone();
                                    object["metadata"]["annotations"].as_object_mut().expect("annotations").extend(annotations);
                                    *patches += 1;
                                }
                                (200, object.clone())
                            }
                        };
                        let response = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
                        Ok::<_, std::convert::Infallible>(response.expect("a response"))
                    }
                }),
                "ns",
            )
        }

        fn make(&self) {
            let metadata = json!({"name": "shop", "namespace": "ns", "annotations": {"holdfast.dev/copies": "1"}});
            let object = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata});
            self.0.lock().expect("unpoisoned").0 = Some(object);
        }

        fn report(&self, ordinal: u32) -> Option<LinksReport> {
            self.note(&names::links_annotation(ordinal))
        }

        fn note<T: serde::de::DeserializeOwned>(&self, annotation: &str) -> Option<T> {
            let state = self.0.lock().expect("unpoisoned");
            let text = state.0.as_ref()?["metadata"]["annotations"][annotation].as_str()?.to_owned();
            Some(serde_json::from_str(&text).expect("a report"))
        }

        fn patches(&self) -> usize {
            self.0.lock().expect("unpoisoned").1
        }
    }

    #[tokio::test]
    async fn what_is_trusted_is_told_once_and_again_when_it_changes_or_is_gone() {
        let (old, new) = (Authority::new(), Authority::new());
        let pair = old.issue(SHOP);
        let (folder, tls) = member(&pair, &[&old]).await;
        let server = Server::default();
        server.make();
        let mut announcer = Announcer::new(server.client(), "ns", "shop", (2, "uid"), Some(tls.clone()), Load::default);
        announcer.look(STANDS).await;
        let first = server.report(2).expect("told");
        assert!(first.encrypted && first.pod_uid == "uid" && first.certificate.is_some(), "{first:?}");
        announcer.look(STANDS).await;
        announcer.look(Duration::ZERO).await;
        assert_eq!((first.authorities.len(), server.patches()), (1, 1));

        write(folder.path(), &pair, &[&old, &new]);
        tls.refresh().await;
        announcer.look(STANDS).await;
        let second = server.report(2).expect("told");
        assert_eq!((second.authorities.len(), &second.authorities[0], server.patches()), (2, &first.authorities[0], 2));

        server.make();
        announcer.look(STANDS).await;
        assert_eq!(server.report(2), None, "not looked at again yet");
        announcer.look(Duration::ZERO).await;
        assert_eq!(server.report(2), Some(second));
    }

    #[tokio::test]
    async fn a_member_without_certificates_says_so_and_tries_until_it_may() {
        let server = Server::default();
        let mut announcer = Announcer::new(server.client(), "ns", "shop", (0, "uid"), None, Load::default);
        announcer.look(STANDS).await;
        assert!(announcer.in_trouble);
        server.make();
        announcer.look(STANDS).await;
        let plain = LinksReport { pod_uid: "uid".to_owned(), encrypted: false, certificate: None, authorities: Vec::new() };
        assert_eq!((server.report(0), announcer.in_trouble), (Some(plain), false));
    }
    #[tokio::test]
    async fn memory_is_told_in_steps() {
        let server = Server::default();
        server.make();
        let bytes = Arc::new(Mutex::new(1_050));
        let load = {
            let bytes = Arc::clone(&bytes);
            move || Load { sessions: 7, bytes: *bytes.lock().expect("unpoisoned"), budget: Some(2_000) }
        };
        let mut announcer = Announcer::new(server.client(), "ns", "shop", (0, "uid"), None, load);
        let mut told = Vec::new();
        for now in [1_050, 1_080, 1_090, 1_101, 1_050, 900] {
            *bytes.lock().expect("unpoisoned") = now;
            announcer.look(STANDS).await;
            told.push(server.note::<MemoryReport>(&names::memory_annotation(0)).expect("told").bytes);
        }
        assert_eq!((told, server.patches()), (vec![1_100, 1_100, 1_100, 1_200, 1_200, 900], 3));
    }
}
