//! Single decisions, and then time itself: pods that lag, an operator that is away or ends between two writes, Secrets that vanish. At every moment any
//! two versions that pods may have must accept each other.

use proptest::prelude::*;

use super::*;
use crate::certificates::TIMES;
use crate::testing::noon;

/// Makes certificates that are nothing but names.
#[derive(Default)]
struct Forge(u32);

impl Issue for Forge {
    fn authority(&mut self, now: Timestamp) -> Result<Authority, IssueError> {
        self.0 += 1;
        Ok(Authority {
            id: format!("ca{}", self.0),
            from: now - TIMES.backdate,
            until: now + TIMES.authority,
            certificate: String::new(),
            key: Some(String::new()),
        })
    }

    fn leaf(&mut self, now: Timestamp, authority: &Authority) -> Result<Leaf, IssueError> {
        assert!(authority.key.is_some(), "nobody can issue without a key");
        self.0 += 1;
        Ok(Leaf {
            id: format!("leaf{}", self.0 + 1),
            authority: authority.id.clone(),
            from: now - TIMES.backdate,
            until: (now + TIMES.certificate).min(authority.until),
            certificate: format!("leaf{}", self.0),
            key: String::new(),
        })
    }
}

/// A cluster's Secrets, and an operator.
#[derive(Default)]
struct World {
    stored: Stored,
    requests: Requests,
    forge: Forge,
    after: SignedDuration,
    holders: Vec<Holder>,
}

impl World {
    fn founded() -> Self {
        let mut world = Self::default();
        assert_eq!(world.pass(), [Step::AddAuthority, Step::Switch, Step::Publish { issue: true }]);
        world
    }

    fn now(&self) -> Timestamp {
        noon() + self.after
    }

    fn pass(&mut self) -> Vec<Step> {
        let steps = plan(self.now(), &self.stored, &self.requests, &self.holders, &TIMES);
        self.stored = carry_out(self.now(), &steps, &self.stored, &self.requests, &mut self.forge).expect("made");
        steps
    }

    fn later(&mut self, by: SignedDuration) -> Vec<Step> {
        self.after += by;
        self.pass()
    }

    fn leaf(&self) -> &Leaf {
        self.stored.published.as_ref().and_then(|published| published.leaf.as_ref()).expect("a certificate")
    }

    fn bundle(&self) -> Vec<&str> {
        self.stored.published.as_ref().expect("published").bundle.iter().map(|authority| authority.id.as_str()).collect()
    }
}

