//! The control streams: one task for each member asks its runtime `GET /v1/control` and follows what it says. The end of a stream is the first
//! sign of a member's death, silence the only sign of a node that is cut off, and the pod's UID the proof that nobody else took the address.

pub mod report;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::control::report::{Report, ReportError, Reports};
use crate::credentials::Credentials;
use crate::gateway::Gateway;
use crate::member::{Member, connect};
use crate::meters;
use crate::table::tier::Link;

/// The first pause before a stream is opened again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Why a stream ended or did not begin.
#[derive(Debug, Error)]
enum Ended {
    #[error("no answer")]
    Unreachable,
    #[error("the connection was refused: {0}")]
    Refused(std::io::Error),
    #[error("the stream broke: {0}")]
    Broken(String),
    #[error("nothing came for {0:?}")]
    Silent(Duration),
    #[error("the member answered {0}")]
    Denied(StatusCode),
    #[error("there is no admin token to show: {0}")]
    NoToken(String),
    #[error(transparent)]
    Garbage(#[from] ReportError),
    #[error("another pod answers at this address: {0}")]
    Stranger(String),
}

impl Ended {
    /// What the end says about the member.
    fn link(&self) -> Link {
        match self {
            Self::Unreachable | Self::Silent(_) => Link::Silent,
            Self::Refused(_) | Self::Broken(_) => Link::Broken,
            Self::Denied(_) | Self::NoToken(_) | Self::Garbage(_) => Link::Unknown,
            Self::Stranger(_) => Link::Stranger,
        }
    }

    /// The label in metrics.
    fn label(&self) -> &'static str {
        match self {
            Self::Unreachable | Self::Silent(_) => "silent",
            Self::Refused(_) | Self::Broken(_) => "control-broken",
            Self::Denied(_) | Self::NoToken(_) | Self::Garbage(_) => "control-unusable",
            Self::Stranger(_) => "stranger",
        }
    }
}

/// Follows a member's control stream until `end`.
pub(crate) async fn follow(gateway: Arc<Gateway>, member: Arc<Member>, addr: SocketAddr, credentials: Credentials, end: CancellationToken) {
    let follower = Follower { gateway, member, addr, credentials, complaint: None };
    let _ = end.run_until_cancelled(follower.run()).await;
}

struct Follower {
    gateway: Arc<Gateway>,
    member: Arc<Member>,
    addr: SocketAddr,
    credentials: Credentials,
    /// What was logged last, so that a lasting trouble is logged once.
    complaint: Option<String>,
}

impl Follower {
    async fn run(mut self) {
        let limits = self.gateway.limits.clone();
        let mut pause = FIRST_PAUSE;
        loop {
            // Of a stream that just broke the member keeps its standing for a moment: a stream may end without its member.
            let limit = if self.member.link() == Link::Live { limits.reconnect_grace } else { limits.connect + limits.silence };
            let ended = match tokio::time::timeout(limit, self.open()).await {
                Err(_) => Ended::Broken(format!("it could not be opened within {limit:?}")),
                Ok(Err(ended)) => ended,
                Ok(Ok(body)) => {
                    let opened = Instant::now();
                    let ended = self.read(body).await;
                    self.member.pool.purge();
                    if opened.elapsed() > limits.control_backoff {
                        pause = FIRST_PAUSE;
                        if matches!(ended, Ended::Broken(_)) && self.member.link() == Link::Live {
                            continue;
                        }
                    }
                    ended
                }
            };
            self.conclude(&ended);
            // Many gateways follow the same member; after its restart they should not all come at once.
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.75..1.25))).await;
            pause = (pause * 2).min(limits.control_backoff);
        }
    }

    fn conclude(&mut self, ended: &Ended) {
        let (link, before) = (ended.link(), self.member.link());
        let changed = if link == Link::Silent { self.member.fall_silent() } else { self.member.set_link(link) };
        let (route, reason) = (&self.member.route, ended.to_string());
        if changed && before == Link::Live {
            meters::ejection(route, ended.label());
            warn!(member = route, reason, "a member is out of reach");
        } else if matches!(link, Link::Unknown | Link::Stranger) && self.complaint.as_ref() != Some(&reason) {
            warn!(member = route, reason, "a member's control stream cannot be used");
        } else {
            debug!(member = route, reason, "no control stream");
        }
        self.complaint = Some(reason);
        if changed {
            self.gateway.members_changed();
        }
    }

    async fn open(&self) -> Result<Incoming, Ended> {
        let token = self.credentials.authorization().await.map_err(|error| Ended::NoToken(error.to_string()))?;
        let connecting = tokio::time::timeout(self.gateway.limits.connect, TcpStream::connect(self.addr));
        let socket = match connecting.await {
            Err(_) => return Err(Ended::Unreachable),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::TimedOut => return Err(Ended::Unreachable),
            Ok(Err(error)) => return Err(Ended::Refused(error)),
            Ok(Ok(socket)) => socket,
        };
        connect::tune(&socket);
        let broken = |error: hyper::Error| Ended::Broken(error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(broken)?;
        // The task ends with the stream: dropping the sender and the body closes the connection.
        tokio::spawn(connection);
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = http::Uri::from_static("/v1/control");
        let host = HeaderValue::from_str(&self.addr.to_string()).expect("an address is visible ASCII");
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/x-ndjson"));
        request.headers_mut().insert(AUTHORIZATION, token);
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status() == StatusCode::OK { Ok(response.into_body()) } else { Err(Ended::Denied(response.status())) }
    }

    async fn read(&mut self, mut body: Incoming) -> Ended {
        let silence = self.gateway.limits.silence;
        // The last tenth is waited for apart: if this process itself did not run for a while, the lines that came meanwhile are read then.
        let looks = [silence * 9 / 10, silence / 10];
        let mut reports = Reports::default();
        loop {
            let mut frame = Err(());
            for look in looks {
                if frame.is_err() {
                    frame = tokio::time::timeout(look, body.frame()).await.map_err(drop);
                }
            }
            let frame = match frame {
                Err(()) => return Ended::Silent(silence),
                Ok(None) => return Ended::Broken("it ended".to_owned()),
                Ok(Some(Err(error))) => return Ended::Broken(error.to_string()),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else { continue };
            reports.push(&data);
            while let Some(report) = reports.next() {
                match report {
                    Ok(report) => {
                        if let Some(mismatch) = report.mismatch(&self.gateway.cluster, &self.member.route, &self.member.uid) {
                            return Ended::Stranger(mismatch);
                        }
                        self.take(report);
                    }
                    Err(error) => return Ended::Garbage(error),
                }
            }
        }
    }

    fn take(&mut self, report: Report) {
        let (state, was_live) = (report.state, self.member.link() == Link::Live);
        let changed = self.member.take_report(report);
        self.complaint = None;
        if changed {
            info!(member = self.member.route, ?state, back = !was_live, "a member reports");
            self.gateway.set_controlled();
            self.gateway.members_changed();
        }
    }
}
