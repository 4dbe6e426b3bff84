//! The body of a response on its way to the client: streamed as the client takes it, or whole where it was waited for. When it has ended well,
//! the member's connection goes back to its pool; when it breaks, so does the client's connection, because a cut response must look like one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use crate::clock::{self, Millis};
use crate::limits::Limits;
use crate::member::Lease;
use crate::member::pool::Connection;

/// How often a body that rests looks whether its member is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Why a response's body ended early.
#[derive(Debug, Error)]
pub(crate) enum RelayError {
    #[error("the member's connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the member was cut off")]
    Lost,
    #[error("the member sent nothing for {0:?}")]
    Idle(Duration),
}

/// A member's connection while it carries a request, and the request's place among the outstanding ones.
pub(crate) struct Flight {
    pub(crate) lease: Lease,
    /// `None` if the connection was over with the response's head.
    pub(crate) connection: Option<Connection>,
    /// How often the member had been found cut off when the request began.
    pub(crate) silences: u64,
}

impl Flight {
    /// The response has ended: the connection may carry another request.
    pub(crate) fn land(self, limits: &Limits) {
        if let Some(connection) = self.connection {
            self.lease.member().pool.put(connection, limits.pool);
        }
    }
}

/// A response's body.
pub(crate) enum ResponseBody {
    /// It is all here.
    Whole(Whole),
    /// It still comes.
    Relay(Box<Relay>),
}

#[derive(Default)]
pub(crate) struct Whole {
    pub(crate) parts: VecDeque<Bytes>,
    /// The share of the memory for bodies that are kept.
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
}

pub(crate) struct Relay {
    body: Incoming,
    flight: Option<Flight>,
    limits: Arc<Limits>,
    /// Since when nothing has come although the client would take more.
    resting: Option<Millis>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Whole { parts: VecDeque::from([bytes]), _permit: None })
    }
}

impl ResponseBody {
    pub(crate) fn relay(body: Incoming, flight: Flight, limits: Arc<Limits>) -> Self {
        Self::Relay(Box::new(Relay { body, flight: Some(flight), limits, resting: None, timer: None }))
    }
}

impl Relay {
    fn land(&mut self) {
        if let Some(flight) = self.flight.take() {
            flight.land(&self.limits);
        }
    }

    fn fail(&mut self, error: RelayError) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        if let Some(flight) = self.flight.take() {
            flight.lease.member().pool.purge();
        }
        Poll::Ready(Some(Err(error)))
    }

    /// Nothing has come: is there still somebody who could send?
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<RelayError> {
        let resting = *self.resting.get_or_insert_with(clock::now);
        loop {
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK)));
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            let rested = clock::since(resting);
            let lost = self.flight.as_ref().is_some_and(|flight| {
                let member = flight.lease.member();
                member.silences() != flight.silences || member.gone.is_cancelled()
            });
            if lost && rested >= self.limits.silence {
                return Poll::Ready(RelayError::Lost);
            }
            if rested >= self.limits.response_idle {
                return Poll::Ready(RelayError::Idle(self.limits.response_idle));
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let relay = match self.get_mut() {
            Self::Whole(whole) => return Poll::Ready(whole.parts.pop_front().map(|part| Ok(Frame::data(part)))),
            Self::Relay(relay) => relay,
        };
        match Pin::new(&mut relay.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                relay.resting = None;
                if let Some(flight) = &relay.flight {
                    flight.lease.member().hear_data();
                }
                if relay.body.is_end_stream() {
                    relay.land();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                relay.land();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => relay.fail(RelayError::Broken(error)),
            Poll::Pending => {
                let error = ready!(relay.poll_rest(cx));
                relay.fail(error)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.parts.is_empty(),
            Self::Relay(relay) => relay.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => SizeHint::with_exact(whole.parts.iter().map(|part| part.len() as u64).sum()),
            Self::Relay(relay) => relay.body.size_hint(),
        }
    }
}

impl Drop for Relay {
    /// The server may stop asking once it has the whole body. A body that is dropped before its end takes the connection along.
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.land();
        }
    }
}
