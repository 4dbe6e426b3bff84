//! A client's request made ready to be sent to a member, any number of times.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::sync::Semaphore;

use crate::cookie;
use crate::intent::Intent;
use crate::limits::Limits;
use crate::proxy::answer::Refusal;
use crate::proxy::headers;
use crate::proxy::replay::{Outgoing, Replay};

/// A request as the members get it.
pub(crate) struct Inbound {
    pub(crate) method: Method,
    uri: Uri,
    headers: HeaderMap,
    pub(crate) body: Replay<Incoming>,
    /// The client's side of a change of protocol that it asks for.
    pub(crate) upgrade: Option<OnUpgrade>,
    /// The routes that its cookies name.
    pub(crate) routes: Vec<String>,
}

impl Inbound {
    /// Takes a request in.
    pub(crate) fn admit(
        mut request: Request<Incoming>,
        client: IpAddr,
        cluster: &str,
        intent: &Intent,
        limits: &Limits,
        memory: &Arc<Semaphore>,
    ) -> Result<Self, Refusal> {
        headers::check(request.headers())?;
        let (uri, host) = headers::target(request.method(), request.uri(), request.version(), request.headers(), cluster)?;
        // A body before the change of protocol would have to be read to its end first; nobody does that.
        let protocol =
            headers::upgrade(request.headers()).filter(|_| request.version() == Version::HTTP_11 && request.body().is_end_stream());
        let upgrade = protocol.is_some().then(|| hyper::upgrade::on(&mut request));

        let (mut parts, body) = request.into_parts();
        let routes = cookie::take_routes(&mut parts.headers, &intent.cookie);
        headers::prepare(&mut parts.headers, client, host, protocol.as_ref());

        let keep = if parts.method.is_idempotent() { body_share(&body, limits, memory) } else { None };
        let (limit, permit) = keep.map_or((0, None), |(limit, permit)| (limit, Some(permit)));
        let body = Replay::new(body, limit, permit, limits.client_stall);
        if body.is_of_unknown_length() {
            // Without it the client side of hyper takes a GET for one without a body.
            parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Ok(Self { method: parts.method, uri, headers: parts.headers, body, upgrade, routes })
    }

    /// Whether it may be sent again although it may have taken effect (RFC 9110, section 9.2.2), and can be.
    pub(crate) fn is_safe_to_repeat(&self) -> bool {
        self.method.is_idempotent() && self.body.is_repeatable()
    }

    /// The number that stands for the session of the request, where it is known.
    pub(crate) fn session(&self, intent: &Intent) -> Option<u64> {
        cookie::session(&self.headers, &intent.sources)
    }

    /// The number that stands for all cookies of the request.
    pub(crate) fn everything(&self) -> u64 {
        cookie::everything(&self.headers)
    }

    /// The message for one attempt.
    pub(crate) fn message(&self, body: Outgoing) -> Request<Outgoing> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }
}

/// The bytes of a body that are to be kept, and the memory set aside for them; `None` if there is no body, it is too long, or memory is short.
fn body_share(body: &Incoming, limits: &Limits, memory: &Arc<Semaphore>) -> Option<(usize, tokio::sync::OwnedSemaphorePermit)> {
    let length = body.size_hint().exact().map_or(limits.replay_bytes, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if length == 0 || length > limits.replay_bytes {
        return None;
    }
    let permit = memory.clone().try_acquire_many_owned(u32::try_from(length).ok()?).ok()?;
    Some((length, permit))
}
