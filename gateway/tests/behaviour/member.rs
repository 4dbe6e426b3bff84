//! A pretend member: an application and a runtime's control stream on a loopback address of its own, which can die in every way that a pod does.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::world::TOKEN;

/// What the application was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// How a connection of a dead process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// With resets, as when something was still unread.
    Reset,
    /// With ends of the streams.
    End,
}

/// A member.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) uid: Mutex<String>,
    pub(crate) app_addr: SocketAddr,
    control_addr: SocketAddr,
    app: Arc<App>,
    app_task: Mutex<Option<AbortHandle>>,
    control_task: Mutex<Option<AbortHandle>>,
    report: watch::Sender<Report>,
    plugs: Mutex<Vec<std::net::TcpStream>>,
}

/// What the control stream says, and whether it says anything.
#[derive(Clone, Debug)]
struct Report {
    state: &'static str,
    sessions: u64,
    incarnation: u64,
    frozen: bool,
    status: u16,
    /// Streams that were ended.
    cuts: u64,
}

/// The application.
pub(crate) struct App {
    name: String,
    pub(crate) asked: Mutex<Vec<Asked>>,
    /// Requests that changed something, by the id that the client gave.
    pub(crate) executed: Mutex<Vec<String>>,
    /// Requests that came in, and that ended; they differ by those that run or were given up.
    pub(crate) begun: AtomicU64,
    pub(crate) ended: AtomicU64,
    /// Answers nothing any more, and accepts nothing.
    frozen: watch::Sender<bool>,
    /// Answers errors, as an application without its sessions does.
    broken: AtomicBool,
    /// Closes each connection a moment after a response, without having said so.
    hasty: AtomicBool,
    reset: AtomicBool,
}

pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

const BACKLOG: u32 = 64;

