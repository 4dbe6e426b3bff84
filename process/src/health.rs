//! The three probes: `/livez` (restart me), `/readyz` (send me requests) and `/startedz` (my neighbours may start).
//! The parts of the process report into a shared [`Health`]; liveness depends only on pulses of tasks of this process, never on a peer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

/// What the probes answer. Clones share one state.
#[derive(Clone, Debug)]
pub struct Health {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    start: Instant,
    started: Mutex<Result<(), String>>,
    ready: Mutex<Result<(), String>>,
    pulses: Mutex<Vec<Watched>>,
}

#[derive(Debug)]
struct Watched {
    task: &'static str,
    limit: Duration,
    last: Arc<AtomicU64>,
}

/// The sign of life of one task, from [`Health::pulse`].
#[derive(Clone, Debug)]
pub struct Pulse {
    start: Instant,
    last: Arc<AtomicU64>,
}

impl Pulse {
    /// Says that the task is alive now.
    pub fn beat(&self) {
        self.last.store(millis(self.start.elapsed()), Ordering::Relaxed);
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Alive, neither started nor ready.
    #[must_use]
    pub fn new() -> Self {
        let starting = || Mutex::new(Err("starting".to_owned()));
        Self { state: Arc::new(State { start: Instant::now(), started: starting(), ready: starting(), pulses: Mutex::default() }) }
    }

    /// Sets the answer of `/startedz`: `Err` says what is still missing.
    pub fn set_started(&self, started: Result<(), String>) {
        *lock(&self.state.started) = started;
    }

    /// Sets the answer of `/readyz`: `Err` says why not.
    pub fn set_ready(&self, ready: Result<(), String>) {
        *lock(&self.state.ready) = ready;
    }

    /// Makes `/livez` fail once `task` has not beaten its pulse for `limit`: it hangs, and only a restart helps.
    #[must_use]
    pub fn pulse(&self, task: &'static str, limit: Duration) -> Pulse {
        let pulse = Pulse { start: self.state.start, last: Arc::default() };
        pulse.beat();
        lock(&self.state.pulses).push(Watched { task, limit, last: pulse.last.clone() });
        pulse
    }

    /// The answer of `/livez`.
    ///
    /// # Errors
    /// Names the first task whose pulse is overdue.
    pub fn live(&self) -> Result<(), String> {
        let now = millis(self.state.start.elapsed());
        for watched in &*lock(&self.state.pulses) {
            let silent = Duration::from_millis(now.saturating_sub(watched.last.load(Ordering::Relaxed)));
            if silent > watched.limit {
                return Err(format!("task `{}` has shown no life for {silent:?}, allowed are {:?}", watched.task, watched.limit));
            }
        }
        Ok(())
    }

    /// The answer of `/startedz`.
    ///
    /// # Errors
    /// Says what is still missing.
    pub fn started(&self) -> Result<(), String> {
        lock(&self.state.started).clone()
    }

    /// The answer of `/readyz`.
    ///
    /// # Errors
    /// Says why not.
    pub fn ready(&self) -> Result<(), String> {
        lock(&self.state.ready).clone()
    }

    /// `/livez`, `/readyz` and `/startedz`: 200 with `ok`, or 503 with the reason.
    pub fn router(&self) -> Router {
        let (live, ready, started) = (self.clone(), self.clone(), self.clone());
        Router::new()
            .route("/livez", get(move || std::future::ready(answer(live.live()))))
            .route("/readyz", get(move || std::future::ready(answer(ready.ready()))))
            .route("/startedz", get(move || std::future::ready(answer(started.started()))))
    }
}

fn answer(state: Result<(), String>) -> (StatusCode, String) {
    match state {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

/// These locks guard plain values that no panic can leave half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn probe(health: &Health, path: &str) -> (u16, String) {
        let response = health.router().oneshot(Request::get(path).body(Body::empty()).expect("a request")).await.expect("infallible");
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1024).await.expect("a short body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn a_new_process_is_alive_but_neither_started_nor_ready() {
        let health = Health::new();
        assert_eq!(probe(&health, "/livez").await, (200, "ok\n".to_owned()));
        assert_eq!(probe(&health, "/startedz").await, (503, "starting\n".to_owned()));
        assert_eq!(probe(&health, "/readyz").await.0, 503);
    }

    #[tokio::test]
    async fn the_reason_is_in_the_answer() {
        let health = Health::new();
        health.set_started(Ok(()));
        health.set_ready(Err("waiting for the state of 2 members".to_owned()));
        assert_eq!(probe(&health, "/startedz").await.0, 200);
        assert_eq!(probe(&health, "/readyz").await, (503, "waiting for the state of 2 members\n".to_owned()));
        health.set_ready(Ok(()));
        assert_eq!(probe(&health, "/readyz").await.0, 200);
    }

    #[tokio::test]
    async fn a_task_that_stops_beating_fails_liveness_until_it_beats_again() {
        let health = Health::new();
        let pulse = health.pulse("engine", Duration::from_millis(20));
        assert_eq!(probe(&health, "/livez").await.0, 200);
        tokio::time::sleep(Duration::from_millis(60)).await;
        let (status, body) = probe(&health, "/livez").await;
        assert_eq!(status, 503);
        assert!(body.contains("`engine`"), "{body}");
        pulse.beat();
        assert_eq!(probe(&health, "/livez").await.0, 200);
    }
}
