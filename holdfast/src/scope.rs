//! What the layer and the store know of the request that is running. tower-sessions calls the store with no more than a record: everything else that
//! matters for it travels with the task of the request.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tower_sessions_core::session::Id;

use crate::lock::Held;
use crate::meters::Meters;

tokio::task_local! {
    static CURRENT: Scope;
}

/// One request. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    is_filtered: bool,
    meters: Arc<Meters>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What the session was when it was loaded.
    loaded: Option<(Id, Bytes)>,
    /// It was found under this id, which is not the one that the request has.
    found_as: Option<Id>,
    change: IdChange,
    lock: Option<Arc<Held>>,
}

/// A change of the session's id that is under way. tower-sessions makes one of two calls, the delete of the old session and the creation of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IdChange {
    /// There is none: what is deleted is gone.
    #[default]
    None,
    /// The next delete only says which id is given up.
    Announced(OldId),
    /// The session that is created next takes the place of the one with this id.
    From(Id, OldId),
    /// The session that is created next is the one that there is under this id.
    Adopt(Id),
}

/// What becomes of an id that is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OldId {
    /// It resolves for a while.
    Resolves,
    /// It is nobody's.
    Ends,
}

impl Scope {
    /// A request that is filtered does not wait for its copies.
    pub(crate) fn new(is_filtered: bool, meters: Arc<Meters>) -> Self {
        Self { is_filtered, meters, state: Arc::default() }
    }

    /// That of the request that is running; `None` outside of the layer.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Runs `request` in this scope.
    pub(crate) async fn around<F: Future>(self, request: F) -> F::Output {
        CURRENT.scope(self, request).await
    }

    pub(crate) fn is_filtered(&self) -> bool {
        self.is_filtered
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// A session was loaded, for a request that knew it as `asked`.
    pub(crate) fn note_loaded(&self, asked: Id, id: Id, content: Bytes) {
        let mut state = self.state();
        state.loaded = Some((id, content));
        state.found_as = (asked != id).then_some(id);
    }

    /// Whether the session is still what it was when it was loaded.
    pub(crate) fn is_unchanged(&self, id: &Id, content: &Bytes) -> bool {
        self.state().loaded.as_ref().is_some_and(|(loaded, was)| loaded == id && was == content)
    }

    /// The id under which the session was found, if the request has another.
    pub(crate) fn found_as(&self) -> Option<Id> {
        self.state().found_as
    }

    pub(crate) fn change(&self) -> IdChange {
        self.state().change
    }

    pub(crate) fn set_change(&self, change: IdChange) {
        self.state().change = change;
    }

    pub(crate) fn take_change(&self) -> IdChange {
        std::mem::take(&mut self.state().change)
    }

    /// Whether the delete of this session is a part of a change of its id, and so no delete.
    pub(crate) fn gives_up(&self, id: Id) -> bool {
        let mut state = self.state();
        match state.change {
            IdChange::Announced(old) => {
                state.change = IdChange::From(id, old);
                true
            }
            IdChange::Adopt(adopted) => adopted == id,
            IdChange::None | IdChange::From(..) => false,
        }
    }

    pub(crate) fn lock(&self) -> Option<Arc<Held>> {
        self.state().lock.clone()
    }

    pub(crate) fn set_lock(&self, lock: Arc<Held>) {
        self.state().lock = Some(lock);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(is_filtered: bool) -> Scope {
        Scope::new(is_filtered, Arc::new(Meters::new()))
    }

    #[test]
    fn a_delete_is_one_unless_the_id_was_to_change() {
        let scope = scope(false);
        assert!(!scope.gives_up(Id(1)));
        scope.set_change(IdChange::Announced(OldId::Resolves));
        assert!(scope.gives_up(Id(1)));
        assert!(!scope.gives_up(Id(2)), "the change is of one session");
        assert_eq!((scope.take_change(), scope.take_change()), (IdChange::From(Id(1), OldId::Resolves), IdChange::None));
        scope.set_change(IdChange::Adopt(Id(3)));
        assert!(scope.gives_up(Id(3)) && !scope.gives_up(Id(4)));
    }

    #[test]
    fn a_session_is_unchanged_if_it_is_the_same_and_has_the_same_content() {
        let scope = scope(false);
        let content = Bytes::from_static(b"{}");
        assert!(!scope.is_unchanged(&Id(1), &content));
        scope.note_loaded(Id(1), Id(1), content.clone());
        assert!(scope.is_unchanged(&Id(1), &content));
        assert!(!scope.is_unchanged(&Id(2), &content) && !scope.is_unchanged(&Id(1), &Bytes::new()));
        assert_eq!(scope.found_as(), None);
        scope.note_loaded(Id(1), Id(2), content);
        assert_eq!(scope.found_as(), Some(Id(2)));
    }

    #[tokio::test]
    async fn a_request_has_its_own_scope() {
        assert!(Scope::current().is_none());
        let seen = scope(true).around(async { Scope::current().map(|scope| scope.is_filtered()) }).await;
        assert_eq!(seen, Some(true));
    }
}
