//! Who the user of a session is, and what they may do: it goes with the session to whichever member has it, as Tomcat's principal does.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tower_sessions_core::Session;
use tower_sessions_core::session::Error;

use crate::renew::replace_id;

/// Its name among the attributes of a session.
const NAME: &str = "holdfast.principal";

/// A user who has logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Their name.
    pub name: String,
    /// What they may do, in the application's own words.
    pub roles: BTreeSet<String>,
}

impl Principal {
    /// A user without roles.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), roles: BTreeSet::new() }
    }

    /// The same, with one role more.
    #[must_use]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        self.roles.insert(role.into());
        self
    }

    /// Whether they have this role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.contains(role)
    }

    /// The user of this session; `None` if nobody has logged in.
    ///
    /// # Errors
    /// When the session cannot be loaded.
    pub async fn of(session: &Session) -> Result<Option<Self>, Error> {
        session.get(NAME).await
    }

    /// Makes this the user of the session, under a new id: the old one ends before the reply leaves, so that whoever has planted it gains nothing.
    ///
    /// # Errors
    /// When the session cannot be loaded.
    pub async fn log_in(&self, session: &Session) -> Result<(), Error> {
        replace_id(session).await?;
        session.insert(NAME, self).await
    }

    /// Ends the session, with all that it holds, at all members.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub async fn log_out(session: &Session) -> Result<(), Error> {
        session.flush().await
    }
}