impl Member {
    pub(crate) async fn start(name: &str, ip: IpAddr, control_port: u16) -> Arc<Self> {
        let listener = listen(SocketAddr::new(ip, 0)).expect("an address of its own");
        let member = Arc::new(Self {
            name: name.to_owned(),
            uid: Mutex::new(format!("uid-of-{name}")),
            app_addr: listener.local_addr().expect("bound"),
            control_addr: SocketAddr::new(ip, control_port),
            app: Arc::new(App {
                name: name.to_owned(),
                asked: Mutex::default(),
                executed: Mutex::default(),
                begun: AtomicU64::new(0),
                ended: AtomicU64::new(0),
                frozen: watch::Sender::new(false),
                broken: AtomicBool::new(false),
                hasty: AtomicBool::new(false),
                reset: AtomicBool::new(false),
            }),
            app_task: Mutex::default(),
            control_task: Mutex::default(),
            report: watch::Sender::new(Report { state: "Accepting", sessions: 0, incarnation: 1, frozen: false, status: 200, cuts: 0 }),
            plugs: Mutex::default(),
        });
        member.run_app(listener);
        member.start_runtime().await;
        member
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    fn run_app(&self, listener: TcpListener) {
        let task = tokio::spawn(serve_app(listener, self.app.clone()));
        *self.app_task.lock().expect("lock") = Some(task.abort_handle());
    }

    pub(crate) async fn start_app(&self) {
        self.run_app(listen_again(self.app_addr).await);
    }

    pub(crate) fn kill_app(&self, death: Death) {
        self.app.reset.store(death == Death::Reset, SeqCst);
        if let Some(task) = self.app_task.lock().expect("lock").take() {
            task.abort();
        }
    }

    pub(crate) async fn start_runtime(&self) {
        self.report.send_modify(|report| report.incarnation += 1);
        let listener = listen_again(self.control_addr).await;
        let uid = self.uid.lock().expect("lock").clone();
        let task = tokio::spawn(serve_control(listener, self.name.clone(), uid, self.report.clone()));
        *self.control_task.lock().expect("lock") = Some(task.abort_handle());
    }

    pub(crate) fn kill_runtime(&self) {
        if let Some(task) = self.control_task.lock().expect("lock").take() {
            task.abort();
        }
    }

    /// As SIGKILL to all processes of the pod.
    pub(crate) fn kill(&self, death: Death) {
        self.kill_app(death);
        self.kill_runtime();
    }

    /// As on a node whose packets get lost: nothing is reset, nothing answered, and no connection comes about.
    pub(crate) async fn cut_off(&self) {
        self.report.send_modify(|report| report.frozen = true);
        self.app.frozen.send_replace(true);
        // The accepting tasks have stopped; once the backlogs are full, further attempts get no answer.
        for addr in [self.app_addr, self.control_addr] {
            for _ in 0..BACKLOG + 4 {
                let plug = tokio::time::timeout(Duration::from_millis(50), TcpStream::connect(addr)).await;
                if let Ok(Ok(plug)) = plug {
                    self.plugs.lock().expect("lock").push(plug.into_std().expect("a socket"));
                }
            }
        }
    }

    pub(crate) fn say(&self, state: &'static str) {
        self.report.send_modify(|report| report.state = state);
    }

    pub(crate) fn count(&self, sessions: u64) {
        self.report.send_modify(|report| report.sessions = sessions);
    }

    /// The control stream is refused with this status.
    pub(crate) fn deny(&self, status: u16) {
        self.report.send_modify(|report| report.status = status);
    }

    /// Ends the control streams; new ones are taken.
    pub(crate) fn cut_streams(&self) {
        self.report.send_modify(|report| report.cuts += 1);
    }

    pub(crate) fn break_app(&self, broken: bool) {
        self.app.broken.store(broken, SeqCst);
    }

    pub(crate) fn make_hasty(&self) {
        self.app.hasty.store(true, SeqCst);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.app.asked.lock().expect("lock").clone()
    }

    pub(crate) fn last(&self) -> Asked {
        self.asked().pop().expect("it was asked something")
    }

    pub(crate) fn executed(&self) -> Vec<String> {
        self.app.executed.lock().expect("lock").clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill(Death::End);
    }
}

fn listen(addr: SocketAddr) -> Result<TcpListener, std::io::Error> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// As soon as the task of the predecessor has given the address back.
async fn listen_again(addr: SocketAddr) -> TcpListener {
    for _ in 0..500 {
        if let Ok(listener) = listen(addr) {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{addr} stays in use")
}

async fn serve_app(listener: TcpListener, app: Arc<App>) {
    let mut connections = JoinSet::new();
    let mut frozen = app.frozen.subscribe();
    loop {
        let _ = frozen.wait_for(|frozen| !*frozen).await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = frozen.changed() => continue,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else { continue };
        if app.reset.load(SeqCst) {
            stream.set_zero_linger().expect("an option");
        }
        let app = app.clone();
        connections.spawn(async move {
            let reset = Resetting(stream, app.clone());
            let hasty = Arc::new(tokio::sync::Notify::new());
            let service = service_fn(|request| {
                let (app, hasty) = (app.clone(), hasty.clone());
                async move {
                    app.begun.fetch_add(1, SeqCst);
                    let answer = answer(&app, request).await;
                    app.ended.fetch_add(1, SeqCst);
                    if app.hasty.load(SeqCst) {
                        hasty.notify_one();
                    }
                    answer
                }
            });
            let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(reset), service).with_upgrades();
            let mut serve = std::pin::pin!(serve);
            let close = async {
                hasty.notified().await;
                tokio::time::sleep(Duration::from_millis(3)).await;
            };
            tokio::select! {
                _ = &mut serve => return,
                () = close => serve.as_mut().graceful_shutdown(),
            }
            let _ = serve.await;
        });
    }
}

/// A socket that decides at its end how it ends.
struct Resetting(TcpStream, Arc<App>);

impl Drop for Resetting {
    fn drop(&mut self) {
        if self.1.reset.load(SeqCst) {
            let _ = self.0.set_zero_linger();
        }
    }
}

impl tokio::io::AsyncRead for Resetting {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl tokio::io::AsyncWrite for Resetting {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

pub(crate) fn text(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed()
}

fn nothing() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn stream(frames: impl futures::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + Sync + 'static) -> Body {
    BodyExt::boxed(StreamBody::new(frames))
}

async fn answer(app: &Arc<App>, mut request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
    let mut frozen = app.frozen.subscribe();
    let _ = frozen.wait_for(|frozen| !*frozen).await;
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    let number: u64 = query.parse().unwrap_or(0);
    let mut response = Response::new(text(app.name.clone()));
    if path == "/echo" {
        // Streamed both ways.
        let asked = Asked {
            method: request.method().clone(),
            uri: request.uri().to_string(),
            headers: request.headers().clone(),
            body: Bytes::new(),
        };
        app.asked.lock().expect("lock").push(asked);
        let mut answer = Response::new(request.into_body().map_err(std::io::Error::other).boxed());
        answer.headers_mut().insert("trailer", "x-sum".parse().expect("a value"));
        return Ok(answer);
    }
    if path == "/tunnel" {
        let protocol = request.headers().get("upgrade").cloned();
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgraded.await.expect("agreed"));
            let mut buf = [0; 1024];
            while let Ok(count @ 1..) = io.read(&mut buf).await {
                if io.write_all(&buf[..count]).await.is_err() {
                    break;
                }
            }
        });
        let mut answer = Response::new(nothing());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answer.headers_mut().insert("connection", "upgrade".parse().expect("a value"));
        answer.headers_mut().insert("upgrade", protocol.expect("asked for"));
        return Ok(answer);
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let asked = Asked { method: parts.method.clone(), uri: parts.uri.to_string(), headers: parts.headers, body: body.clone() };
    app.asked.lock().expect("lock").push(asked);
    match path.as_str() {
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(number)).await;
            let _ = frozen.wait_for(|frozen| !*frozen).await;
        }
        "/hang" => std::future::pending().await,
        "/add" => {
            app.executed.lock().expect("lock").push(query.clone());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        "/big" => *response.body_mut() = text(vec![b'x'; usize::try_from(number).expect("small")]),
        "/half" => {
            // A part of the body, and then the connection breaks.
            let parts = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"half")))]);
            let broken = parts.chain(futures::stream::once(async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(std::io::Error::other("died"))
            }));
            *response.body_mut() = stream(broken);
            if number > 0 {
                response.headers_mut().insert("content-length", number.into());
            }
        }
        "/events" => {
            let events = futures::stream::unfold((0, frozen), |(count, mut frozen)| async move {
                tokio::time::sleep(Duration::from_millis(if count == 0 { 0 } else { 100 })).await;
                let _ = frozen.wait_for(|frozen| !*frozen).await;
                Some((Ok(Frame::data(Bytes::from(format!("data: {count}\n\n")))), (count + 1, frozen)))
            });
            *response.body_mut() = stream(events);
        }
        "/cacheable" => drop(response.headers_mut().insert("cache-control", "public, max-age=60".parse().expect("a value"))),
        "/cookies" => {
            for line in ["sessionid=abc; Path=/; Secure; HttpOnly; SameSite=None", "holdfast-route=evil", "theme=dark"] {
                response.headers_mut().append("set-cookie", line.parse().expect("a value"));
            }
        }
        "/headers" => {
            for (name, value) in [
                ("connection", "x-hop"),
                ("x-hop", "1"),
                ("keep-alive", "timeout=9"),
                ("x-holdfast-member", "shop-99"),
                ("x-holdfast-secret", "1"),
                ("x-kept", "1"),
            ] {
                response.headers_mut().insert(name, value.parse().expect("a value"));
            }
        }
        "/status" => {
            *response.status_mut() = StatusCode::from_u16(u16::try_from(number).expect("a code")).expect("a code");
            if matches!(number, 204 | 304) {
                *response.body_mut() = nothing();
            }
        }
        _ => {}
    }
    if app.broken.load(SeqCst) {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(response)
}

