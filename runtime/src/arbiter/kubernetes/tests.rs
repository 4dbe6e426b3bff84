//! Against a pretend API server: one object, resourceVersions, and faults to order.

use std::collections::VecDeque;
use std::sync::Arc;

use holdfast_api::SessionViewSpec;
use holdfast_core::{MemberState, NodeId, Place, ViewEntry};
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
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
        if method == Method::PATCH {
            let mut new: SessionView = serde_json::from_slice(body).expect("an object");
            // Without force, another writer's fields are left alone.
            match &self.object {
                Some(there) if there.spec != new.spec || there.annotations() != new.annotations() => return status(409),
                Some(_) => {}
                None => {
                    assert!(new.metadata.uid.is_none() && new.metadata.resource_version.is_none(), "it is new");
                    new.metadata.uid = Some("third".to_owned());
                    bump(&mut new);
                    self.object = Some(new);
                }
            }
        }
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
    let view = arbiter.read().await.expect("there").view;
    assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Done);
    assert_eq!(stored(&server).spec.epoch, 1);
    assert!(stored(&server).metadata.labels.expect("labels").contains_key("kept"));
    assert_eq!(arbiter.read().await.expect("there").view, next(&view));
}

#[tokio::test]
async fn the_slower_of_two_members_learns_what_is_there() {
    let (server, arbiter) = start();
    let view = arbiter.read().await.expect("there").view;
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
    let view = arbiter.read().await.expect("there").view;
    order(&server, Method::PUT, Fault::Touch);
    assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Done);
    assert_eq!(server.lock().expect("unpoisoned").puts, 2);
}

#[tokio::test]
async fn a_refusal_by_the_rule_shows_what_is_there() {
    let (server, arbiter) = start();
    let view = arbiter.read().await.expect("there").view;
    order(&server, Method::PUT, Fault::Refuse(422));
    assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Conflict(view));
}

#[tokio::test(start_paused = true)]
async fn whatever_may_have_been_applied_is_unknown() {
    for fault in [Fault::Late(500), Fault::Late(503), Fault::Late(504), Fault::Hang, Fault::Refuse(429)] {
        let (server, arbiter) = start();
        let view = arbiter.read().await.expect("there").view;
        order(&server, Method::PUT, fault);
        assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Unknown, "{fault:?}");
        let applied = !matches!(fault, Fault::Refuse(_));
        assert_eq!(arbiter.read().await.expect("there").view.version.epoch, u64::from(applied), "{fault:?}");
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
    let view = arbiter.read().await.expect("there").view;
    order(&server, Method::PUT, Fault::Refuse(403));
    assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Unavailable);
    server.lock().expect("unpoisoned").object = None;
    assert!(matches!(arbiter.read().await, Err(ArbiterError::Missing { .. })));
    assert_eq!(arbiter.swap(view.version, next(&view)).await, Swap::Unavailable);
}

#[tokio::test]
async fn the_wanted_copies_are_shown_beside_the_view_if_they_are_a_number_of_copies() {
    let (server, arbiter) = start();
    assert_eq!(arbiter.read().await.expect("there").copies, None);
    for (note, copies) in [("2", Some(2)), ("63", Some(63)), ("64", None), ("many", None)] {
        change(&server, |object| drop(object.annotations_mut().insert(names::COPIES_ANNOTATION.to_owned(), note.to_owned())));
        assert_eq!(arbiter.read().await.expect("there").copies, copies, "{note}");
    }
}

#[tokio::test]
async fn a_view_in_which_writes_may_be_lost_leaves_a_note_that_stays() {
    let (server, arbiter) = start();
    let view = arbiter.read().await.expect("there").view;
    let lossy = View { is_lossy: true, ..next(&view) };
    assert_eq!(arbiter.swap(view.version, lossy.clone()).await, Swap::Done);
    assert_eq!(arbiter.swap(lossy.version, View { is_lossy: false, ..next(&lossy) }).await, Swap::Done);
    assert_eq!(stored(&server).annotations()[names::LOSSY_ANNOTATION], "1");
}

/// Changes the object as somebody else would.
fn change(server: &Mutex<Server>, change: impl FnOnce(&mut SessionView)) {
    let mut server = server.lock().expect("unpoisoned");
    let object = server.object.as_mut().expect("there");
    change(object);
    bump(object);
}

/// The view of this epoch, with these members.
fn founded(epoch: u64, members: &[u8]) -> View {
    let entry = |id: &u8| {
        let entry = ViewEntry {
            name: format!("shop-{id}"),
            incarnation: 7,
            pod_uid: format!("uid-{id}"),
            state: MemberState::Full,
            place: Place::default(),
        };
        (NodeId::new(*id).expect("a place"), entry)
    };
    View { version: Version { epoch, sub: 1 }, copies: 1, budget: 1, is_lossy: false, members: members.iter().map(entry).collect() }
}

