//! The control stream that gateways follow: one line when something changes, and one each second, so that silence means that the member is gone.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Identity;
use crate::status::{Phase, Status};

/// A gateway takes several missing lines for the member's end.
const PERIOD: Duration = Duration::from_secs(1);

/// Counts change with each request; they are told no more often than this.
const COUNTS: Duration = Duration::from_millis(200);

/// One line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    cluster: &'a str,
    member: &'a str,
    #[serde(rename = "podUID")]
    pod_uid: &'a str,
    incarnation: String,
    state: Phase,
    sessions: u64,
    epoch: u64,
}

/// What a line says that a gateway acts on.
fn gist(status: &Status) -> (Phase, u64, u64) {
    (status.phase, status.member.incarnation, status.epoch())
}

fn line(identity: &Identity, status: &Status) -> Bytes {
    let line = Line {
        cluster: &identity.cluster,
        member: &identity.member,
        pod_uid: &identity.pod_uid,
        incarnation: status.member.incarnation.to_string(),
        state: status.phase,
        sessions: status.owned,
        epoch: status.epoch(),
    };
    let mut bytes = serde_json::to_vec(&line).expect("plain fields encode");
    bytes.push(b'\n');
    bytes.into()
}

struct Follower {
    identity: Arc<Identity>,
    status: watch::Receiver<Status>,
    said: Option<(Status, Instant)>,
}

impl Follower {
    /// The next line, when it is due; `None` after the member's end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some((before, at)) = &self.said {
            loop {
                let counts_changed = {
                    let now = self.status.borrow_and_update();
                    if gist(&now) != gist(before) {
                        break;
                    }
                    now.owned != before.owned
                };
                let due = *at + if counts_changed { COUNTS } else { PERIOD };
                tokio::select! {
                    changed = self.status.changed() => changed.ok()?,
                    () = sleep_until(due) => break,
                }
            }
        }
        let now = self.status.borrow_and_update().clone();
        let line = line(&self.identity, &now);
        self.said = Some((now, Instant::now()));
        Some(line)
    }
}

pub(super) fn stream(identity: Arc<Identity>, status: watch::Receiver<Status>) -> Response {
    let follower = Follower { identity, status, said: None };
    let lines = stream::unfold(follower, async |mut follower| {
        follower.next().await.map(|line| (Ok::<_, std::convert::Infallible>(line), follower))
    });
    ([(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")], Body::from_stream(lines)).into_response()
}
