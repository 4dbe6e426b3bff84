//! The inner side: what has to be known or held before the request runs, and what is to be written when it has.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response, StatusCode};
use tower_service::Service;
use tower_sessions_core::session::Error;
use tower_sessions_core::{Session, SessionStore};
use tracing::{error, warn};

use super::{Primary, Settings};
use crate::error::StoreError;
use crate::live::Lives;
use crate::renew::adopt_id;
use crate::scope::{IdChange, Scope};

/// The service that a [`super::ReplicationLayer`] has the session manager call.
#[derive(Clone, Debug)]
pub struct Bound<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> Bound<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S, B, R> Service<Request<B>> for Bound<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
    R: Default + Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let settings = self.settings.clone();
        Box::pin(async move {
            // Without either, this is not between the two layers, and whoever asks for what is missing hears of it.
            let (Some(scope), Some(session)) = (Scope::current(), request.extensions().get::<Session>().cloned()) else {
                return inner.call(request).await;
            };
            if !scope.is_filtered()
                && let Err(error) = settings.prepare(&mut request, &session, &scope).await
            {
                warn!(%error, "a request was not begun");
                return Ok(busy());
            }
            let primary = request.extensions().get::<Primary>().copied();
            let lives = Lives::default();
            request.extensions_mut().insert(lives.clone());
            let mut response = inner.call(request).await?;
            // The session manager saves nothing of a request that failed.
            if !response.status().is_server_error()
                && let Err(error) = settings.complete(&session, &scope, &lives).await
            {
                error!(error = &error as &dyn std::error::Error, "failed to complete the session of a request");
                return Ok(failed());
            }
            if let (Some(Primary(is_primary)), Some(name)) = (primary, &settings.primary_header) {
                let value = HeaderValue::from_static(if is_primary { "true" } else { "false" });
                response.headers_mut().insert(name, value);
            }
            Ok(response)
        })
    }
}

impl Settings {
    /// Before the request.
    async fn prepare<B>(&self, request: &mut Request<B>, session: &Session, scope: &Scope) -> Result<(), StoreError> {
        let Some(id) = session.id() else { return Ok(()) };
        if self.tells_primary
            && let Some(is_primary) = self.store.is_owned_here(&id).await
        {
            self.meters.is_primary(is_primary);
            request.extensions_mut().insert(Primary(is_primary));
        }
        let Some(lock) = &self.lock else { return Ok(()) };
        let begun = Instant::now();
        let held = lock.take(&self.store, id).await;
        self.meters.locked(begun.elapsed(), &held);
        if let Some(held) = held? {
            request.extensions_mut().insert(held.fence());
            scope.set_lock(Arc::new(held));
        }
        Ok(())
    }

    /// After it, and before the session manager looks whether there is anything to be saved.
    async fn complete(&self, session: &Session, scope: &Scope, lives: &Lives) -> Result<(), Error> {
        lives.write_back(session).await?;
        // The session was to have another id, and was then ended: nobody will give the old one up.
        if let IdChange::From(old, _) = scope.change()
            && session.is_empty().await
        {
            scope.set_change(IdChange::None);
            self.store.delete(&old).await?;
        }
        adopt_id(session, scope).await
    }
}

fn busy<R: Default>() -> Response<R> {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn failed<R: Default>() -> Response<R> {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
