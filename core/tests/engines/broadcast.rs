//! What is told to many.

use bytes::Bytes;
use holdfast_core::engine::Output;
use holdfast_core::{Command, Expiry, Notice, NoticeClass, Reply};

use crate::cluster::{Cluster, set};

fn publish(cluster: &mut Cluster, at: usize, payload: &'static str) {
    let now = cluster.now;
    cluster.engine(at).publish(now, Bytes::from_static(b"news"), Bytes::from_static(payload.as_bytes())).expect("it is in the view");
    cluster.settle();
}

fn want(cluster: &mut Cluster, at: usize, classes: &[NoticeClass]) {
    let now = cluster.now;
    cluster.engine(at).want_notices(now, classes.iter().map(|class| class.bit()).sum());
    cluster.settle();
}

/// Who was told what happened to which key, in order.
fn noticed(cluster: &mut Cluster, at: usize) -> Vec<(Bytes, Notice)> {
    let told = std::mem::take(&mut cluster.told);
    let (here, elsewhere): (Vec<_>, Vec<_>) = told.into_iter().partition(|(who, _)| *who == at);
    cluster.told = elsewhere;
    let notice = |(_, output)| match output {
        Output::Noticed { key, notice } => Some((key, notice)),
        _ => None,
    };
    here.into_iter().filter_map(notice).collect()
}

#[test]
fn what_is_published_reaches_every_member_once_and_in_order() {
    let mut cluster = Cluster::settled(3, &[]);
    for payload in ["one", "two", "three"] {
        publish(&mut cluster, 1, payload);
    }
    for at in 0..3 {
        let told = cluster.told.iter().filter(|(who, _)| *who == at).map(|(_, output)| match output {
            Output::Published { payload, .. } => payload.clone(),
            other => panic!("{other:?}"),
        });
        assert_eq!(told.collect::<Vec<_>>(), ["one", "two", "three"], "at {at}");
    }
}

#[test]
fn a_member_that_is_not_in_the_view_publishes_nothing() {
    let mut cluster = Cluster::settled(2, &[]);
    cluster.restart(1);
    let now = cluster.now;
    assert!(cluster.engine(1).publish(now, Bytes::new(), Bytes::new()).is_err());
}

#[test]
fn the_end_of_a_life_is_noticed_once_at_each_member_that_wants_to_know() {
    let mut cluster = Cluster::settled(3, &[]);
    want(&mut cluster, 0, &[NoticeClass::Expired]);
    want(&mut cluster, 2, &[NoticeClass::Expired, NoticeClass::String]);
    for n in 0..9 {
        let Command::Set { value, condition, return_old, .. } = set("x") else { unreachable!("it is a set") };
        let set = Command::Set { value, expiry: Expiry::After(500), condition, return_old };
        assert_eq!(cluster.ask(n % 3, &format!("s{n}"), set), Reply::Ok);
    }
    cluster.run(3_000);
    let ends = |notices: Vec<(Bytes, Notice)>| {
        let mut keys: Vec<Bytes> = notices.into_iter().filter(|(_, notice)| *notice == Notice::Expired).map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys
    };
    let all: Vec<String> = (0..9).map(|n| format!("s{n}")).collect();
    assert_eq!(ends(noticed(&mut cluster, 0)), all);
    assert!(noticed(&mut cluster, 1).is_empty());
    let at_two = noticed(&mut cluster, 2);
    assert_eq!(at_two.iter().filter(|(_, notice)| *notice == Notice::Set).count(), 9);
    assert_eq!(ends(at_two), all);
}

#[test]
fn what_is_wanted_is_told_to_members_that_come_later_and_is_over_with_its_member() {
    let mut cluster = Cluster::settled(3, &[]);
    want(&mut cluster, 0, &[NoticeClass::Generic]);
    cluster.kill(1);
    cluster.run(3_000);
    cluster.restart(1);
    cluster.run(3_000);
    assert!(cluster.is_settled(3), "{:?}", cluster.view);
    for _ in 0..4 {
        assert_eq!(cluster.ask(1, "s", set("x")), Reply::Ok);
    }
    assert_eq!(cluster.ask(1, "s", Command::Delete), Reply::Int(1));
    assert_eq!(noticed(&mut cluster, 0), [(Bytes::from_static(b"s"), Notice::Del)]);
    want(&mut cluster, 0, &[]);
    assert_eq!(cluster.ask(1, "s", set("x")), Reply::Ok);
    assert_eq!(cluster.ask(1, "s", Command::Delete), Reply::Int(1));
    assert!(noticed(&mut cluster, 0).is_empty());
}

#[test]
fn what_is_set_to_what_it_is_already_is_noticed_as_well() {
    for members in [1, 3] {
        let mut cluster = Cluster::settled(members, &[]);
        want(&mut cluster, 0, &[NoticeClass::String]);
        for _ in 0..4 {
            assert_eq!(cluster.ask(0, "s", set("x")), Reply::Ok);
        }
        assert_eq!(noticed(&mut cluster, 0), vec![(Bytes::from_static(b"s"), Notice::Set); 4], "{members} members");
    }
}