fn owned_by(object: &mut SessionView, cluster: &str) {
    let owner = OwnerReference { uid: cluster.to_owned(), controller: Some(true), ..OwnerReference::default() };
    object.metadata.owner_references = Some(vec![owner]);
}

/// The register holds the view 58 of a cluster, and this member has adopted it.
async fn adopted() -> (Arc<Mutex<Server>>, KubernetesArbiter, View) {
    let (server, arbiter) = start();
    let view = founded(58, &[0, 1]);
    change(&server, |object| {
        object.spec = spec_of(&view);
        owned_by(object, "cluster");
    });
    assert_eq!(arbiter.read().await.expect("there").view, view);
    arbiter.hold(Some(Arc::new(view.clone())));
    (server, arbiter, view)
}

/// What the operator makes when the object was deleted.
fn make_anew(server: &Mutex<Server>) {
    change(server, |object| {
        object.metadata.uid = Some("second".to_owned());
        object.spec = SessionViewSpec { epoch: 1058, copies: 1, ..SessionViewSpec::default() };
        object.annotations_mut().insert(names::FOUNDED_ANNOTATION.to_owned(), "58".to_owned());
    });
}

#[tokio::test]
async fn a_member_puts_its_view_back_into_a_register_that_was_made_anew() {
    let (server, arbiter, view) = adopted().await;
    make_anew(&server);
    let shown = arbiter.read().await.expect("put back").view;
    assert_eq!(shown, View { version: Version { epoch: 2058, sub: 0 }, budget: 0, ..view });
    let object = stored(&server);
    assert_eq!(object.spec, spec_of(&shown));
    assert_eq!(object.annotations()[names::RESTORED_ANNOTATION], "2058 from 58.1");
    assert!(!object.annotations().contains_key(names::FOUNDED_ANNOTATION));
    arbiter.hold(Some(Arc::new(shown.clone())));
    assert_eq!(arbiter.swap(shown.version, next(&shown)).await, Swap::Done, "changes go on from there");
}

#[tokio::test]
async fn a_deleted_register_is_made_anew_by_the_members_without_the_operator() {
    let (server, arbiter, view) = adopted().await;
    change(&server, |object| drop(object.annotations_mut().insert(names::COPIES_ANNOTATION.to_owned(), "1".to_owned())));
    arbiter.read().await.expect("there");
    server.lock().expect("unpoisoned").object = None;
    let shown = arbiter.read().await.expect("made anew");
    assert_eq!(shown.view, View { version: Version { epoch: 1058, sub: 0 }, budget: 0, ..view.clone() });
    assert_eq!(shown.copies, Some(1));
    let object = stored(&server);
    assert_eq!((object.spec.clone(), object.uid().as_deref()), (spec_of(&shown.view), Some("third")));
    assert_eq!(object.annotations()[names::RESTORED_ANNOTATION], "1058 from 58.1");
    assert_eq!((owner_of(&object).as_str(), object.labels()["kept"].as_str()), ("cluster", "yes"), "it goes with its cluster");
    arbiter.hold(Some(Arc::new(shown.view.clone())));
    assert_eq!(arbiter.swap(shown.view.version, next(&shown.view)).await, Swap::Done, "changes go on from there");
}

#[tokio::test]
async fn of_two_that_make_it_anew_one_gives_way_unless_both_say_the_same() {
    let (server, arbiter, view) = adopted().await;
    let mut same = restore::empty_like(&stored(&server));
    restore::put_back(&mut same, &view);
    for (there, is_same) in [(same, true), (SessionView::new("shop", SessionViewSpec { epoch: 1058, ..SessionViewSpec::default() }), false)]
    {
        server.lock().expect("unpoisoned").object = None;
        arbiter.state().made = None;
        // It comes to be there between the read and the write.
        order(&server, Method::GET, Fault::Refuse(404));
        server.lock().expect("unpoisoned").object = Some(there.clone());
        assert_eq!(arbiter.read().await.is_ok(), is_same);
        assert_eq!(stored(&server).spec, there.spec);
    }
}

#[tokio::test]
async fn who_has_not_followed_the_register_or_has_nothing_to_put_back_leaves_it_to_others() {
    let missing = |read: Result<Shown, ArbiterError>| matches!(read, Err(ArbiterError::Missing { .. }));
    let (server, arbiter, view) = adopted().await;
    server.lock().expect("unpoisoned").object = None;
    arbiter.hold(None);
    assert!(missing(arbiter.read().await), "nothing to put back");
    arbiter.hold(Some(Arc::new(founded(57, &[0, 1]))));
    assert!(missing(arbiter.read().await), "older than what it has read");
    arbiter.hold(Some(Arc::new(view)));
    arbiter.state().followed = None;
    assert!(missing(arbiter.read().await), "it may have missed another loss");
    assert!(missing(arbiter.read().await), "and a register that is missing does not change that");
    assert!(server.lock().expect("unpoisoned").object.is_none());
}

