//! The outer side: a request gets its scope, and gives up its lock when everything is saved.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;
use tower_service::Service;

use super::Settings;
use crate::scope::Scope;

/// The service of a [`super::ReplicationLayer`].
#[derive(Clone, Debug)]
pub struct Scoped<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> Scoped<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S, B> Service<Request<B>> for Scoped<S>
where
    S: Service<Request<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send,
    S::Error: Send,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready is used; the clone may not be.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let scope = Scope::new(self.settings.filters(request.uri().path()), self.settings.meters.clone());
        scope.meters().begun(scope.is_filtered());
        Box::pin(async move {
            let response = scope.clone().around(async move { inner.call(request).await }).await;
            if let Some(lock) = scope.lock() {
                lock.give_up().await;
            }
            response
        })
    }
}
