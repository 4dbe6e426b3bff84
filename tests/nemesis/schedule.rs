//! What is done to the cluster and when: all of it follows from the seed.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

/// A member, by the ordinal of its pod.
pub(super) type Member = u32;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL of a member's runtime; the application beside it goes on.
    KillRuntime(Member),
    /// SIGKILL of everything in a member's pod.
    KillPod(Member),
    /// A member's runtime stands still.
    Pause(Member),
    /// A member's pod is deleted, as an eviction does it: it hands over first.
    Delete(Member),
    /// The wire of a member's node is pulled.
    CutOff(Member),
    /// A member's node does not hear the other nodes nor they it. All of them hear the API server.
    Alone(Member),
    /// As [`Fault::Alone`], and only the one has the API server: the minority has the arbiter.
    AloneWithArbiter(Member),
    /// The node of the second does not hear that of the first. The other way round it does.
    OneWay(Member, Member),
    /// A member's node and the API server do not hear each other.
    WithoutArbiter(Member),
    /// The API server takes connections and answers nothing.
    ApiServer,
    /// The DNS takes questions and answers nothing.
    Dns,
    /// The wire of a member's node carries little.
    SlowLink(Member),
}

impl Fault {
    /// Its name in tables, without whom it hits.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::KillRuntime(_) => "runtime killed",
            Self::KillPod(_) => "pod killed",
            Self::Pause(_) => "runtime paused",
            Self::Delete(_) => "pod deleted",
            Self::CutOff(_) => "node cut off",
            Self::Alone(_) => "member alone",
            Self::AloneWithArbiter(_) => "majority without API server",
            Self::OneWay(..) => "one-way partition",
            Self::WithoutArbiter(_) => "member without API server",
            Self::ApiServer => "API server frozen",
            Self::Dns => "DNS frozen",
            Self::SlowLink(_) => "slow link",
        }
    }

    /// Whose memory is gone.
    pub(super) fn crashed(self) -> Option<Member> {
        match self {
            Self::KillRuntime(member) | Self::KillPod(member) => Some(member),
            _ => None,
        }
    }

    /// Members that are hit themselves: that they do not answer meanwhile surprises nobody.
    pub(super) fn hit(self) -> Vec<Member> {
        match self {
            Self::KillRuntime(one) | Self::KillPod(one) | Self::Pause(one) | Self::Delete(one) | Self::CutOff(one) => vec![one],
            Self::Alone(one) | Self::AloneWithArbiter(one) | Self::WithoutArbiter(one) | Self::SlowLink(one) => vec![one],
            Self::OneWay(one, other) => vec![one, other],
            Self::ApiServer | Self::Dns => Vec::new(),
        }
    }

    /// Whether the others have to throw somebody out because of it, when it is alone and lasts as long as [`Schedule`] lets it.
    pub(super) fn evicts(self) -> bool {
        match self {
            Self::KillRuntime(_) | Self::KillPod(_) | Self::Pause(_) | Self::CutOff(_) | Self::Alone(_) => true,
            Self::AloneWithArbiter(_) | Self::OneWay(..) => true,
            Self::Delete(_) | Self::WithoutArbiter(_) | Self::ApiServer | Self::Dns | Self::SlowLink(_) => false,
        }
    }
}

/// How long clients of members that are not hit should wait at the most: `failureTimeout`, which is 2 s, and half a second for everything else.
const EXPECTED: Duration = Duration::from_millis(2_500);
/// A machine that is busy with other things may make so much of it.
const GENEROUS: u32 = 3;

impl Fault {
    /// Whether nobody can be thrown out as long as it lasts, so that sessions of members that are hit have to wait for its end.
    fn holds_views(self) -> bool {
        matches!(self, Self::AloneWithArbiter(_) | Self::ApiServer)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        match self.hit()[..] {
            [] => Ok(()),
            [one] => write!(f, " ({one})"),
            [one, other] => write!(f, " ({one} to {other})"),
            [..] => unreachable!("no fault hits more than two"),
        }
    }
}

/// A fault with its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    /// What.
    pub(super) fault: Fault,
    /// After the step's beginning.
    pub(super) after: Duration,
    /// Until it is ended, where there is something to end.
    pub(super) hold: Duration,
}

/// One fault, or two at once; then everything is healed and comes to rest before the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The faults.
    pub(super) faults: Vec<Planned>,
    /// Nothing happens for so long after all is at rest again.
    pub(super) calm: Duration,
}

impl Step {
    /// The members that are hit.
    pub(super) fn hit(&self) -> BTreeSet<Member> {
        self.faults.iter().flat_map(|planned| planned.fault.hit()).collect()
    }

