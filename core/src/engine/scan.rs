//! Listing all keys: every Full member lists those whose home it is, all in the same view (see [`crate::scan`]).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::broken::BrokenRule;
use super::record::Slot;
use super::{Engine, Output};
use crate::Millis;
use crate::command::CommandError;
use crate::scan::{ScanPage, ScanPart};
use crate::view::{Member, NodeId};
use crate::wire::Message;

/// The most keys in one part, and the most sessions looked at for it: one step must not hold up anything else.
const MAX_PART: usize = 1000;
const MAX_VISITS: usize = 20_000;

/// A step of a scan that was not answered yet.
#[derive(Debug)]
pub(super) struct ScanRequest {
    from: u64,
    count: u32,
    parts: BTreeMap<NodeId, ScanPart>,
    deadline: Millis,
    /// Some part could not be had in this view yet.
    again: bool,
}

impl Engine {
    /// Lists some keys from `cursor` on (0 at the start), about `count` of each member; answered by [`Output::ScanReply`].
    pub fn scan(&mut self, now: Millis, request: u64, cursor: u64, count: u32) {
        self.now = now;
        let deadline = now + self.config.ack_timeout;
        self.scans.insert(request, ScanRequest { from: cursor, count, parts: BTreeMap::new(), deadline, again: false });
        self.ask_all(request);
    }

    fn ask_all(&mut self, request: u64) {
        let Some(scan) = self.scans.get_mut(&request) else { return };
        scan.parts.clear();
        scan.again = self.view.is_none();
        let (from, count) = (scan.from, scan.count);
        let Some(view) = self.current() else { return };
        for id in view.full().iter() {
            if id == self.me.id {
                let part = self.scan_here(from, count);
                self.add_part(id, request, part);
            } else {
                self.send(id, Message::Scan { request, from, count });
            }
        }
    }

    /// Keys whose home is here; nothing before the barrier, when this home may not know all of them.
    fn scan_here(&self, from: u64, count: u32) -> Option<ScanPart> {
        let may_list = ((self.barrier && self.resolved.is_none()) || self.broken.is(BrokenRule::ScanBeforeBarrier)) && self.has_lease();
        let view = self.view.as_ref().filter(|_| may_list)?;
        let count = usize::try_from(count).unwrap_or(MAX_PART).clamp(1, MAX_PART);
        let mut keys = Vec::new();
        let mut next = None;
        let mut last = 0;
        for (visited, seen) in self.sessions.from(from).enumerate() {
            // Keys that share a position must not be torn apart.
            if (keys.len() >= count || visited >= MAX_VISITS) && seen.position != last {
                next = Some(seen.position);
                break;
            }
            last = seen.position;
            // A keeper does not know whether others have a delete too, without which it comes to nothing if this member and the owner die. If they have, it
            // is forgotten soon: the part ends here, and the next one waits for that.
            let is_deleted = seen.record.value.is_none() && !seen.record.is_owned && seen.holders().len() > 2;
            if is_deleted && self.is_home(seen.position) && !self.broken.is(BrokenRule::HideUnacknowledged) {
                if visited == 0 {
                    return None;
                }
                next = Some(seen.position);
                break;
            }
            let lives = match &seen.record.value {
                // Only the owner's clock says when a life is over: a keeper's may be ahead.
                Some(value) => !seen.record.is_owned || !value.is_expired(self.now),
                // As for reads (R7): a delete that not all have acknowledged may yet come to nothing.
                None => seen.record.is_owned && !seen.is_gone(),
            };
            if lives && self.is_home(seen.position) {
                keys.push(seen.slot());
            }
        }
        // Of these this home only knows who owns them.
        let lists = !self.broken.is(BrokenRule::ScanWithoutPointers);
        let unheld = |slot: &&Slot| lists && self.is_home(slot.0) && !self.sessions.contains(slot);
        let before = next;
        let known =
            self.pointers.range((from, Bytes::new())..).map(|(slot, _)| slot).take_while(|slot| before.is_none_or(|next| slot.0 < next));
        let mut last = 0;
        for (visited, slot) in known.filter(unheld).enumerate() {
            if visited >= count && slot.0 != last {
                next = Some(slot.0);
                break;
            }
            last = slot.0;
            keys.push(slot.clone());
        }
        keys.retain(|slot| next.is_none_or(|next| slot.0 < next));
        keys.sort_unstable();
        Some(ScanPart { epoch: view.version.epoch, keys, next })
    }

    /// Another member asks.
    pub(super) fn handle_scan(&mut self, from: Member, request: u64, position: u64, count: u32) {
        let part = self.scan_here(position, count);
        self.send_to(from, Message::ScanAnswer { request, part });
    }

    /// Another member answers.
    pub(super) fn handle_scan_answer(&mut self, from: Member, request: u64, part: Option<ScanPart>) {
        self.add_part(from.id, request, part);
    }

    fn add_part(&mut self, from: NodeId, request: u64, part: Option<ScanPart>) {
        let Some(view) = self.current() else { return };
        let Some(scan) = self.scans.get_mut(&request) else { return };
        match part.filter(|part| part.epoch == view.version.epoch) {
            Some(part) => {
                scan.parts.insert(from, part);
            }
            None => scan.again = true,
        }
        if view.full().iter().all(|id| scan.parts.contains_key(&id)) {
            let parts = std::mem::take(&mut scan.parts).into_values().collect();
            self.scans.remove(&request);
            self.out(Output::ScanReply { request, page: Ok(ScanPage::merge(parts)) });
        }
    }

    /// Asks again what a view that was not settled could not answer, and gives up what took too long.
    pub(super) fn retry_scans(&mut self) {
        let pending: Vec<u64> = self.scans.keys().copied().collect();
        for request in pending {
            let Some(scan) = self.scans.get(&request) else { continue };
            if scan.deadline <= self.now {
                self.scans.remove(&request);
                let error = CommandError::NotAcknowledged { millis: self.config.ack_timeout };
                self.out(Output::ScanReply { request, page: Err(error) });
            } else if scan.again {
                self.ask_all(request);
            }
        }
    }

    /// This member has left: nobody answers any more.
    pub(super) fn end_scans(&mut self) {
        for request in std::mem::take(&mut self.scans).into_keys() {
            self.out(Output::ScanReply { request, page: Err(CommandError::NotJoined) });
        }
    }

    /// A new view: parts of the old one do not fit together with it.
    pub(super) fn restart_scans(&mut self) {
        for scan in self.scans.values_mut() {
            scan.parts.clear();
            scan.again = true;
        }
    }
}
