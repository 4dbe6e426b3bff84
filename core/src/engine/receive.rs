//! What a member does with a message of a member of its view.

use super::record::slot;
use super::transfer::Handover;
use super::{Engine, Load, Output};
use crate::view::Member;
use crate::wire::Message;

impl Engine {
    /// Takes one message, in the order of its link.
    pub(super) fn receive(&mut self, from: Member, message: Message) {
        if let Some(key) = message.key().filter(|_| self.resolved.is_some()) {
            self.resolve_now(&slot(key));
        }
        match message {
            Message::Sync { epoch, clock, last, reports } => self.handle_sync(from, epoch, clock, last, reports),
            Message::Put { key, term, seq, kind, holders } => self.handle_put(from, &slot(&key), term, seq, kind, holders),
            Message::Ack { key, term, seq } => self.handle_ack(from, &slot(&key), term, seq),
            Message::Need { key, term } => self.handle_need(from, &slot(&key), term),
            Message::Drop { key, term } => self.handle_drop(from, &slot(&key), term),
            Message::DropAck { key, term } => self.handle_drop_ack(from, &slot(&key), term),
            Message::Handoff { key, term, prior_term, seq, image, holders, moves } => {
                self.handle_handoff(from, &slot(&key), Handover { term, prior_term, seq, image, holders, moves });
            }
            Message::Own { key, term } => self.handle_own(from, &slot(&key), term),
            Message::OwnAck { key, term } => self.handle_own_ack(from, &slot(&key), term),
            Message::Grant { key, term } => self.own_new(&slot(&key), term, Some(from)),
            Message::Appoint { key, term, prior_term, prior_seq, holders } => {
                self.handle_appoint(Some(from), &slot(&key), term, (prior_term, prior_seq), holders);
            }
            Message::TransferAck { key, term } => self.handle_transfer_ack(&slot(&key), term),
            Message::Forward { request, key, command } => self.handle_forward(from, request, key, command),
            Message::Answer { request, reply } => self.handle_answer(from, request, reply),
            Message::Redirect { request, hint } => self.handle_redirect(from, request, hint),
            Message::Scan { request, from: position, count } => self.handle_scan(from, request, position, count),
            Message::ScanAnswer { request, part } => self.handle_scan_answer(from, request, part),
            Message::Confirm { epoch } => self.handle_confirm(from, epoch),
            Message::Publish { channel, payload } => self.out(Output::Published { channel, payload }),
            Message::Interest { classes } => self.handle_interest(from, classes),
            Message::Load { sessions, bytes, budget } => self.handle_load(from, Load { sessions, bytes, budget }),
            Message::Notices { key, notices } => self.handle_notices(&key, notices),
        }
    }
}
