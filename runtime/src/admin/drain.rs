//! The drain as the pod's preStop hook asks for it: begins it, and reports until nothing would be lost if this member ended.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::member::{MemberControl, NoAnswer};
use crate::status::{Phase, Status};

/// How often the progress is told.
const PERIOD: Duration = Duration::from_millis(500);

/// One line of progress.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct DrainLine {
    /// Where the member is on its way.
    pub state: Phase,
    /// Sessions that it still owns.
    pub owned: u64,
    /// Sessions that others still count on it to keep.
    pub kept: u64,
    /// Sessions that it gave away without a confirmation.
    pub transfers: u64,
    /// The last line: nothing more can be handed over.
    pub done: bool,
    /// It is the only member, so what it holds ends with it.
    pub alone: bool,
}

impl DrainLine {
    fn new(status: &Status) -> Self {
        // A member that is not in the view holds nothing that counts.
        let is_outside = status.view.is_none();
        let nothing_to_do = status.holds_nothing() || status.is_alone || is_outside;
        Self {
            state: status.phase,
            owned: status.owned,
            kept: status.kept,
            transfers: status.transfers,
            done: nothing_to_do,
            alone: status.is_alone && !status.left,
        }
    }
}

pub(super) async fn drain(State(control): State<MemberControl>) -> Result<Response, NoAnswer> {
    let mut status = control.status();
    // After its end there is nothing to be asked, and nothing to be handed over.
    if !status.borrow_and_update().left {
        control.drain().await?;
    }
    let lines = stream::unfold(Some(status), async |status| {
        let mut status: watch::Receiver<Status> = status?;
        let line = DrainLine::new(&status.borrow_and_update());
        let mut bytes = serde_json::to_vec(&line).expect("plain fields encode");
        bytes.push(b'\n');
        let goes_on = !line.done
            && tokio::select! {
                // An error: the member's task has ended, so there will be no other status.
                done = status.wait_for(|now| DrainLine::new(now).done) => done.is_ok(),
                () = sleep(PERIOD) => true,
            };
        let next = goes_on.then_some(status);
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(bytes)), next))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}
