//! What happens to sessions and to the cluster, as a stream. Nobody waits for whoever listens: a listener that is too slow misses events, and is told how
//! many.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use holdfast_core::View;
use holdfast_runtime::member::Witness;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tower_sessions_core::session::Id;

use crate::keys::Keys;

/// Something that has happened.
///
/// What happens to a session is told at one member: where the request ran that did it, and for [`Event::Expired`] at the session's owner. What happens to
/// the cluster is told at every member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// There is a new session.
    Created {
        /// Its id.
        id: Id,
    },
    /// A session was deleted.
    Destroyed {
        /// Its id.
        id: Id,
    },
    /// The time to live of a session is over, and all its copies know. Told once in the whole cluster, unless the owner fails just then.
    Expired {
        /// Its id.
        id: Id,
    },
    /// A session has another id.
    IdChanged {
        /// The id that it had.
        from: Id,
        /// The id that it has.
        to: Id,
    },
    /// There is a new view of who counts as a member.
    ViewChanged {
        /// Its number.
        epoch: u64,
        /// Names of its members, those included that are about to join or leave.
        members: Vec<String>,
    },
    /// A member has come into the view, or come back in another life.
    MemberJoined {
        /// Its name, which is its route.
        name: String,
    },
    /// A member is no longer in the view.
    MemberLeft {
        /// Its name.
        name: String,
    },
    /// All sessions of the cluster have all their copies.
    Protected {
        /// The number of the view in which that is so.
        epoch: u64,
    },
    /// Some sessions may lack a copy: members have changed, or there are too few.
    Unprotected {
        /// The number of the view since which that is so.
        epoch: u64,
    },
    /// Whoever listens was too slow for the events before.
    Lagged {
        /// How many were missed.
        missed: u64,
    },
}

/// As it is told, before anybody knows whose session it is.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Created(Bytes),
    Destroyed(Bytes),
    Expired(Bytes),
    IdChanged(Bytes, Bytes),
    Cluster(Event),
}

/// Where events are told. It holds so many of them as somebody may lag behind.
#[derive(Debug)]
pub(crate) struct Bus {
    sender: broadcast::Sender<Told>,
    before: Mutex<Before>,
}

/// What the last view was like.
#[derive(Debug, Default)]
struct Before {
    view: Option<Arc<View>>,
    is_protected: bool,
}

impl Bus {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { sender: broadcast::Sender::new(capacity), before: Mutex::default() }
    }

    pub(crate) fn tell(&self, told: Told) {
        // That nobody listens is no failure.
        let _ = self.sender.send(told);
    }

    pub(crate) fn events(&self, keys: &Keys) -> Events {
        Events { told: BroadcastStream::new(self.sender.subscribe()), keys: keys.clone() }
    }
}

impl Witness for Bus {
    fn view_changed(&self, view: &Arc<View>) {
        let mut before = self.before.lock().expect("nothing panics while it is held");
        let last = before.view.replace(view.clone());
        let epoch = view.version.epoch;
        if last.as_ref().is_none_or(|last| last.version.epoch != epoch) {
            let members = view.members.values().map(|member| member.name.clone()).collect();
            self.tell(Told::Cluster(Event::ViewChanged { epoch, members }));
        }
        for name in missing_in(last.as_deref(), Some(view)) {
            self.tell(Told::Cluster(Event::MemberLeft { name }));
        }
        for name in missing_in(Some(view), last.as_deref()) {
            self.tell(Told::Cluster(Event::MemberJoined { name }));
        }
        let is_protected = is_protected(view);
        if std::mem::replace(&mut before.is_protected, is_protected) != is_protected {
            self.tell(Told::Cluster(if is_protected { Event::Protected { epoch } } else { Event::Unprotected { epoch } }));
        }
    }

    fn expired(&self, key: &Bytes) {
        self.tell(Told::Expired(key.clone()));
    }
}

/// Names of the members of `view` that are not in `other`, in the same life.
fn missing_in(view: Option<&View>, other: Option<&View>) -> Vec<String> {
    let is_missing = |id, incarnation| other.and_then(|other| other.members.get(id)).is_none_or(|there| there.incarnation != incarnation);
    let all = view.into_iter().flat_map(|view| &view.members);
    all.filter(|(id, member)| is_missing(*id, member.incarnation)).map(|(_, member)| member.name.clone()).collect()
}

/// Whether every session has as many copies as it should: the view has settled, and has members enough.
fn is_protected(view: &View) -> bool {
    view.version.sub > 0 && (view.full().len() > usize::from(view.copies) || view.copies >= ALL_MEMBERS && view.full().len() > 1)
}