#[tokio::test]
async fn a_register_that_is_deleted_again_at_once_goes_with_its_cluster() {
    let (server, arbiter, _) = adopted().await;
    server.lock().expect("unpoisoned").object = None;
    arbiter.read().await.expect("made anew");
    server.lock().expect("unpoisoned").object = None;
    assert!(matches!(arbiter.read().await, Err(ArbiterError::Missing { .. })));
    arbiter.state().made = None;
    arbiter.read().await.expect_err("it has not adopted yet what it made");
}

#[tokio::test]
async fn a_member_puts_its_view_back_into_a_register_that_was_rewound() {
    let (server, arbiter, view) = adopted().await;
    change(&server, |object| object.spec = spec_of(&founded(57, &[0, 1, 2])));
    let shown = arbiter.read().await.expect("put back").view;
    assert_eq!((shown.version.epoch, &shown.members), (1058, &view.members));
}

#[tokio::test]
async fn of_two_members_that_put_a_view_back_one_reads_what_the_other_wrote() {
    let (server, arbiter, _) = adopted().await;
    make_anew(&server);
    order(&server, Method::PUT, Fault::Touch);
    assert!(matches!(arbiter.read().await, Err(ArbiterError::Api { .. })), "another one was faster");
    assert_eq!(arbiter.read().await.expect("put back").view.version.epoch, 2058);
}

#[tokio::test(start_paused = true)]
async fn whatever_became_of_putting_it_back_is_found_by_reading_again() {
    for fault in [Fault::Late(500), Fault::Hang, Fault::Refuse(422)] {
        let (server, arbiter, _) = adopted().await;
        make_anew(&server);
        order(&server, Method::PUT, fault);
        arbiter.read().await.expect_err("the outcome is not known");
        assert_eq!(arbiter.read().await.expect("there").view.version.epoch, 2058, "{fault:?}");
    }
}

#[tokio::test]
async fn nobody_founds_a_cluster_on_a_register_that_waits_for_its_view() {
    let (server, arbiter) = start();
    make_anew(&server);
    assert!(matches!(arbiter.read().await, Err(ArbiterError::Lost { .. })));
    let empty = View { version: Version { epoch: 1058, sub: 0 }, ..View::unfounded(1) };
    assert_eq!(arbiter.swap(empty.version, next(&empty)).await, Swap::Unknown);
    change(&server, |object| drop(object.annotations_mut().remove(names::FOUNDED_ANNOTATION)));
    assert_eq!(arbiter.read().await.expect("abandoned").view, empty);
    assert_eq!(arbiter.swap(empty.version, next(&empty)).await, Swap::Done);
}

#[tokio::test]
async fn what_the_watch_shows_late_is_read_again_and_not_put_back() {
    let (server, arbiter, view) = adopted().await;
    let mut late = stored(&server);
    late.spec = spec_of(&founded(57, &[0, 1, 2]));
    assert_eq!(arbiter.watched(late).await.expect("there").view, view);
    assert_eq!(server.lock().expect("unpoisoned").puts, 0);
}

#[tokio::test]
async fn an_older_view_that_was_put_back_gives_way_to_a_newer_one() {
    let (server, arbiter, view) = adopted().await;
    let put_back_by_another = |object: &mut SessionView| {
        object.spec = spec_of(&founded(57, &[0, 1, 2]));
        restore::put_back(object, &founded(57, &[0, 1, 2]));
    };
    change(&server, put_back_by_another);
    let shown = arbiter.read().await.expect("overruled").view;
    assert_eq!((shown.version.epoch, shown.members), (2057, view.members));

    change(&server, put_back_by_another);
    change(&server, |object| object.spec.epoch += 1);
    let built_upon = stored(&server).spec.epoch;
    assert_eq!(arbiter.read().await.expect("there").view.version.epoch, built_upon, "somebody counts on it");
}

#[tokio::test]
async fn the_register_of_another_cluster_of_this_name_is_left_alone() {
    let (server, arbiter, _) = adopted().await;
    change(&server, |object| {
        object.spec = SessionViewSpec::default();
        owned_by(object, "another cluster");
    });
    assert!(matches!(arbiter.read().await, Err(ArbiterError::Replaced { .. })));
    assert_eq!(server.lock().expect("unpoisoned").puts, 0);
}
