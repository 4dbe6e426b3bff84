//! The body of a request on its way to a member, in a form that another member can be sent if the first one goes away: streamed as it comes,
//! and kept up to a limit while the request may have to be repeated.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use crate::clock::{self, Millis};

/// Why a request's body ended early.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The client broke off.
    #[error("the client broke off its request")]
    Client,
    /// The client stopped sending.
    #[error("the client stopped sending its request")]
    Stalled,
    /// A later attempt took the body over.
    #[error("the request was given up on this connection")]
    Superseded,
}

/// A request's body across its attempts.
pub(crate) struct Replay<B> {
    /// `None` for a request without a body.
    shared: Option<Arc<Mutex<Shared<B>>>>,
}

struct Shared<B> {
    source: B,
    /// What has been sent so far, if it may have to be sent again.
    kept: VecDeque<Bytes>,
    kept_bytes: usize,
    /// Bytes that may be kept; once there are more, nothing is.
    limit: usize,
    trailers: Option<HeaderMap>,
    ended: bool,
    /// Whether an attempt has taken anything that is not kept.
    spent: bool,
    failed: Option<BodyError>,
    /// The attempt that may read; earlier ones may not.
    attempt: u64,
    progress: Millis,
    stall: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// The share of the memory for bodies that are kept.
    permit: Option<OwnedSemaphorePermit>,
}

/// The body as one attempt sends it.
pub(crate) enum Outgoing<B = hyper::body::Incoming> {
    /// None.
    Empty,
    /// What the client sends.
    Attempt(Attempt<B>),
}

/// One attempt's view of a [`Replay`].
pub(crate) struct Attempt<B> {
    shared: Arc<Mutex<Shared<B>>>,
    number: u64,
    /// The next of the kept parts.
    next: usize,
    sent: u64,
    total: Option<u64>,
}

impl<B: Body<Data = Bytes> + Unpin> Replay<B> {
    /// A request's body, of which up to `limit` bytes are kept; `permit` is the memory set aside for that.
    pub(crate) fn new(source: B, limit: usize, permit: Option<OwnedSemaphorePermit>, stall: Duration) -> Self {
        if source.is_end_stream() {
            return Self { shared: None };
        }
        let shared = Shared {
            source,
            kept: VecDeque::new(),
            kept_bytes: 0,
            limit,
            trailers: None,
            ended: false,
            spent: false,
            failed: None,
            attempt: 0,
            progress: clock::now(),
            stall,
            timer: None,
            permit,
        };
        Self { shared: Some(Arc::new(Mutex::new(shared))) }
    }

