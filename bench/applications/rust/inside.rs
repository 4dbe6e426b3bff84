//! Sessions in this process: the application is the member of its pod.

use anyhow::Context;
use axum::Router;
use holdfast::Member;
use tower_sessions_015::cookie::time::Duration;
use tower_sessions_015::{Expiry, Session, SessionManagerLayer};

use crate::page::router;

/// The member, joined.
pub(crate) async fn member() -> anyhow::Result<Member> {
    let member = Member::from_env().await.context("cannot start the member")?;
    member.joined().await.context("the member did not join")?;
    Ok(member)
}

/// The pages, with their sessions at this member.
pub(crate) fn pages(member: &Member) -> Router {
    let sessions = SessionManagerLayer::new(member.store()).with_secure(false).with_expiry(Expiry::OnInactivity(Duration::minutes(30)));
    router!(Session).layer(sessions)
}
