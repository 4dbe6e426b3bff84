//! Who is suspected, and when this member proposes to evict whom (R3). Safety does not depend on any of it, availability does: the suspect that is
//! surely dead goes first, the better connected side proposes first, and a member that was slow itself suspects itself first.

use super::broken::BrokenRule;
use super::stream::Link;
use super::{Engine, Event, Output};
use crate::Millis;
use crate::view::{Member, MemberSet, MemberState, NodeId, View};

/// Members propose one after the other, so that the first one's proposal is seen before the next one makes its own, in milliseconds.
const STAGGER: Millis = 60;

/// How often proof of death is looked for, in milliseconds.
pub(super) const PROOF_INTERVAL: Millis = 1_000;

/// How late this member may count as, and how long it has to be on time to count as a little less so, in milliseconds. Each time late makes it more patient with
/// others by half of `failure_timeout`.
const MAX_LATENESS: Millis = 4;
const RECOVERY: Millis = 2_000;

/// How well this member itself runs.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// How often it was late of late.
    lateness: Millis,
    improves_at: Millis,
}

impl Engine {
    /// Whoever was not run for a while has not heard anybody either, and must not hold that against them. Whoever is often late suspects others later.
    pub(super) fn detect_own_pause(&mut self, now: Millis) {
        let pause = now.saturating_sub(self.now);
        if pause > self.config.failure_timeout / 2 {
            self.links.values_mut().for_each(|link| link.forgive_silence(now));
        }
        if pause > self.config.heartbeat_interval {
            self.health.lateness = (self.health.lateness + 1).min(MAX_LATENESS);
            self.health.improves_at = now + RECOVERY;
        } else if now >= self.health.improves_at {
            self.health.lateness = self.health.lateness.saturating_sub(1);
            self.health.improves_at = now + RECOVERY;
        }
    }

    /// Beyond doubt, this life of a member has ended.
    pub fn handle_proof_of_death(&mut self, now: Millis, member: Member) {
        self.now = now;
        self.membership.approach.note_death(member);
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
        let patience = self.config.failure_timeout * (2 + self.health.lateness) / 2;
        let mut found = Vec::new();
        for link in self.links.values_mut() {
            let silent = now.saturating_sub(link.last_heard);
            let is_gone = !link.is_connected() && link.refused && link.was_connected;
            if !(silent > patience || is_gone || link.proven_dead) {
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

    /// Whether this member has heard all voters of its view of late.
    pub(super) fn hears_all_voters(&self) -> bool {
        let voters = self.view.as_ref().map(|view| view.voters()).unwrap_or_default();
        let is_heard = |link: &Link| link.was_connected && self.now.saturating_sub(link.last_heard) <= self.config.failure_timeout / 2;
        self.links.values().filter(|link| voters.contains(link.peer.id)).all(is_heard)
    }

    /// The member to evict now, and whether its death is proven.
    pub(super) fn to_evict(&self, view: &View) -> Option<(NodeId, bool)> {
        let voters = view.voters();
        // Members fall silent at one moment and are suspected one after the other: whoever has not been heard of late may well be the next.
        let is_silent =
            |link: &&Link| link.suspected_at.is_some() || self.now.saturating_sub(link.last_heard) > self.config.failure_timeout / 2;
        let heard = voters.without(self.links.values().filter(is_silent).map(|link| link.peer.id).collect());
        let is_voter = voters.contains(self.me.id) || self.broken.is(BrokenRule::JoinerEvicts);
        let rank = heard.iter().position(|id| id == self.me.id).unwrap_or(heard.len()) as Millis;
        let is_minority = heard.len() * 2 < voters.len();
        let missing = self.links.values().filter(|link| voters.without(heard).contains(link.peer.id) && !link.proven_dead).count();
        let is_hopeless = is_minority && missing > usize::from(view.budget);
        let candidate = |link: &Link| {
            let id = link.peer.id;
            let since = link.suspected_at?;
            let has_budget = (view.budget >= 1 && !is_hopeless)
                || self.broken.is(BrokenRule::EvictWithoutBudget)
                || (self.broken.is(BrokenRule::JoinerEvicts) && !voters.contains(self.me.id));
            let may_suspect = is_voter && (has_budget || view.state(id) == Some(MemberState::Join));
            let may = link.proven_dead || may_suspect || self.may_override(view, since);
            let is_gone = link.proven_dead || link.refused;
            let is_other_side = is_minority || self.is_worse_connected_than(heard, id);
            let caution = if is_other_side && !is_gone { 2 * self.config.failure_timeout } else { 0 };
            (may && self.now >= since + rank * STAGGER + caution).then_some((link.proven_dead, link.refused, self.now - since, id))
        };
        let (proven, .., id) = self.links.values().filter_map(candidate).max()?;
        Some((id, proven))
    }

    /// Whether more of those that this member hears say that they hear `other` than say that they hear this member: then the fault is on this side,
    /// and it is for the other to propose.
    fn is_worse_connected_than(&self, heard: MemberSet, other: NodeId) -> bool {
        let witnesses = |id: NodeId| self.links.values().filter(|link| heard.contains(link.peer.id) && link.heard.contains(id)).count();
        let (mine, theirs) = (witnesses(self.me.id), witnesses(other));
        theirs > 0 && (theirs, other < self.me.id) > (mine, self.me.id < other)
    }
}
