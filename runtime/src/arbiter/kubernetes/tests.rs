//! Against a pretend API server: one object, resourceVersions, and faults to order.

use std::collections::VecDeque;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::json;
use tower::service_fn;

use super::*;

/// What happens to the next request instead of what should.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Answers with this code and leaves everything as it is.
    Refuse(u16),
    /// Carries it out, and answers with this code.
    Late(u16),
    /// Carries it out and never answers.
    Hang,
    /// Another writer touches the metadata first.
    Touch,
}

#[derive(Default)]
struct Server {
    object: Option<SessionView>,
    faults: VecDeque<(Method, Fault)>,
    puts: usize,
}

impl Server {
    fn answer(&mut self, method: &Method, body: &[u8]) -> (u16, Vec<u8>) {
        let status = |code: u16| {
            (code, json!({"kind": "Status", "status": "Failure", "code": code, "message": "", "reason": ""}).to_string().into())
        };
        let Some(object) = &mut self.object else { return status(404) };
        if method == Method::PUT {
            self.puts += 1;
            let new: SessionView = serde_json::from_slice(body).expect("an object");
            if new.metadata.resource_version != object.metadata.resource_version {
                return status(409);
            }
            *object = new;
            bump(object);
        }
        (200, serde_json::to_vec(object).expect("encodes"))
    }
}

fn bump(object: &mut SessionView) {
    let version: u64 = object.metadata.resource_version.as_deref().map_or(0, |version| version.parse().expect("a number"));
    object.metadata.resource_version = Some((version + 1).to_string());
}

fn start() -> (Arc<Mutex<Server>>, KubernetesArbiter) {
    let mut object = SessionView::new("shop", spec_of(&View::unfounded(0)));
    object.metadata.uid = Some("first".to_owned());
    object.metadata.labels = Some([("kept".to_owned(), "yes".to_owned())].into());
    bump(&mut object);
    let server = Arc::new(Mutex::new(Server { object: Some(object), ..Server::default() }));
    let shared = server.clone();
    let service = service_fn(move |request: Request<Body>| {
        let server = shared.clone();
        async move {
            let (head, body) = request.into_parts();
            assert_eq!(head.uri.path(), "/apis/holdfast.dev/v1alpha1/namespaces/ns/sessionviews/shop");
            let body = body.collect().await.expect("a body").to_bytes();
            let (fault, (code, bytes)) = {
                let mut server = server.lock().expect("unpoisoned");
                let due = server.faults.front().is_some_and(|(method, _)| *method == head.method);
                let fault = if due { server.faults.pop_front().map(|(_, fault)| fault) } else { None };
                let answer = match fault {
                    Some(Fault::Refuse(code)) => {
                        (code, json!({"kind": "Status", "status": "Failure", "code": code, "message": "", "reason": ""}).to_string().into())
                    }
                    Some(Fault::Touch) => {
                        bump(server.object.as_mut().expect("there"));
                        server.answer(&head.method, &body)
                    }
                    _ => server.answer(&head.method, &body),
                };
                (fault, answer)
            };
            let code = match fault {
                Some(Fault::Late(code)) => code,
                Some(Fault::Hang) => std::future::pending().await,
                _ => code,
            };
            let response =
                Response::builder().status(StatusCode::from_u16(code).expect("a code")).body(Body::from(bytes)).expect("a response");
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    (server, KubernetesArbiter::new(Client::new(service, "ns"), "ns", "shop"))
}

fn order(server: &Mutex<Server>, method: Method, fault: Fault) {
    server.lock().expect("unpoisoned").faults.push_back((method, fault));
}

fn stored(server: &Mutex<Server>) -> SessionView {
    server.lock().expect("unpoisoned").object.clone().expect("there")
}

fn next(view: &View) -> View {
    let mut next = view.clone();
    next.version.epoch += 1;
    next
}

#[tokio::test]
async fn a_swap_replaces_the_spec_and_leaves_the_metadata() {
    let (server, arbiter) = start();
    let view = arbiter.read().await.expect("there");
    assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Done);
    assert_eq!(stored(&server).spec.epoch, 1);
    assert!(stored(&server).metadata.labels.expect("labels").contains_key("kept"));
    assert_eq!(arbiter.read().await.expect("there"), next(&view));
}

#[tokio::test]
async fn the_slower_of_two_members_learns_what_is_there() {
    let (server, arbiter) = start();
    let view = arbiter.read().await.expect("there");
    {
        let mut server = server.lock().expect("unpoisoned");
        let object = server.object.as_mut().expect("there");
        object.spec = spec_of(&next(&view));
        bump(object);
    }
    assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Conflict(next(&view)));
}

#[tokio::test]
async fn changed_metadata_alone_does_not_make_a_swap_fail() {
    let (server, arbiter) = start();
    let view = arbiter.read().await.expect("there");
    order(&server, Method::PUT, Fault::Touch);
    assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Done);
    assert_eq!(server.lock().expect("unpoisoned").puts, 2);
}

#[tokio::test]
async fn a_refusal_by_the_rule_shows_what_is_there() {
    let (server, arbiter) = start();
    let view = arbiter.read().await.expect("there");
    order(&server, Method::PUT, Fault::Refuse(422));
    assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Conflict(view));
}

#[tokio::test(start_paused = true)]
async fn whatever_may_have_been_applied_is_unknown() {
    for fault in [Fault::Late(500), Fault::Late(503), Fault::Late(504), Fault::Hang, Fault::Refuse(429)] {
        let (server, arbiter) = start();
        let view = arbiter.read().await.expect("there");
        order(&server, Method::PUT, fault);
        assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Unknown, "{fault:?}");
        let applied = !matches!(fault, Fault::Refuse(_));
        assert_eq!(arbiter.read().await.expect("there").version.epoch, u64::from(applied), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_ends_a_read_by_the_deadline() {
    let (server, arbiter) = start();
    order(&server, Method::GET, Fault::Hang);
    let error = arbiter.read().await.expect_err("hangs");
    assert!(matches!(error, ArbiterError::Timeout { millis: 1000 }), "{error}");
    arbiter.read().await.expect("answers again");
}

#[tokio::test]
async fn a_missing_or_forbidden_register_is_unavailable() {
    let (server, arbiter) = start();
    let view = arbiter.read().await.expect("there");
    order(&server, Method::PUT, Fault::Refuse(403));
    assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Unavailable);
    server.lock().expect("unpoisoned").object = None;
    assert!(matches!(arbiter.read().await, Err(ArbiterError::Missing { .. })));
    assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Unavailable);
}

#[tokio::test]
async fn a_register_made_anew_is_not_believed_once_a_view_was_founded() {
    let (server, arbiter) = start();
    server.lock().expect("unpoisoned").object.as_mut().expect("there").metadata.uid = Some("zeroth".to_owned());
    arbiter.read().await.expect("there");
    server.lock().expect("unpoisoned").object.as_mut().expect("there").metadata.uid = Some("first".to_owned());
    let view = arbiter.read().await.expect("nothing was founded in the one before");
    assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Done);
    server.lock().expect("unpoisoned").object.as_mut().expect("there").metadata.uid = Some("second".to_owned());
    assert!(matches!(arbiter.read().await, Err(ArbiterError::Replaced { .. })));
}
