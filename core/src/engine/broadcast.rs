//! What is told to many: messages that clients publish, and notices of what happened to keys. Both reach each member of the view at most once, in the order
//! of their sender; a member that is lost, or takes nothing, misses some. Notices only go where somebody wants them.

use bytes::Bytes;

use super::{Engine, Event, Output};
use crate::Millis;
use crate::command::{CommandError, Key};
use crate::value::Notice;
use crate::view::{Member, NodeId};
use crate::wire::Message;

impl Engine {
    /// Tells every member of the view, this one included, what a client publishes: [`Output::Published`].
    ///
    /// # Errors
    /// When this member is not in the view, or too much waits for another one; nobody is told then.
    pub fn publish(&mut self, now: Millis, channel: Bytes, payload: Bytes) -> Result<(), CommandError> {
        self.now = now;
        if self.view.is_none() {
            return Err(CommandError::NotJoined);
        }
        let others: Vec<NodeId> = self.links.keys().copied().collect();
        if let Some(error) = others.iter().find_map(|id| self.link_backlog(*id)) {
            return Err(error);
        }
        for id in others {
            self.send(id, Message::Publish { channel: channel.clone(), payload: payload.clone() });
        }
        self.out(Output::Published { channel, payload });
        Ok(())
    }

    /// From now on clients of this member want notices of these classes ([`crate::NoticeClass::bit`]), as [`Output::Noticed`].
    pub fn want_notices(&mut self, now: Millis, classes: u16) {
        self.now = now;
        if std::mem::replace(&mut self.interest, classes) == classes {
            return;
        }
        self.reckon_interest();
        let others: Vec<NodeId> = self.links.keys().copied().collect();
        for id in others {
            self.send(id, Message::Interest { classes });
        }
    }

    /// A member that is new learns what is wanted here.
    pub(super) fn tell_interest(&mut self, to: NodeId) {
        if self.interest != 0 {
            self.send(to, Message::Interest { classes: self.interest });
        }
    }

    pub(super) fn handle_interest(&mut self, from: Member, classes: u16) {
        if let Some(link) = self.links.get_mut(&from.id) {
            link.interest = classes;
        }
        self.reckon_interest();
    }

    /// What anybody wants.
    pub(super) fn reckon_interest(&mut self) {
        self.wanted_notices = self.links.values().fold(self.interest, |all, link| all | link.interest);
    }

    /// Something happened to a session that this member owns, and all that should hold it know.
    pub(super) fn notice(&mut self, key: &Key, notices: Vec<Notice>) {
        // Ends of lives come here whether anybody wants to know or not, and there may be many at once.
        if notices.is_empty() || self.wanted_notices == 0 {
            return;
        }
        let wanted = |classes: u16| notices.iter().copied().filter(|notice| classes & notice.class().bit() != 0).collect::<Vec<Notice>>();
        let others: Vec<(Member, Vec<Notice>)> = self.links.values().map(|link| (link.peer, wanted(link.interest))).collect();
        for (to, notices) in others.into_iter().filter(|(_, notices)| !notices.is_empty()) {
            if self.link_backlog(to.id).is_some() {
                self.out(Output::Event(Event::NoticesLost { to, count: notices.len() }));
            } else {
                self.send(to.id, Message::Notices { key: key.clone(), notices });
            }
        }
        for notice in wanted(self.interest) {
            self.out(Output::Noticed { key: key.clone(), notice });
        }
    }

    pub(super) fn handle_notices(&mut self, key: &Key, notices: Vec<Notice>) {
        let interest = self.interest;
        for notice in notices.into_iter().filter(|notice| interest & notice.class().bit() != 0) {
            self.out(Output::Noticed { key: key.clone(), notice });
        }
    }
}
