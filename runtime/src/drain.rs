//! The sub-command `drain`, which the kubelet runs before it ends the pod: asks the member beside for its drain and waits for it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::admin::DrainLine;
use crate::config::DrainSettings;

/// A line is far shorter.
const LONGEST: usize = 4096;

/// Why the member is not known to be drained.
#[derive(Debug, Error)]
pub enum DrainError {
    /// The member does not run.
    #[error("failed to reach the member at `{}` (HOLDFAST_ADMIN_SOCKET)", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The conversation broke off.
    #[error("the connection to the member broke before it was drained")]
    Broken(#[source] hyper::Error),
    /// The member ended the conversation without having been drained.
    #[error("the member ended before it was drained; the last was {0}")]
    Ended(String),
    /// It refused.
    #[error("the member answered {0}")]
    Refused(StatusCode),
    /// What it said made no sense.
    #[error("failed to understand the member's progress")]
    Garbage(#[source] serde_json::Error),
    /// It took too long.
    #[error("not drained within {limit:?} (HOLDFAST_DRAIN_TIMEOUT); the last was {last}")]
    Timeout {
        /// The limit.
        limit: Duration,
        /// What was said last.
        last: String,
    },
}

/// Asks for the drain, tells `out` how it goes, and returns when it is done.
///
/// # Errors
/// When the member cannot be reached, ends, or needs longer than the limit.
pub async fn drain(settings: &DrainSettings, out: &mut (impl Write + Send)) -> Result<(), DrainError> {
    let mut last = "no answer".to_owned();
    let limit = settings.timeout;
    match timeout(limit, follow(settings, out, &mut last)).await {
        Ok(result) => result,
        Err(_) => Err(DrainError::Timeout { limit, last }),
    }
}

async fn follow(settings: &DrainSettings, out: &mut (impl Write + Send), last: &mut String) -> Result<(), DrainError> {
    let path = &settings.admin_socket;
    let stream = UnixStream::connect(path).await.map_err(|source| DrainError::Connect { path: path.clone(), source })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(DrainError::Broken)?;
    let request = Request::post("/v1/drain").header(HOST, "localhost").body(Empty::<Bytes>::new()).expect("a constant request");
    let conversation = async {
        let mut response = sender.send_request(request).await.map_err(DrainError::Broken)?;
        if response.status() != StatusCode::OK {
            return Err(DrainError::Refused(response.status()));
        }
        let mut buffer = BytesMut::new();
        while let Some(frame) = response.frame().await {
            let Ok(data) = frame.map_err(DrainError::Broken)?.into_data() else { continue };
            buffer.extend_from_slice(&data);
            while let Some(end) = buffer.iter().take(LONGEST).position(|byte| *byte == b'\n') {
                let line: DrainLine = serde_json::from_slice(&buffer.split_to(end + 1)).map_err(DrainError::Garbage)?;
                *last = describe(&line);
                // The kubelet keeps what is printed only if the hook fails; a closed pipe is no reason to stop.
                let _ = writeln!(out, "{last}");
                if line.done {
                    return Ok(());
                }
            }
        }
        Err(DrainError::Ended(last.clone()))
    };
    tokio::pin!(conversation);
    tokio::select! {
        result = &mut conversation => result,
        result = connection => {
            result.map_err(DrainError::Broken)?;
            conversation.await
        }
    }
}

fn describe(line: &DrainLine) -> String {
    let DrainLine { state, owned, kept, transfers, .. } = line;
    match line {
        DrainLine { alone: true, .. } => format!("{state:?}: this is the only member, {owned} sessions end with it"),
        DrainLine { done: true, .. } => "drained".to_owned(),
        _ => format!("{state:?}: owns {owned} sessions, keeps {kept}, waits for the confirmation of {transfers}"),
    }
}
