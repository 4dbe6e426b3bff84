//! A pretend API server: lists and watches of two kinds of objects, which can go away in the middle.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

pub(crate) struct ApiServer {
    pub(crate) addr: SocketAddr,
    objects: watch::Sender<Objects>,
    /// The paths and queries that were asked for.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Clone, Debug, Default)]
struct Objects {
    version: u64,
    slices: Vec<Value>,
    maps: Vec<Value>,
    /// Lists are refused.
    broken: bool,
}

impl ApiServer {
    pub(crate) fn start() -> Self {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)));
        let server = Self {
            addr: listener.local_addr().expect("bound"),
            objects: watch::Sender::new(Objects { version: 1, ..Objects::default() }),
            asked: Arc::default(),
            task: Mutex::default(),
        };
        server.run(listener);
        server
    }

    fn run(&self, listener: TcpListener) {
        let task = tokio::spawn(serve(listener, self.objects.clone(), self.asked.clone()));
        *self.task.lock().expect("lock") = Some(task.abort_handle());
    }

    pub(crate) fn stop(&self) {
        if let Some(task) = self.task.lock().expect("lock").take() {
            task.abort();
        }
    }

    pub(crate) fn resume(&self) {
        self.run(listen(self.addr));
    }

    pub(crate) fn set_slices(&self, slices: Vec<Value>) {
        self.objects.send_modify(|objects| {
            objects.version += 1;
            objects.slices = slices;
        });
    }

    pub(crate) fn set_maps(&self, maps: Vec<Value>) {
        self.objects.send_modify(|objects| {
            objects.version += 1;
            objects.maps = maps;
        });
    }

    pub(crate) fn break_lists(&self, broken: bool) {
        self.objects.send_modify(|objects| objects.broken = broken);
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listen(addr: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option");
    socket.bind(addr).expect("a free address");
    socket.listen(64).expect("listening")
}

async fn serve(listener: TcpListener, objects: watch::Sender<Objects>, asked: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (objects, asked) = (objects.clone(), asked.clone());
        connections.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                asked.lock().expect("lock").push(request.uri().to_string());
                let answer = answer(&request, objects.subscribe());
                async move { Ok::<_, std::io::Error>(answer) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

fn answer(request: &Request<Incoming>, mut objects: watch::Receiver<Objects>) -> Response<Body> {
    let slices = request.uri().path().ends_with("/endpointslices");
    let items = move |objects: &Objects| if slices { objects.slices.clone() } else { objects.maps.clone() };
    let (kind, api) = if slices { ("EndpointSlice", "discovery.k8s.io/v1") } else { ("ConfigMap", "v1") };
    let whole = |value: Value| Full::from(value.to_string()).map_err(|never| match never {}).boxed_unsync();
    let now = objects.borrow_and_update().clone();
    let mut response = Response::new(whole(json!({})));
    response.headers_mut().insert("content-type", "application/json".parse().expect("a value"));
    if now.broken {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        let status =
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "broken", "reason": "InternalError", "code": 500});
        *response.body_mut() = whole(status);
    } else if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
        let since = request.uri().query().and_then(|query| query.split("resourceVersion=").nth(1)?.split('&').next()?.parse::<u64>().ok());
        if since.is_some_and(|since| since < now.version) {
            // As a real one that has forgotten what came between.
            let status =
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "too old", "reason": "Expired", "code": 410});
            *response.body_mut() = whole(json!({"type": "ERROR", "object": status}));
            return response;
        }
        let changes = futures::stream::unfold((objects, items(&now)), move |(mut objects, before)| async move {
            objects.changed().await.ok()?;
            let after = objects.borrow_and_update().clone();
            let (version, after) = (after.version, items(&after));
            let name = |item: &Value| item["metadata"]["name"].clone();
            let mut lines = Vec::new();
            for (kind_of, item) in after
                .iter()
                .map(|item| ("MODIFIED", item))
                .chain(before.iter().filter(|item| !after.iter().any(|other| name(other) == name(item))).map(|item| ("DELETED", item)))
            {
                let mut item = item.clone();
                item["metadata"]["resourceVersion"] = json!(version.to_string());
                lines.push(format!("{}\n", json!({"type": kind_of, "object": item})));
            }
            Some((Ok(Frame::data(Bytes::from(lines.concat()))), (objects, after)))
        });
        *response.body_mut() = BodyExt::boxed_unsync(StreamBody::new(changes.boxed()));
    } else {
        let list = json!({"kind": format!("{kind}List"), "apiVersion": api,
            "metadata": {"resourceVersion": now.version.to_string()}, "items": items(&now)});
        *response.body_mut() = whole(list);
    }
    response
}
