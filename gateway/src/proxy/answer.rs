//! What the gateway answers itself, when no member does: a plain line for people and a header for programs.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use crate::proxy::headers;
use crate::proxy::relay::ResponseBody;

/// Why a request gets no member's response although it was a good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There is no member that could serve.
    NoMember,
    /// No member took it; nothing was sent.
    Unsent,
    /// It was sent, the connection broke, and it must not or cannot be sent again.
    InFlight,
    /// It was sent, and the member is cut off.
    Cut,
    /// The member did not answer in time.
    Timeout,
}

impl Failure {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NoMember => (StatusCode::SERVICE_UNAVAILABLE, "no-member", "no member of the cluster can serve at the moment"),
            Self::Unsent => (StatusCode::SERVICE_UNAVAILABLE, "unsent", "no member took the request; nothing was sent"),
            Self::InFlight => {
                (StatusCode::BAD_GATEWAY, "in-flight", "the member went away while it had the request; whether it took effect is not known")
            }
            Self::Cut => (
                StatusCode::GATEWAY_TIMEOUT,
                "in-flight",
                "the member was cut off while it had the request; whether it took effect is not known",
            ),
            Self::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout", "the member did not answer in time"),
        }
    }

    /// The response for the client.
    pub(crate) fn response(self) -> Response<ResponseBody> {
        let (status, reason, text) = self.parts();
        let mut response = plain(status, text);
        response.headers_mut().insert(headers::ERROR, HeaderValue::from_static(reason));
        if matches!(self, Self::NoMember | Self::Unsent) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(Duration::from_secs(1).as_secs()));
        }
        response
    }
}

/// What is wrong with a request that no member gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is malformed, as the text says.
    Request(&'static str),
    /// A method that a gateway does not serve.
    Method,
    /// A transfer coding that it does not know.
    Coding,
    /// An expectation that it cannot meet.
    Expectation,
    /// The client did not send the rest of its body.
    Slow,
}

impl Refusal {
    /// The response for the client. Its connection ends with it: what follows on it cannot be trusted.
    pub(crate) fn response(self) -> Response<ResponseBody> {
        let (status, text) = match self {
            Self::Request(text) => (StatusCode::BAD_REQUEST, text),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "this gateway opens no tunnels"),
            Self::Coding => (StatusCode::NOT_IMPLEMENTED, "the only transfer coding that is understood is chunked"),
            Self::Expectation => (StatusCode::EXPECTATION_FAILED, "the only expectation that can be met is 100-continue"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "the rest of the request did not come in time"),
        };
        let mut response = plain(status, text);
        if self == Self::Method {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE"));
        }
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    let line = format!("{} {}: {text}\n", status.as_str(), status.canonical_reason().unwrap_or_default());
    let mut response = Response::new(ResponseBody::from(Bytes::from(line)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