async fn serve_control(listener: TcpListener, name: String, uid: String, report: watch::Sender<Report>) {
    let mut connections = JoinSet::new();
    let mut thaw = report.subscribe();
    loop {
        let _ = thaw.wait_for(|report| !report.frozen).await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = thaw.changed() => continue,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (name, uid, report) = (name.clone(), uid.clone(), report.clone());
        connections.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (name, uid, report) = (name.clone(), uid.clone(), report.subscribe());
                async move { Ok::<_, std::io::Error>(control(&request, name, uid, report)) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn control(request: &Request<Incoming>, name: String, uid: String, report: watch::Receiver<Report>) -> Response<Body> {
    let mut response = Response::new(nothing());
    let status = report.borrow().status;
    let token = request.headers().get("authorization").is_some_and(|value| value == &format!("Bearer {TOKEN}"));
    if !token || status != 200 || request.uri() != "/v1/control" {
        *response.status_mut() = StatusCode::from_u16(if status == 200 { 401 } else { status }).expect("a code");
        return response;
    }
    let cuts = report.borrow().cuts;
    let lines = futures::stream::unfold((report, true), move |(mut report, first)| {
        let (name, uid) = (name.clone(), uid.clone());
        async move {
            if !first {
                let _ = tokio::time::timeout(Duration::from_millis(100), report.changed()).await;
            }
            let _ = report.wait_for(|report| !report.frozen).await;
            let now = report.borrow_and_update().clone();
            if now.cuts != cuts {
                return None;
            }
            let Report { state, sessions, incarnation, .. } = now;
            let line = format!(
                "{{\"cluster\":\"shop\",\"member\":\"{name}\",\"podUID\":\"{uid}\",\"incarnation\":\"{incarnation}\",\
                 \"state\":\"{state}\",\"sessions\":{sessions},\"epoch\":5}}\n"
            );
            Some((Ok(Frame::data(Bytes::from(line))), (report, false)))
        }
    });
    *response.body_mut() = stream(lines);
    response
}