    /// Whether there is a body whose length only its end will tell.
    pub(crate) fn is_of_unknown_length(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| lock(shared).source.size_hint().exact().is_none())
    }

    /// The body for the next attempt, from its beginning, and the end of the attempts before; `None` if its beginning is gone.
    pub(crate) fn attempt(&self) -> Option<Outgoing<B>> {
        let Some(arc) = &self.shared else { return Some(Outgoing::Empty) };
        let mut shared = lock(arc);
        if shared.spent || shared.failed.is_some() {
            return None;
        }
        shared.attempt += 1;
        // What is kept has been taken out of the source.
        let total = shared.source.size_hint().exact().map(|rest| rest + shared.kept_bytes as u64);
        Some(Outgoing::Attempt(Attempt { shared: arc.clone(), number: shared.attempt, next: 0, sent: 0, total }))
    }

    /// Whether [`Replay::attempt`] would give the body once more.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| {
            let shared = lock(shared);
            !shared.spent && shared.failed.is_none()
        })
    }

    /// What the client did wrong, if it did.
    pub(crate) fn failure(&self) -> Option<BodyError> {
        self.shared.as_ref().and_then(|shared| lock(shared).failed)
    }

    /// When a part of the body last went out.
    pub(crate) fn progress(&self) -> Millis {
        self.shared.as_ref().map_or(0, |shared| lock(shared).progress)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Shared<B> {
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(failed) = self.failed {
            return Poll::Ready(Some(Err(failed)));
        }
        let frame = match Pin::new(&mut self.source).poll_frame(cx) {
            Poll::Pending => {
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.stall)));
                ready!(timer.as_mut().poll(cx));
                self.failed = Some(BodyError::Stalled);
                return Poll::Ready(Some(Err(BodyError::Stalled)));
            }
            Poll::Ready(frame) => frame,
        };
        self.timer = None;
        self.progress = clock::now();
        match frame {
            None => {
                self.ended = true;
                Poll::Ready(None)
            }
            Some(Err(_)) => {
                self.failed = Some(BodyError::Client);
                Poll::Ready(Some(Err(BodyError::Client)))
            }
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.keep(data.clone());
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.trailers = Some(trailers.clone());
                    self.ended = true;
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn keep(&mut self, data: Bytes) {
        if self.spent {
            return;
        }
        if self.kept_bytes + data.len() > self.limit {
            self.spent = true;
            self.kept = VecDeque::new();
            self.permit = None;
        } else {
            self.kept_bytes += data.len();
            self.kept.push_back(data);
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Attempt(attempt) = self.get_mut() else { return Poll::Ready(None) };
        let mut shared = lock(&attempt.shared);
        if shared.attempt != attempt.number {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if let Some(data) = shared.kept.get(attempt.next).cloned() {
            attempt.next += 1;
            attempt.sent += data.len() as u64;
            shared.progress = clock::now();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if shared.ended {
            return Poll::Ready(shared.trailers.clone().filter(|_| attempt.next != usize::MAX).map(|trailers| {
                attempt.next = usize::MAX;
                Ok(Frame::trailers(trailers))
            }));
        }
        let frame = ready!(shared.poll_source(cx));
        match &frame {
            Some(Ok(frame)) if frame.is_trailers() => attempt.next = usize::MAX,
            Some(Ok(frame)) => {
                attempt.next = shared.kept.len();
                attempt.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            _ => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let Self::Attempt(attempt) = self else { return true };
        let shared = lock(&attempt.shared);
        shared.trailers.is_none() && attempt.next >= shared.kept.len() && (shared.ended || shared.source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Attempt(attempt) => attempt.total.map_or_else(SizeHint::default, |total| SizeHint::with_exact(total - attempt.sent)),
        }
    }
}

/// Nothing that is done under the lock leaves it half-done.
fn lock<B>(shared: &Mutex<Shared<B>>) -> MutexGuard<'_, Shared<B>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    type Frames = stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, std::io::Error>>>;

    const STALL: Duration = Duration::from_secs(60);

    fn parts(parts: &[&'static str]) -> StreamBody<Frames> {
        let frames: Vec<_> = parts.iter().map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes())))).collect();
        StreamBody::new(stream::iter(frames))
    }

    async fn all<B: Body<Data = Bytes> + Unpin>(body: Outgoing<B>) -> Result<String, BodyError> {
        let collected = body.collect().await?;
        Ok(String::from_utf8_lossy(&collected.to_bytes()).into_owned())
    }

    #[tokio::test]
    async fn a_small_body_is_sent_again_from_its_beginning() {
        let replay = Replay::new(parts(&["ab", "cd", "ef"]), 6, None, STALL);
        let mut first = replay.attempt().expect("untouched");
        first.frame().await.expect("a frame").expect("data");
        for _ in 0..3 {
            assert_eq!(all(replay.attempt().expect("kept")).await.as_deref(), Ok("abcdef"));
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_sent_once() {
        let replay = Replay::new(parts(&["abc", "def", "g"]), 6, None, STALL);
        assert_eq!(all(replay.attempt().expect("untouched")).await.as_deref(), Ok("abcdefg"));
        assert!(!replay.is_repeatable());
        assert!(replay.attempt().is_none());
    }

    #[tokio::test]
    async fn a_body_of_which_nothing_was_taken_can_always_be_sent() {
        let replay = Replay::new(parts(&["abc"]), 0, None, STALL);
        drop(replay.attempt().expect("untouched"));
        assert_eq!(all(replay.attempt().expect("still untouched")).await.as_deref(), Ok("abc"));
        assert!(!replay.is_repeatable());
    }

    #[tokio::test]
    async fn an_earlier_attempt_can_take_nothing_any_more() {
        let replay = Replay::new(parts(&["ab", "cd"]), 100, None, STALL);
        let mut first = replay.attempt().expect("untouched");
        first.frame().await.expect("a frame").expect("data");
        let second = replay.attempt().expect("kept");
        assert_eq!(all(first).await, Err(BodyError::Superseded));
        assert_eq!(all(second).await.as_deref(), Ok("abcd"));
    }

    #[tokio::test]
    async fn a_known_length_is_that_of_the_whole_body_in_every_attempt() {
        let replay = Replay::new(Full::new(Bytes::from_static(b"abcd")), 100, None, STALL);
        assert!(!replay.is_of_unknown_length());
        for _ in 0..2 {
            let mut attempt = replay.attempt().expect("kept");
            assert_eq!(attempt.size_hint().exact(), Some(4));
            assert!(!attempt.is_end_stream());
            attempt.frame().await.expect("a frame").expect("data");
            assert!(attempt.is_end_stream());
            assert_eq!(attempt.size_hint().exact(), Some(0));
        }
    }

    #[tokio::test]
    async fn trailers_are_repeated_too() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("1"));
        let frames = vec![Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"ab"))), Ok(Frame::trailers(trailers.clone()))];
        let replay = Replay::new(StreamBody::new(stream::iter(frames)), 100, None, STALL);
        for _ in 0..2 {
            let collected = replay.attempt().expect("kept").collect().await.expect("whole");
            assert_eq!(collected.trailers(), Some(&trailers));
            assert_eq!(collected.to_bytes(), "ab");
        }
    }

    #[tokio::test]
    async fn a_client_that_breaks_off_is_told_from_a_member_that_does() {
        let frames = vec![Ok(Frame::data(Bytes::from_static(b"ab"))), Err(std::io::Error::other("reset"))];
        let replay = Replay::new(StreamBody::new(stream::iter(frames)), 100, None, STALL);
        assert_eq!(all(replay.attempt().expect("untouched")).await, Err(BodyError::Client));
        assert_eq!(replay.failure(), Some(BodyError::Client));
        assert!(replay.attempt().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stalls_is_given_up() {
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let replay = Replay::new(body, 100, None, STALL);
        assert_eq!(all(replay.attempt().expect("untouched")).await, Err(BodyError::Stalled));
    }

    #[tokio::test]
    async fn no_body_can_be_sent_any_number_of_times() {
        let replay = Replay::new(Full::new(Bytes::new()), 0, None, STALL);
        for _ in 0..3 {
            assert!(replay.attempt().expect("nothing to lose").is_end_stream());
        }
    }
}
