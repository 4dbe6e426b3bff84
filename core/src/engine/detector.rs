//! Who is suspected, and when this member proposes to evict whom (R3). Safety does not depend on any of it, availability does: the suspect that is
//! surely dead goes first, the better connected side proposes first, and a member that was slow itself suspects itself first.

use super::broken::BrokenRule;
use super::{Engine, Event, Output};
use crate::Millis;
use crate::view::{Member, MemberSet, MemberState, NodeId, View};

/// Members propose one after the other, so that the first one's proposal is seen before the next one makes its own, in milliseconds.
const STAGGER: Millis = 60;

/// How often proof of death is looked for, in milliseconds.
const PROOF_INTERVAL: Millis = 1_000;

/// A joiner that has never been connected gets so many times longer: its name may not be known everywhere yet.
const JOINER_PATIENCE: Millis = 5;

impl Engine {
    /// Whoever was not run for a while has not heard anybody either, and must not hold that against them.
    pub(super) fn detect_own_pause(&mut self, now: Millis) {
        let pause = now.saturating_sub(self.now);
        if pause > self.config.failure_timeout / 2 {
            self.links.values_mut().for_each(|link| link.forgive_silence(now));
        }
    }

    /// Beyond doubt, this life of a member has ended.
    pub fn handle_proof_of_death(&mut self, now: Millis, member: Member) {
        self.now = now;
        if let Some(link) = self.links.get_mut(&member.id).filter(|link| link.peer == member) {
            link.proven_dead = true;
            self.detect_failures();
            self.drive_membership();
        }
    }

    /// Finds out who is suspected now, and looks for proof.
    pub(super) fn detect_failures(&mut self) {
        let Some(view) = self.current() else { return };
        let now = self.now;
        let mut found = Vec::new();
        for (id, link) in &mut self.links {
            let silent = now.saturating_sub(link.last_heard);
            let is_new = !link.was_connected && view.state(*id) == Some(MemberState::Join);
            let limit = self.config.failure_timeout * if is_new { JOINER_PATIENCE } else { 1 };
            let is_gone = !link.is_connected() && link.refused && link.was_connected;
            if !(silent > limit || is_gone || link.proven_dead) {
                link.suspected_at = None;
                continue;
            }
            let is_first = link.suspected_at.is_none();
            link.suspected_at.get_or_insert(now);
            let seeks = !link.proven_dead && link.proof_sought_at.is_none_or(|at| now.saturating_sub(at) >= PROOF_INTERVAL);
            if seeks {
                link.proof_sought_at = Some(now);
            }
            found.push((link.peer, silent, is_first, seeks));
        }
        for (member, silent, is_first, seeks) in found {
            if is_first {
                self.out(Output::Event(Event::Suspected { member, silent }));
            }
            if let Some(entry) = view.members.get(&member.id).filter(|_| seeks) {
                let (name, pod_uid) = (entry.name.clone(), entry.pod_uid.clone());
                self.out(Output::SeekProof { member, name, pod_uid });
            }
        }
    }

    /// The member to evict now, and whether its death is proven.
    pub(super) fn to_evict(&self, view: &View) -> Option<(NodeId, bool)> {
        let voters = view.voters();
        let suspects: MemberSet = self.links.values().filter(|link| link.suspected_at.is_some()).map(|link| link.peer.id).collect();
        let heard = voters.without(suspects);
        let is_voter = voters.contains(self.me.id) || self.broken.is(BrokenRule::JoinerEvicts);
        let rank = heard.iter().position(|id| id == self.me.id).unwrap_or(heard.len()) as Millis;
        let is_minority = heard.len() * 2 < voters.len();
        let candidate = |link: &super::stream::Link| {
            let id = link.peer.id;
            let since = link.suspected_at?;
            let has_budget = view.budget >= 1
                || self.broken.is(BrokenRule::EvictWithoutBudget)
                || (self.broken.is(BrokenRule::JoinerEvicts) && !voters.contains(self.me.id));
            let may = link.proven_dead || (is_voter && (has_budget || view.state(id) == Some(MemberState::Join)));
            let is_gone = link.proven_dead || link.refused;
            let caution = if is_minority && !is_gone { 2 * self.config.failure_timeout } else { 0 };
            (may && self.now >= since + rank * STAGGER + caution).then_some((link.proven_dead, link.refused, self.now - since, id))
        };
        let (proven, .., id) = self.links.values().filter_map(candidate).max()?;
        Some((id, proven))
    }
}