const SYNC: SignedDuration = TIMES.sync;
const SECOND: SignedDuration = SignedDuration::from_secs(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

#[test]
fn a_settled_cluster_is_left_alone_for_twenty_days_and_then_gets_a_new_certificate() {
    let mut world = World::founded();
    let first = world.leaf().clone();
    assert_eq!(world.pass(), []);
    assert_eq!(world.later(19 * DAY), []);
    assert_eq!(world.later(DAY), [Step::Publish { issue: true }]);
    assert_eq!(world.leaf().authority, first.authority);
    assert_ne!(world.leaf().certificate, first.certificate);
}

/// The three steps, each not a second before its time.
fn expect_rotation(world: &mut World, from: &str, to: &str) {
    assert_eq!((world.bundle(), world.leaf().authority.as_str()), (vec![from, to], from));
    assert_eq!(world.later(SYNC - SECOND), []);
    assert_eq!(world.later(SECOND), [Step::Switch, Step::Publish { issue: true }]);
    assert_eq!((world.bundle(), world.leaf().authority.as_str()), (vec![from, to], to));
    assert_eq!(world.later(SYNC - SECOND), []);
    assert_eq!(world.later(SECOND), [Step::DropOthers, Step::Publish { issue: false }]);
    assert_eq!((world.bundle(), world.leaf().authority.as_str()), (vec![to], to));
    assert_eq!(world.later(DAY), []);
}

#[test]
fn an_authority_is_replaced_in_three_steps() {
    let mut world = World::founded();
    while world.after < SignedDuration::from_hours(2 * 365 * 24 * 2 / 3) {
        let steps = world.later(DAY);
        if steps.contains(&Step::AddAuthority) {
            break;
        }
    }
    assert!(world.after > 480 * DAY, "{:?}", world.after);
    let (from, to) = (world.bundle()[0].to_owned(), world.bundle()[1].to_owned());
    expect_rotation(&mut world, &from, &to);
}

#[test]
fn each_request_is_followed_once_and_those_from_before_the_creation_never() {
    let ask = |value: &str| Some(value.to_owned());
    let mut world = World { requests: Requests { certificates: ask("a"), authority: ask("a") }, ..World::default() };
    world.pass();
    assert_eq!(world.pass(), []);
    world.requests.certificates = ask("b");
    assert_eq!(world.pass(), [Step::Publish { issue: true }]);
    assert_eq!(world.pass(), []);
    world.requests.authority = ask("b");
    assert_eq!(world.pass(), [Step::AddAuthority, Step::Publish { issue: false }]);
    let (from, to) = (world.bundle()[0].to_owned(), world.bundle()[1].to_owned());
    expect_rotation(&mut world, &from, &to);
    world.requests = Requests::default();
    assert_eq!(world.pass(), [], "taking the annotation away asks for nothing");
}

#[test]
fn without_the_operators_secret_the_old_authority_stays_until_a_new_one_has_come_in() {
    let mut world = World::founded();
    let old = world.bundle()[0].to_owned();
    world.after += DAY;
    world.stored.authorities = None;
    assert_eq!(world.pass(), [Step::Adopt, Step::AddAuthority, Step::Publish { issue: false }]);
    let new = world.bundle()[1].to_owned();
    expect_rotation(&mut world, &old, &new);
}

#[test]
fn a_key_that_is_lost_counts_as_an_authority_that_has_to_be_replaced() {
    let mut world = World::founded();
    world.stored.authorities.as_mut().expect("made").list[0].key = None;
    assert_eq!(world.later(DAY), [Step::AddAuthority, Step::Publish { issue: false }]);
}

#[test]
fn a_secret_of_the_pods_that_vanished_is_made_again_by_the_authority_that_pods_know() {
    let mut world = World::founded();
    let authority = world.leaf().authority.clone();
    world.stored.published = None;
    assert_eq!(world.later(DAY), [Step::Publish { issue: true }]);
    assert_eq!(world.leaf().authority, authority);
}

#[test]
fn an_old_backup_of_the_operators_secret_cuts_nobody_off() {
    let mut world = World::founded();
    let backup = world.stored.authorities.clone();
    world.requests.authority = Some("now".to_owned());
    for _ in 0..4 {
        world.later(SYNC);
    }
    let current = world.leaf().authority.clone();
    world.stored.authorities = backup;
    assert_eq!(world.later(DAY), [Step::Adopt, Step::Publish { issue: false }]);
    assert_eq!((world.bundle()[0], world.leaf().authority.as_str()), (current.as_str(), current.as_str()));
}

#[test]
fn if_nobody_can_use_what_is_there_a_new_authority_issues_at_once() {
    let mut world = World::founded();
    world.stored.authorities = None;
    world.after += 31 * DAY;
    assert_eq!(world.pass(), [Step::Adopt, Step::AddAuthority, Step::Switch, Step::Publish { issue: true }]);
    assert_eq!(world.bundle().len(), 2, "the old one is still trusted");
}

#[test]
fn moments_that_are_missing_or_in_the_future_begin_anew() {
    let mut world = World::founded();
    world.requests.authority = Some("now".to_owned());
    world.later(DAY);
    world.stored.published.as_mut().expect("made").bundle_since = Some(world.now() + 400 * DAY);
    assert_eq!(world.later(2 * SYNC), [Step::Publish { issue: false }]);
    assert_eq!(world.later(SYNC - SECOND), []);
    assert_eq!(world.later(SECOND), [Step::Switch, Step::Publish { issue: true }]);
}

/// A pod that says that it has this.
fn tells(pod: &str, published: &Published) -> Holder {
    let report = LinksReport {
        pod_uid: String::new(),
        encrypted: true,
        certificate: published.leaf.as_ref().map(|leaf| leaf.id.clone()),
        authorities: published.bundle.iter().map(|authority| authority.id.clone()).collect(),
    };
    Holder { pod: pod.to_owned(), has: Some(report) }
}

fn silent(pod: &str) -> Holder {
    Holder { pod: pod.to_owned(), has: None }
}

#[test]
fn each_step_is_taken_as_soon_as_all_pods_say_that_they_have_the_last_one() {
    let mut world = World::founded();
    world.requests.authority = Some("now".to_owned());
    let steps = [
        vec![Step::AddAuthority, Step::Publish { issue: false }],
        vec![Step::Switch, Step::Publish { issue: true }],
        vec![Step::DropOthers, Step::Publish { issue: false }],
        vec![],
    ];
    for step in steps {
        assert_eq!(world.later(SECOND), step);
        let published = world.stored.published.clone().expect("made");
        world.holders = vec![tells("shop-0", &published), tells("shop-1", &published)];
        assert_eq!(waiting_for(&world.stored, &world.holders), Vec::<String>::new());
    }
}

#[test]
fn a_pod_that_says_that_it_lags_is_waited_for_however_long_it_takes() {
    let mut world = World::founded();
    let old = world.stored.published.clone().expect("made");
    world.requests.authority = Some("now".to_owned());
    world.pass();
    let both = world.stored.published.clone().expect("made");
    world.holders = vec![tells("shop-0", &both), tells("shop-1", &old), silent("shop-2")];
    assert_eq!(world.later(10 * SYNC), []);
    assert_eq!(waiting_for(&world.stored, &world.holders), ["shop-1", "shop-2"]);
    world.holders[1] = tells("shop-1", &both);
    assert_eq!(world.pass(), [Step::Switch, Step::Publish { issue: true }], "its time is over for the one that says nothing");

    assert_eq!(world.later(10 * SYNC), []);
    assert_eq!(waiting_for(&world.stored, &world.holders), ["shop-0", "shop-1", "shop-2"]);
    let new = world.stored.published.clone().expect("made");
    world.holders = vec![tells("shop-0", &new), tells("shop-1", &new), silent("shop-2")];
    assert_eq!(world.pass(), [Step::DropOthers, Step::Publish { issue: false }]);
    assert_eq!(waiting_for(&world.stored, &world.holders), Vec::<String>::new());
}

#[test]
fn a_pod_that_says_nothing_is_given_its_time_whatever_the_others_say() {
    let mut world = World::founded();
    world.requests.authority = Some("now".to_owned());
    world.pass();
    let both = world.stored.published.clone().expect("made");
    world.holders = vec![tells("shop-0", &both), silent("shop-1")];
    assert_eq!(world.later(SYNC - SECOND), []);
    assert_eq!(world.later(SECOND), [Step::Switch, Step::Publish { issue: true }]);
}

/// What happens besides the passing of time.
#[derive(Clone, Copy, Debug)]
enum Event {
    Nothing,
    AskCertificate,
    AskAuthority,
    LoseAuthorities,
    LoseKey,
    LosePublished,
    DamageLeaf,
    /// The operator ends after it has written the authorities' Secret.
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => Just(Event::Nothing),
        2 => Just(Event::AskCertificate),
        3 => Just(Event::AskAuthority),
        2 => Just(Event::LoseAuthorities),
        1 => Just(Event::LoseKey),
        2 => Just(Event::LosePublished),
        1 => Just(Event::DamageLeaf),
        4 => Just(Event::Crash),
    ]
}

