//! Another id for a session, while requests with the old one are still on their way.

use tower_sessions_core::Session;
use tower_sessions_core::session::Error;

use crate::scope::{IdChange, OldId, Scope};

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
    change_id(session, OldId::Resolves).await
}

/// The same, but the old id ends with the request.
pub(crate) async fn replace_id(session: &Session) -> Result<(), Error> {
    change_id(session, OldId::Ends).await
}

async fn change_id(session: &Session, old: OldId) -> Result<(), Error> {
    let Some(scope) = Scope::current() else { return session.cycle_id().await };
    // To find out whether there is one.
    session.get_value("").await?;
    match scope.change() {
        // It is about to get another id already. If one of those who asked for that must not let the old one resolve, it does not.
        IdChange::From(id, OldId::Resolves) => {
            scope.set_change(IdChange::From(id, old));
            Ok(())
        }
        // A session that is not stored yet gets an id of its own.
        _ if session.id().is_none() => Ok(()),
        _ => cycle(session, &scope, IdChange::Announced(old)).await,
    }
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
