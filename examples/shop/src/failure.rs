//! What a request can fail with, and how it is answered.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tracing::warn;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The request is wrong; the message says in which field and what would be right.
    #[error("{0}")]
    Refused(String),
    /// The session store did not answer, or refused.
    #[error("failed to read the session: {0}")]
    Store(#[from] tower_sessions::session::Error),
}

impl Failure {
    pub(crate) fn refused(message: String) -> Self {
        Self::Refused(message)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(message) => (StatusCode::UNPROCESSABLE_ENTITY, message + "\n").into_response(),
            Self::Store(_) => {
                warn!("{self}");
                (StatusCode::INTERNAL_SERVER_ERROR, "the session store does not answer; please try again\n").into_response()
            }
        }
    }
}