    /// How long a member that is not hit may leave its clients without an answer, and one that was parted from others after it can reach them again.
    pub(super) fn bound(&self) -> Duration {
        let held: Duration =
            self.faults.iter().filter(|planned| planned.fault.holds_views()).map(|planned| planned.hold).max().unwrap_or_default();
        // Of two at once, both may be beyond the budget: until one is over, or is proven.
        let both = if self.faults.len() > 1 {
            self.faults.iter().map(|planned| planned.after + planned.hold).max().unwrap_or_default()
        } else {
            held
        };
        EXPECTED * GENEROUS * self.faults.len() as u32 + held.max(both)
    }

    /// Members that have lost nothing but the others, and should answer soon after it is over.
    pub(super) fn parted(&self) -> BTreeSet<Member> {
        match self.faults[..] {
            [Planned { fault, .. }] if fault.evicts() && fault.crashed().is_none() => self.hit(),
            _ => BTreeSet::new(),
        }
    }

    /// Its name in tables.
    pub(super) fn kind(&self) -> String {
        let kinds: Vec<_> = self.faults.iter().map(|planned| planned.fault.kind()).collect();
        kinds.join(" + ")
    }

    /// The members whose memory is gone.
    pub(super) fn crashed(&self) -> BTreeSet<Member> {
        self.faults.iter().filter_map(|planned| planned.fault.crashed()).collect()
    }

    /// Whether it may take more members than the promise bears, so that acknowledged writes may be lost. That takes a crash: of members
    /// that live, the eviction budget lets no more be thrown out than there are copies.
    pub(super) fn is_beyond_the_promise(&self, copies: usize) -> bool {
        !self.crashed().is_empty() && self.hit().len() > copies
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, planned) in self.faults.iter().enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { " + " }, planned.fault)?;
        }
        Ok(())
    }
}

/// Kinds that are dealt before any comes again.
const SINGLE: usize = 12;
/// The first of them, which come first of all: a short run must have seen them.
const SOON: usize = 5;
const DOUBLE: usize = 9;

/// An endless row of steps.
#[derive(Debug)]
pub(super) struct Schedule {
    dice: StdRng,
    members: Member,
    /// Kinds that are still to come in this round, the next one last.
    single: Vec<usize>,
    double: Vec<usize>,
    /// How often each member's containers were killed since its pod is new: kubelet waits longer before each start.
    kills: Vec<u32>,
    dealt: usize,
}

impl Schedule {
    /// The steps that follow from `seed`, for members `0..members`.
    pub(super) fn new(seed: u64, members: Member) -> Self {
        let (kills, mut dice) = (vec![0; members as usize], StdRng::seed_from_u64(seed));
        let (mut soon, mut single) = ((0..SOON).collect::<Vec<_>>(), (SOON..SINGLE).collect::<Vec<_>>());
        soon.shuffle(&mut dice);
        single.shuffle(&mut dice);
        single.extend(soon);
        Self { dice, members, single, double: Vec::new(), kills, dealt: 0 }
    }

    /// The next step. Every third has two faults, after the first few.
    pub(super) fn step(&mut self) -> Step {
        self.dealt += 1;
        let faults = if self.dealt > SOON && self.dealt.is_multiple_of(3) {
            let [one, other] = self.two();
            let later = Duration::from_millis(self.dice.random_range(0..2_000));
            vec![self.planned(one, Duration::ZERO), self.planned(other, later)]
        } else {
            let one = self.one();
            vec![self.planned(one, Duration::ZERO)]
        };
        for planned in &faults {
            if let Some(member) = planned.fault.crashed() {
                self.kills[member as usize] += 1;
            }
            if let Fault::Delete(member) = planned.fault {
                self.kills[member as usize] = 0;
            }
        }
        Step { faults, calm: Duration::from_millis(self.dice.random_range(1_000..3_000)) }
    }

    fn one(&mut self) -> Fault {
        let [a, b, _] = self.three();
        match deal(&mut self.single, SINGLE, &mut self.dice) {
            0 => self.killed(false),
            1 => Fault::Pause(a),
            2 => Fault::CutOff(a),
            3 => Fault::OneWay(a, b),
            4 => Fault::Delete(a),
            5 => Fault::Alone(a),
            6 => Fault::AloneWithArbiter(a),
            7 => Fault::ApiServer,
            8 => self.killed(true),
            9 => Fault::WithoutArbiter(a),
            10 => Fault::Dns,
            _ => Fault::SlowLink(a),
        }
    }

    fn two(&mut self) -> [Fault; 2] {
        let [a, b, c] = self.three();
        match deal(&mut self.double, DOUBLE, &mut self.dice) {
            0 => [self.killed(false), Fault::ApiServer],
            1 => [Fault::Dns, self.killed(true)],
            2 => [Fault::Pause(a), Fault::Pause(b)],
            3 => [Fault::ApiServer, Fault::Pause(a)],
            4 => [Fault::OneWay(a, b), Fault::Pause(c)],
            5 => [Fault::CutOff(a), Fault::SlowLink(b)],
            6 => [Fault::Pause(a), Fault::WithoutArbiter(b)],
            7 => {
                let killed = self.least_killed();
                let other = if killed == a { b } else { a };
                [Fault::Pause(other), Fault::KillRuntime(killed)]
            }
            _ => {
                let killed = self.least_killed();
                let other = if killed == a { b } else { a };
                [Fault::KillPod(killed), Fault::CutOff(other)]
            }
        }
    }