/// Copies at every other member.
const ALL_MEMBERS: u8 = 63;

/// The events of a store's sessions, and of the cluster, from the moment on in which it was asked for. Ends with the member.
#[derive(Debug)]
pub struct Events {
    told: BroadcastStream<Told>,
    keys: Keys,
}

impl Events {
    /// Whether it is of this store, or of the cluster.
    fn of_store(&self, told: Told) -> Option<Event> {
        Some(match told {
            Told::Created(key) => Event::Created { id: self.keys.id_of(&key)? },
            Told::Destroyed(key) => Event::Destroyed { id: self.keys.id_of(&key)? },
            Told::Expired(key) => Event::Expired { id: self.keys.id_of(&key)? },
            Told::IdChanged(from, to) => Event::IdChanged { from: self.keys.id_of(&from)?, to: self.keys.id_of(&to)? },
            Told::Cluster(event) => event,
        })
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            match ready!(Pin::new(&mut self.told).poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(Err(BroadcastStreamRecvError::Lagged(missed))) => return Poll::Ready(Some(Event::Lagged { missed })),
                Some(Ok(told)) => {
                    if let Some(event) = self.of_store(told) {
                        return Poll::Ready(Some(event));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};
    use holdfast_core::{MemberState, NodeId, Place, Version, ViewEntry};

    use super::*;

    fn view(epoch: u64, sub: u32, members: &[(u8, u64)]) -> Arc<View> {
        let entry = |id, incarnation| ViewEntry {
            name: format!("shop-{id}"),
            incarnation,
            pod_uid: String::new(),
            state: MemberState::Full,
            place: Place::default(),
        };
        let members = members.iter().map(|(id, life)| (NodeId::new(*id).expect("a place"), entry(*id, *life))).collect();
        Arc::new(View { version: Version { epoch, sub }, members, ..View::unfounded(1) })
    }

    fn seen(events: &mut Events) -> Vec<Event> {
        std::iter::from_fn(|| events.next().now_or_never().flatten()).collect()
    }

    #[test]
    fn a_view_is_told_with_who_came_and_went_and_whether_all_is_protected() {
        let bus = Bus::new(16);
        let mut events = bus.events(&Keys::new("sess:"));
        let name = |id: u8| format!("shop-{id}");
        bus.view_changed(&view(1, 1, &[(0, 7)]));
        let first = Event::ViewChanged { epoch: 1, members: vec![name(0)] };
        assert_eq!(seen(&mut events), [first, Event::MemberJoined { name: name(0) }]);

        bus.view_changed(&view(2, 0, &[(0, 7), (1, 8)]));
        let second = Event::ViewChanged { epoch: 2, members: vec![name(0), name(1)] };
        assert_eq!(seen(&mut events), [second, Event::MemberJoined { name: name(1) }]);
        bus.view_changed(&view(2, 1, &[(0, 7), (1, 8)]));
        assert_eq!(seen(&mut events), [Event::Protected { epoch: 2 }], "settled");

        bus.view_changed(&view(3, 0, &[(0, 7), (1, 9)]));
        let told = seen(&mut events);
        assert_eq!(
            told[1..],
            [Event::MemberLeft { name: name(1) }, Event::MemberJoined { name: name(1) }, Event::Unprotected { epoch: 3 },]
        );
    }

    #[test]
    fn whoever_is_too_slow_is_told_how_much_was_missed() {
        let (bus, keys) = (Bus::new(2), Keys::new("sess:"));
        let mut events = bus.events(&keys);
        let ids: Vec<Id> = (0..5).map(Id).collect();
        for id in &ids {
            bus.tell(Told::Created(keys.session(id)));
        }
        let kept = ids[3..].iter().map(|id| Event::Created { id: *id });
        assert_eq!(seen(&mut events), [Event::Lagged { missed: 3 }].into_iter().chain(kept).collect::<Vec<_>>());
    }

    #[test]
    fn other_stores_and_other_keys_are_not_heard() {
        let (bus, ours, theirs) = (Bus::new(16), Keys::new("sess:"), Keys::new("cart:"));
        let mut events = bus.events(&ours);
        bus.tell(Told::Expired(theirs.session(&Id(1))));
        bus.tell(Told::Expired(ours.lock(&Id(1))));
        bus.tell(Told::Expired(ours.session(&Id(2))));
        assert_eq!(seen(&mut events), [Event::Expired { id: Id(2) }]);
    }

    #[test]
    fn a_stream_ends_with_its_member() {
        let bus = Bus::new(4);
        let mut events = bus.events(&Keys::new(""));
        drop(bus);
        assert_eq!(events.next().now_or_never(), Some(None));
    }
}
