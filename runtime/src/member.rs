//! One member of a cluster: `core` has the engine, which every task calls that has something to tell it; `outputs` carries out what it wants; `driver`
//! tells it the time and what the world around it says.

pub(crate) mod core;
mod driver;
mod meters;
mod observe;
mod outputs;
mod witness;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::NodeId;
use holdfast_core::engine::{self, LinkStatus, SessionStatus};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::arbiter::Arbiter;
use crate::incarnation;
use crate::links::LinkSettings;
use crate::peers::PeerResolver;
use crate::place::Locator;
use crate::proof::Prover;
use crate::session::SessionHandle;
use crate::status::Status;
use crate::tls::Tls;
use driver::Driver;
pub use witness::Witness;

/// How long the member's task may take to answer a question about it.
const ANSWER: Duration = Duration::from_secs(1);

/// What differs between members.
#[derive(Clone, Debug)]
pub struct MemberSettings {
    /// The place of this member.
    pub id: NodeId,
    /// The rules' settings.
    pub engine: engine::Config,
}

impl MemberSettings {
    fn links(&self, tls: Option<Tls>) -> LinkSettings {
        // The engine suspects and evicts long before. This only ends connections that nobody counts on.
        let idle = Duration::from_millis(self.engine.failure_timeout) * 5 + Duration::from_secs(5);
        // What waits here is kept for repetition by the engine anyway, so the memory is not taken twice; it is a last resort against a peer that
        // takes nothing at all and cannot be evicted.
        LinkSettings { idle, queue_bytes: self.engine.queue_bytes.saturating_mul(8), connections: self.engine.connections, tls }
    }
}

/// The world around a member.
#[derive(Debug)]
pub struct Surroundings {
    /// Where the other members connect to.
    pub listener: TcpListener,
    /// Who the other members have to be; without it, links are plain TCP.
    pub tls: Option<Tls>,
    /// Holds the view.
    pub arbiter: Arc<dyn Arbiter>,
    /// Knows where the members are.
    pub resolver: Arc<dyn PeerResolver>,
    /// Knows who is dead.
    pub prover: Arc<dyn Prover>,
    /// Knows where this member runs; without it, nobody does.
    pub locator: Option<Arc<dyn Locator>>,
    /// Is told what happens to the member; `()` is nobody.
    pub witness: Arc<dyn Witness>,
}

/// The member's task does not run any more, or hangs.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the member's task does not answer")]
pub struct NoAnswer;

/// Asks a member about itself, and tells it to leave. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MemberControl {
    questions: mpsc::Sender<Question>,
    status: watch::Receiver<Status>,
}

/// What can be asked of the member's task.
#[derive(Debug)]
enum Question {
    Drain,
    Finish,
    Session { key: Bytes, reply: oneshot::Sender<Option<SessionStatus>> },
    Links { reply: oneshot::Sender<Vec<LinkStatus>> },
}

impl MemberControl {
    /// Begins to hand everything over; see the status for how far it is. There is no way back.
    ///
    /// # Errors
    /// When the member's task has ended.
    pub async fn drain(&self) -> Result<(), NoAnswer> {
        self.ask(Question::Drain).await
    }

    /// Leaves for good, as soon as nothing would be lost. The status says when it has.
    ///
    /// # Errors
    /// When the member's task has ended.
    pub async fn finish(&self) -> Result<(), NoAnswer> {
        self.ask(Question::Finish).await
    }

    /// What this member knows of a session; `None` if it holds nothing of it.
    ///
    /// # Errors
    /// When the member's task does not answer.
    pub async fn session(&self, key: Bytes) -> Result<Option<SessionStatus>, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.ask(Question::Session { key, reply }).await?;
        timeout(ANSWER, answer).await.ok().and_then(Result::ok).ok_or(NoAnswer)
    }

    /// How it stands with the other members.
    ///
    /// # Errors
    /// When the member's task does not answer.
    pub async fn links(&self) -> Result<Vec<LinkStatus>, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.ask(Question::Links { reply }).await?;
        timeout(ANSWER, answer).await.ok().and_then(Result::ok).ok_or(NoAnswer)
    }

    /// What it is and holds; changes are pushed.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    async fn ask(&self, question: Question) -> Result<(), NoAnswer> {
        timeout(ANSWER, self.questions.send(question)).await.ok().and_then(Result::ok).ok_or(NoAnswer)
    }
}

/// A member that runs. Dropping it ends it abruptly, as a crash would.
#[derive(Debug)]
pub struct Member {
    sessions: SessionHandle,
    control: MemberControl,
    task: JoinHandle<()>,
}

impl Member {
    /// Starts a member: it joins the cluster by itself, and stays until told to leave.
    #[must_use]
    pub fn start(settings: &MemberSettings, surroundings: Surroundings) -> Self {
        let (questions, asked) = mpsc::channel(64);
        let (driver, core, status) = Driver::new(settings, surroundings, asked, incarnation::draw());
        let sessions = SessionHandle::new(core, status.clone());
        Self { sessions, control: MemberControl { questions, status }, task: tokio::spawn(driver.run()) }
    }

    /// Access to the sessions.
    #[must_use]
    pub fn sessions(&self) -> SessionHandle {
        self.sessions.clone()
    }

    /// Questions about it, and leaving.
    #[must_use]
    pub fn control(&self) -> MemberControl {
        self.control.clone()
    }

    /// Waits until it has left for good.
    ///
    /// # Panics
    /// When its task did.
    pub async fn ended(&mut self) {
        (&mut self.task).await.expect("a panic in the member's task has been logged");
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}