    fn killed(&mut self, pod: bool) -> Fault {
        let member = self.least_killed();
        match (self.kills[member as usize] > 1, pod) {
            // Kubelet would wait for 20 s and more: a new pod begins anew.
            (true, _) => Fault::Delete(member),
            (false, true) => Fault::KillPod(member),
            (false, false) => Fault::KillRuntime(member),
        }
    }

    fn least_killed(&mut self) -> Member {
        let least = self.kills.iter().min().copied().unwrap_or_default();
        let those: Vec<Member> = (0..self.members).filter(|member| self.kills[*member as usize] == least).collect();
        those.choose(&mut self.dice).copied().unwrap_or_default()
    }

    /// Three different members.
    fn three(&mut self) -> [Member; 3] {
        let mut all: Vec<Member> = (0..self.members).collect();
        all.shuffle(&mut self.dice);
        [all[0], all[1], all[2]]
    }

    fn planned(&mut self, fault: Fault, after: Duration) -> Planned {
        let millis = match fault {
            // Ended at once; how long the rest takes is up to others.
            Fault::KillRuntime(_) | Fault::KillPod(_) | Fault::Delete(_) => 0..1,
            // Above the time after which a member is thrown out, below that after which kubelet starts it anew.
            Fault::Pause(_) => 5_000..12_000,
            // Below the time after which Kubernetes replaces the pods of a node.
            Fault::CutOff(_) | Fault::Alone(_) | Fault::AloneWithArbiter(_) | Fault::OneWay(..) => 6_000..14_000,
            Fault::WithoutArbiter(_) | Fault::ApiServer | Fault::Dns | Fault::SlowLink(_) => 5_000..12_000,
        };
        Planned { fault, after, hold: Duration::from_millis(self.dice.random_range(millis)) }
    }
}

/// The next of `count` kinds in an order by chance, each once before any comes again.
fn deal(left: &mut Vec<usize>, count: usize, dice: &mut StdRng) -> usize {
    if left.is_empty() {
        left.extend(0..count);
        left.shuffle(dice);
    }
    left.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(seed: u64, count: usize) -> Vec<Step> {
        let mut schedule = Schedule::new(seed, 3);
        (0..count).map(|_| schedule.step()).collect()
    }

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(steps(7, 40), steps(7, 40));
        assert_ne!(steps(7, 40), steps(8, 40));
    }

    #[test]
    fn a_short_run_sees_what_matters_most() {
        for seed in 0..20 {
            let seen: BTreeSet<&str> = steps(seed, SOON).iter().flat_map(|step| step.faults.clone()).map(|one| one.fault.kind()).collect();
            for kind in ["runtime killed", "runtime paused", "node cut off", "one-way partition", "pod deleted"] {
                assert!(seen.contains(kind), "seed {seed}: {seen:?}");
            }
        }
    }

    #[test]
    fn every_kind_comes() {
        let seen: BTreeSet<&str> = steps(1, 40).iter().flat_map(|step| step.faults.clone()).map(|planned| planned.fault.kind()).collect();
        assert_eq!(seen.len(), SINGLE, "{seen:?}");
    }

    #[test]
    fn only_a_crash_with_something_else_is_beyond_the_promise() {
        let step = |faults: &[Fault]| Step {
            faults: faults.iter().map(|fault| Planned { fault: *fault, after: Duration::ZERO, hold: Duration::ZERO }).collect(),
            calm: Duration::ZERO,
        };
        for (faults, beyond) in [
            (&[Fault::KillRuntime(0)][..], false),
            (&[Fault::KillRuntime(0), Fault::ApiServer], false),
            (&[Fault::Pause(0), Fault::Pause(1)], false),
            (&[Fault::KillRuntime(0), Fault::Pause(1)], true),
            (&[Fault::KillPod(0), Fault::CutOff(1)], true),
        ] {
            assert_eq!(step(faults).is_beyond_the_promise(1), beyond, "{faults:?}");
        }
        assert!(!step(&[Fault::KillRuntime(0), Fault::Pause(1)]).is_beyond_the_promise(2));
    }

    #[test]
    fn two_faults_at_once_hit_different_members() {
        for step in steps(3, 200) {
            let hit: Vec<Member> = step.faults.iter().flat_map(|planned| planned.fault.hit()).collect();
            assert_eq!(hit.len(), step.hit().len(), "{step}");
        }
    }
}
