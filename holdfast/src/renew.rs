//! Another id for a session, while requests with the old one are still on their way.

use tower_sessions_core::Session;
use tower_sessions_core::session::Error;

use crate::scope::{IdChange, Scope};

/// Gives the session another id when the request ends, as [`Session::cycle_id`] does; but the old one goes on resolving for as long as the store says
/// ([`crate::Store::with_id_grace`]), so that requests that the user's browser has sent already find their session, and learn of its new id.
///
/// For a routine change. At a login use [`Session::cycle_id`], or [`crate::Principal::log_in`]: whoever has planted the old id must not share the session
/// that follows, not even for a moment.
///
/// Without [`crate::ReplicationLayer`] around the request, this is [`Session::cycle_id`].
///
/// # Errors
/// When the session could not be loaded.
pub async fn renew_id(session: &Session) -> Result<(), Error> {
    let Some(scope) = Scope::current() else { return session.cycle_id().await };
    // To find out whether there is one. A session that is not stored yet, or that is about to get a new id anyway, gets one.
    session.get_value("").await?;
    if session.id().is_none() {
        return Ok(());
    }
    cycle(session, &scope, IdChange::Announced).await
}

/// Makes the request that has loaded its session by an old id go on with its new one, so that the reply tells it to the browser.
pub(crate) async fn adopt_id(session: &Session, scope: &Scope) -> Result<(), Error> {
    match scope.found_as() {
        Some(id) if session.id().is_some_and(|known| known != id) => cycle(session, scope, IdChange::Adopt(id)).await,
        _ => Ok(()),
    }
}

/// Lets tower-sessions change the id, while the store knows what that is about.
async fn cycle(session: &Session, scope: &Scope, change: IdChange) -> Result<(), Error> {
    scope.set_change(change);
    let result = session.cycle_id().await;
    if result.is_err() {
        scope.set_change(IdChange::None);
    }
    result
}