fn wait() -> impl Strategy<Value = i64> {
    let sync = SYNC.as_secs();
    // Around the waits of the steps, around a day, and an operator that was away for a week.
    prop_oneof![6 => 1..2 * sync, 2 => Just(sync), 2 => 0..90_000_i64, 1 => 0..7 * 86_400_i64]
}

/// Whether two pods with these versions would accept each other, on clocks that are five minutes wrong.
fn accept(one: &Published, other: &Published, now: Timestamp) -> bool {
    let (early, late) = (now - SignedDuration::from_mins(5), now + SignedDuration::from_mins(5));
    let trusts = |by: &Published, leaf: &Leaf| {
        let valid = |from: Timestamp, until: Timestamp| from <= early && late < until;
        valid(leaf.from, leaf.until)
            && by.bundle.iter().any(|authority| authority.id == leaf.authority && valid(authority.from, authority.until))
    };
    let both = one.leaf.as_ref().zip(other.leaf.as_ref());
    both.is_some_and(|(own, theirs)| trusts(one, theirs) && trusts(other, own))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_two_pods_accept_each_other_at_any_time(course in prop::collection::vec((wait(), event()), 1..60)) {
        let mut world = World::founded();
        // Versions that pods may have, with when each was replaced.
        let mut versions: Vec<(Published, Option<Timestamp>)> = vec![(world.stored.published.clone().expect("made"), None)];
        for (number, (seconds, event)) in course.into_iter().enumerate() {
            world.after += SignedDuration::from_secs(seconds);
            let request = Some(number.to_string());
            let mut crash = false;
            match event {
                Event::Nothing => {}
                Event::AskCertificate => world.requests.certificates = request,
                Event::AskAuthority => world.requests.authority = request,
                // One Secret at a time: if both are lost at once, nobody knows what pods have.
                Event::LoseAuthorities if world.stored.published.is_some() => world.stored.authorities = None,
                Event::LoseKey => {
                    world.stored.authorities.iter_mut().flat_map(|authorities| &mut authorities.list).for_each(|authority| authority.key = None);
                }
                Event::LosePublished if signer_has_key(&world.stored) => world.stored.published = None,
                Event::DamageLeaf if signer_has_key(&world.stored) => {
                    world.stored.published.iter_mut().for_each(|published| published.leaf = None);
                }
                Event::Crash => crash = true,
                Event::LoseAuthorities | Event::LosePublished | Event::DamageLeaf => {}
            }
            let before = world.stored.published.clone();
            world.pass();
            if crash {
                world.stored.published = before;
                // Until the next operator comes, which need not be long.
                world.after += SECOND;
                world.pass();
            }
            let now = world.now();
            let current = world.stored.published.clone().expect("published");
            let last = versions.last_mut().expect("one");
            if last.0 != current {
                last.1 = Some(now);
                versions.push((current, None));
            }
            versions.retain(|(_, replaced)| replaced.is_none_or(|at| now.duration_since(at) < SYNC));
            for (one, _) in &versions {
                for (other, _) in &versions {
                    prop_assert!(accept(one, other, now), "at {now}: {one:#?}\n{other:#?}\nof {versions:#?}");
                }
            }
        }
    }

    #[test]
    fn pods_that_say_what_they_have_accept_each_other_however_late_they_are(
        course in prop::collection::vec((1_i64..600, 0..6_usize, prop::bool::weighted(0.3)), 1..80)
    ) {
        let mut world = World::founded();
        let mut pods = vec![world.stored.published.clone().expect("made"); 3];
        for (number, (seconds, pod, asks)) in course.into_iter().enumerate() {
            world.after += SignedDuration::from_secs(seconds);
            if asks {
                world.requests.authority = Some(number.to_string());
            }
            // One of them gets what is there now; sometimes nobody does.
            if let Some(pod) = pods.get_mut(pod) {
                pod.clone_from(world.stored.published.as_ref().expect("published"));
            }
            world.holders = pods.iter().enumerate().map(|(number, has)| tells(&format!("shop-{number}"), has)).collect();
            world.pass();
            let now = world.now();
            // One that starts now reads what is there now.
            let starting = world.stored.published.as_ref().expect("published");
            for (one, other) in pods.iter().flat_map(|one| pods.iter().chain([starting]).map(move |other| (one, other))) {
                prop_assert!(accept(one, other, now), "at {now}: {one:#?}\n{other:#?}");
            }
        }
    }

    #[test]
    fn a_change_of_the_authority_comes_to_its_end(pause in 1_i64..1000) {
        let mut world = World::founded();
        world.requests.authority = Some("now".to_owned());
        let mut passes = 0;
        world.pass();
        while !world.later(SignedDuration::from_secs(pause)).contains(&Step::DropOthers) {
            passes += 1;
            prop_assert!(pause * passes <= 2 * (SYNC.as_secs() + pause));
        }
        prop_assert_eq!(world.bundle().len(), 1);
    }
}

/// Whether the pods' Secret could be made again as it was.
fn signer_has_key(stored: &Stored) -> bool {
    stored.authorities.as_ref().and_then(Authorities::signing).is_some_and(|signer| signer.key.is_some())
}
