//! What the layer knows, as arguments of axum's handlers.

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use thiserror::Error;
use tower_sessions_core::Session;
use tower_sessions_core::session;

use crate::layer::Primary;
use crate::live::{Attribute, Live, Lives};
use crate::lock::Fence;
use crate::principal::Principal;

/// Why a handler's argument is not to be had.
#[derive(Debug, Error)]
pub enum Missing {
    /// The request did not come through the layer.
    #[error("the request did not come through holdfast's ReplicationLayer and tower-sessions' SessionManagerLayer")]
    Layer,
    /// The session could not be loaded, or holds something else.
    #[error("failed to read the session")]
    Session(#[from] session::Error),
    /// Nobody has logged in.
    #[error("nobody has logged in")]
    Principal,
    /// The session is not locked: there is none yet, or locks are not switched on.
    #[error("the session is not locked")]
    Fence,
}

impl IntoResponse for Missing {
    /// 401 where somebody has to log in, 500 otherwise. What went wrong is for the log and not for the user.
    fn into_response(self) -> Response {
        match self {
            Self::Principal => StatusCode::UNAUTHORIZED.into_response(),
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "an argument of a handler is missing");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

fn session_of(parts: &Parts) -> Result<Session, Missing> {
    parts.extensions.get::<Session>().cloned().ok_or(Missing::Layer)
}

impl<T: Attribute, S: Send + Sync> FromRequestParts<S> for Live<T> {
    type Rejection = Missing;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Missing> {
        let lives = parts.extensions.get::<Lives>().cloned().ok_or(Missing::Layer)?;
        Ok(Live::of(&session_of(parts)?, &lives).await?)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Missing;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Missing> {
        Principal::of(&session_of(parts)?).await?.ok_or(Missing::Principal)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Principal {
    type Rejection = Missing;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Missing> {
        Ok(Principal::of(&session_of(parts)?).await?)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Primary {
    type Rejection = Missing;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Missing> {
        Ok(parts.extensions.get().copied())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Fence {
    type Rejection = Missing;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Missing> {
        parts.extensions.get().copied().ok_or(Missing::Fence)
    }
}
