//! An API server of a few dozen lines: it keeps objects by path, applies by replacing what was applied before, and counts what is asked of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// A fake API server. Clones share one state.
#[derive(Clone, Default)]
pub(crate) struct FakeApi {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    requests: Vec<String>,
    refusals: BTreeMap<String, (u16, String)>,
}

impl FakeApi {
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
                let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
                let merges = parts.headers.get("content-type").is_some_and(|kind| kind == "application/merge-patch+json");
                let (status, answer) = match merges {
                    true => api.lock().merge(parts.uri.path(), body),
                    false => api.lock().answer(&parts.method, parts.uri.path(), body),
                };
                let answer = Body::from(serde_json::to_vec(&answer).expect("JSON"));
                Ok::<_, String>(Response::builder().status(status).body(answer).expect("a response"))
            }
        });
        Client::new(service, "default")
    }

    /// Puts an object there as somebody else would.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.lock().store(path, object);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.lock().objects.get(path).cloned()
    }

    /// Changes an object as somebody else would.
    pub(crate) fn change(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.get(path).expect("such an object");
        change(&mut object);
        self.put(path, object);
    }

    pub(crate) fn remove(&self, path: &str) {
        self.lock().objects.remove(path);
    }

    /// All objects under a path.
    pub(crate) fn list(&self, path: &str) -> Vec<Value> {
        self.lock().under(path)
    }

    /// Refuses whatever is written to a path.
    pub(crate) fn refuse(&self, path: &str, code: u16, message: &str) {
        self.lock().refusals.insert(path.to_owned(), (code, message.to_owned()));
    }

    pub(crate) fn allow(&self, path: &str) {
        self.lock().refusals.remove(path);
    }

    /// What was asked since the last time, as `METHOD path`.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().requests)
    }

    /// What was written since the last time.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.requests().into_iter().filter(|request| !request.starts_with("GET ")).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the lock")
    }
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, body: Value) -> (StatusCode, Value) {
        self.requests.push(format!("{method} {path}"));
        if *method != Method::GET
            && let Some((code, message)) = self.refusals.get(path)
        {
            return failure(*code, "Refused", message);
        }
        match *method {
            Method::GET if is_collection(path) => (StatusCode::OK, json!({"metadata": {}, "items": self.under(path)})),
            Method::GET => self.objects.get(path).map_or_else(|| failure(404, "NotFound", path), |object| (StatusCode::OK, object.clone())),
            Method::POST => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().expect("a name"));
                if self.objects.contains_key(&path) {
                    return failure(409, "AlreadyExists", &path);
                }
                (StatusCode::CREATED, self.store(&path, body))
            }
            Method::PATCH => match path.strip_suffix("/status") {
                Some(path) => {
                    let mut object = self.objects.get(path).expect("a status of something").clone();
                    object["status"] = body["status"].clone();
                    (StatusCode::OK, self.store(path, object))
                }
                None => (StatusCode::OK, self.store(path, body)),
            },
            Method::PUT => match self.objects.get(path).map(|object| object["metadata"]["resourceVersion"].clone()) {
                None => failure(404, "NotFound", path),
                Some(version) if version != body["metadata"]["resourceVersion"] => failure(409, "Conflict", path),
                Some(_) => (StatusCode::OK, self.store(path, body)),
            },
            Method::DELETE => self.objects.remove(path).map_or_else(|| failure(404, "NotFound", path), |object| (StatusCode::OK, object)),
            _ => failure(405, "MethodNotAllowed", path),
        }
    }

    fn merge(&mut self, path: &str, patch: Value) -> (StatusCode, Value) {
        self.requests.push(format!("PATCH {path}"));
        let Some(mut object) = self.objects.get(path).cloned() else { return failure(404, "NotFound", path) };
        for key in ["uid", "resourceVersion"] {
            let expected = &patch["metadata"][key];
            if !expected.is_null() && *expected != object["metadata"][key] {
                return failure(409, "Conflict", path);
            }
        }
        merge(&mut object, patch);
        (StatusCode::OK, self.store(path, object))
    }

    fn under(&self, path: &str) -> Vec<Value> {
        let prefix = format!("{path}/");
        self.objects.iter().filter(|(path, _)| path.starts_with(&prefix)).map(|(_, object)| object.clone()).collect()
    }

    /// Stores an object under the version that follows, unless it says what is stored already.
    fn store(&mut self, path: &str, mut object: Value) -> Value {
        let before = self.objects.get(path).cloned();
        let kept = |key: &str, new: Value| {
            before.as_ref().map(|before| before["metadata"][key].clone()).filter(|kept| !kept.is_null()).unwrap_or(new)
        };
        let uid = object["metadata"]["uid"].clone();
        object["metadata"]["uid"] = if uid.is_null() { kept("uid", json!(format!("uid-{}", self.version))) } else { uid };
        object["metadata"]["resourceVersion"] = kept("resourceVersion", Value::Null);
        if object.get("status").is_none()
            && let Some(status) = before.as_ref().and_then(|before| before.get("status"))
        {
            object["status"] = status.clone();
        }
        if before.as_ref() != Some(&object) {
            self.version += 1;
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.objects.insert(path.to_owned(), object.clone());
        }
        object
    }
}

/// RFC 7396.
fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else { return *into = patch };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        match value {
            Value::Null => drop(into.as_object_mut().expect("an object").remove(&key)),
            value => merge(&mut into[&key], value),
        }
    }
}

/// Whether a path names a kind rather than an object: the segments after `namespaces/<namespace>` are one.
fn is_collection(path: &str) -> bool {
    path.split("/namespaces/").nth(1).is_some_and(|rest| rest.split('/').count() == 2)
}

fn failure(code: u16, reason: &str, message: &str) -> (StatusCode, Value) {
    let status = StatusCode::from_u16(code).expect("a status code");
    (status, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}))
}
