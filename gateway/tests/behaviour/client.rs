//! A user: one kept-alive connection and a jar of cookies, as a browser has them. Nothing is repeated behind the test's back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{COOKIE, HOST, SET_COOKIE};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Far above every pause that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct User {
    addr: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
    pub(crate) cookies: BTreeMap<String, String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn member(&self) -> &str {
        self.header("x-holdfast-member")
    }

    pub(crate) fn error(&self) -> &str {
        self.header("x-holdfast-error")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().expect("ASCII")).collect()
    }
}

impl User {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, connection: None, cookies: BTreeMap::new() }
    }

    pub(crate) fn with(addr: SocketAddr, cookie: &str, value: &str) -> Self {
        let mut user = Self::new(addr);
        user.cookies.insert(cookie.to_owned(), value.to_owned());
        user
    }

    pub(crate) fn route(&self) -> Option<&str> {
        self.cookies.get("holdfast-route").map(String::as_str)
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.try_ask(Method::GET, path, "").await.expect("an answer")
    }

    pub(crate) async fn post(&mut self, path: &str, body: &'static str) -> Answer {
        self.try_ask(Method::POST, path, body).await.expect("an answer")
    }

    pub(crate) async fn try_ask(&mut self, method: Method, path: &str, body: &'static str) -> Result<Answer, String> {
        let request = Request::builder().method(method).uri(path).body(Full::from(body)).expect("a request");
        self.try_send(request).await
    }

    pub(crate) async fn try_send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer, String> {
        request.headers_mut().entry(HOST).or_insert("shop.example".parse().expect("a value"));
        if !self.cookies.is_empty() {
            let line = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
            request.headers_mut().insert(COOKIE, line.parse().expect("a value"));
        }
        let answer = tokio::time::timeout(PATIENCE, self.exchange(request)).await.map_err(|_| "no answer".to_owned()).flatten();
        if answer.as_ref().is_ok_and(|answer| answer.header("connection") == "close") || answer.is_err() {
            self.connection = None;
        }
        if let Ok(answer) = &answer {
            for line in answer.set_cookies() {
                let (name, value) = line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        if self.connection.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = TcpStream::connect(self.addr).await.map_err(|error| format!("connect: {error}"))?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            self.connection = Some(sender);
        }
        let connection = self.connection.as_mut().expect("just opened");
        connection.ready().await.map_err(|error| format!("ready: {error}"))?;
        let response = connection.send_request(request).await.map_err(|error| format!("send: {error}"))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| format!("body: {error}"))?.to_bytes();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

/// Sends bytes as they are, and reads until the end of the stream.
pub(crate) async fn raw(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("connected");
    stream.write_all(bytes).await.expect("sent");
    read_all(&mut stream).await
}

/// Reads until the end of the stream, or until nothing more has come for a while.
pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut buf = [0; 4096];
    while let Ok(Ok(count @ 1..)) = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut buf)).await {
        all.extend_from_slice(&buf[..count]);
    }
    String::from_utf8_lossy(&all).into_owned()
}
