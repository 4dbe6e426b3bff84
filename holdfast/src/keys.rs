//! The keys under which a store keeps a session, and what belongs to it.

use std::sync::Arc;

use bytes::Bytes;
use tower_sessions_core::session::Id;

/// The keys of one store. What is beside the sessions does not begin with the store's prefix, so that no pattern of session keys matches it.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The session.
    pub(crate) fn session(&self, id: &Id) -> Bytes {
        format!("{}{id}", self.prefix).into()
    }

    /// Where a session has gone that had this id.
    pub(crate) fn moved(&self, id: &Id) -> Bytes {
        format!("holdfast:moved:{}{id}", self.prefix).into()
    }

    /// Who works on the session.
    pub(crate) fn lock(&self, id: &Id) -> Bytes {
        format!("holdfast:lock:{}{id}", self.prefix).into()
    }

    /// How often the session was locked.
    pub(crate) fn fence(&self, id: &Id) -> Bytes {
        format!("holdfast:fence:{}{id}", self.prefix).into()
    }

    /// The session that this key is of; `None` if it is not one of this store.
    pub(crate) fn id_of(&self, key: &[u8]) -> Option<Id> {
        std::str::from_utf8(key.strip_prefix(self.prefix.as_bytes())?).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_known_by_its_key_and_nothing_else_is() {
        let (keys, id) = (Keys::new("sess:"), Id::default());
        assert_eq!(keys.id_of(&keys.session(&id)), Some(id));
        for other in [keys.moved(&id), keys.lock(&id), keys.fence(&id), Keys::new("cart:").session(&id)] {
            assert_eq!(keys.id_of(&other), None, "{other:?}");
        }
        for wrong in ["sess:", "sess:x", "sess:AAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(keys.id_of(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
