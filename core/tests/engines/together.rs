//! Commands on several keys as one step.

use bytes::Bytes;
use holdfast_core::engine::NotTogether;
use holdfast_core::{Command, Key, Reply};

use crate::cluster::{Cluster, set, text};

fn key(name: &str) -> Key {
    Bytes::from(name.to_owned())
}

fn fingerprint(cluster: &mut Cluster, at: usize, name: &str) -> u128 {
    match cluster.ask(at, name, Command::Fingerprint) {
        Reply::Fingerprint(fingerprint) => fingerprint,
        other => panic!("{other:?}"),
    }
}

/// Two keys that are used at the first member, and belong to it.
fn both_at_first() -> Cluster {
    let mut cluster = Cluster::settled(3, &[]);
    for name in ["a", "b"] {
        for _ in 0..3 {
            assert_eq!(cluster.ask(0, name, set("1")), Reply::Ok);
        }
    }
    cluster
}

fn together(cluster: &mut Cluster, at: usize, expected: &[(Key, u128)]) -> Result<Vec<Reply>, NotTogether> {
    let now = cluster.now;
    let commands = vec![(9001, key("a"), set("2")), (9002, key("b"), set("2"))];
    cluster.engine(at).execute_together(now, commands, expected)?;
    cluster.settle();
    cluster.run(200);
    Ok([9001, 9002].map(|request| cluster.replies.remove(&request).expect("an answer")).to_vec())
}

#[test]
fn the_owner_of_all_keys_runs_commands_on_them_as_one_step() {
    let mut cluster = both_at_first();
    assert_eq!(together(&mut cluster, 1, &[]), Err(NotTogether::Apart));
    assert_eq!(cluster.ask(1, "b", Command::Get), text("1"), "nothing was begun");
    assert_eq!(together(&mut cluster, 0, &[]), Ok(vec![Reply::Ok, Reply::Ok]));
    for name in ["a", "b"] {
        assert_eq!(cluster.ask(2, name, Command::Get), text("2"));
    }
}

#[test]
fn what_is_expected_of_any_of_the_keys_has_to_hold() {
    let mut cluster = both_at_first();
    let expected = ["a", "b"].map(|name| (key(name), fingerprint(&mut cluster, 0, name)));
    assert_eq!(cluster.ask(0, "b", set("changed")), Reply::Ok);
    assert_eq!(together(&mut cluster, 0, &expected), Err(NotTogether::Refuted));
    assert_eq!(cluster.ask(0, "a", Command::Get), text("1"));
    assert_eq!(cluster.ask(0, "b", set("1")), Reply::Ok);
    assert_eq!(together(&mut cluster, 0, &expected), Ok(vec![Reply::Ok, Reply::Ok]), "it holds what it held");
}

/// A claim at this member, answered before any tick.
fn claim(cluster: &mut Cluster, at: usize, name: &str) -> Option<Reply> {
    let now = cluster.now;
    cluster.engine(at).execute(now, 9000, key(name), Command::Claim);
    cluster.settle();
    cluster.replies.remove(&9000)
}

/// Writes this key together with `a`.
fn with_first(cluster: &mut Cluster, name: &str) -> Result<(), NotTogether> {
    let now = cluster.now;
    let commands = vec![(9001, key("a"), set("2")), (9002, key(name), set("2"))];
    cluster.engine(0).execute_together(now, commands, &[])
}

#[test]
fn a_key_that_nobody_has_is_claimed_and_then_part_of_one_step() {
    let mut cluster = both_at_first();
    for n in 0..8 {
        let name = format!("new{n}");
        assert_eq!(with_first(&mut cluster, &name), Err(NotTogether::Apart), "nobody owns it");
        let keys = [key("a"), key(&name)];
        assert_eq!(cluster.engine(0).to_claim(keys.iter()), Some(vec![key(&name)]));
        assert_eq!(claim(&mut cluster, 0, &name), Some(Reply::Int(0)));
        assert_eq!(cluster.engine(0).to_claim(keys.iter()), Some(Vec::new()));
        assert_eq!(with_first(&mut cluster, &name), Ok(()));
        cluster.run(200);
        assert_eq!(cluster.ask(1, &name, Command::Get), text("2"));
    }
}

#[test]
fn a_key_that_was_just_deleted_elsewhere_can_be_claimed() {
    let mut cluster = both_at_first();
    for n in 0..8 {
        let name = format!("old{n}");
        for _ in 0..3 {
            assert_eq!(cluster.ask(1, &name, set("1")), Reply::Ok);
        }
        let now = cluster.now;
        cluster.engine(1).execute(now, 9003, key(&name), Command::Delete);
        cluster.settle();
        assert_eq!(claim(&mut cluster, 0, &name), Some(Reply::Int(0)));
        assert_eq!(with_first(&mut cluster, &name), Ok(()), "its owner hands it over");
        cluster.run(200);
        assert_eq!(cluster.ask(2, &name, Command::Get), text("2"));
    }
}

#[test]
fn what_was_claimed_and_not_written_is_forgotten() {
    let mut cluster = both_at_first();
    for n in 0..8 {
        let name = format!("new{n}");
        assert_eq!(claim(&mut cluster, 0, &name), Some(Reply::Int(0)));
        assert_eq!(cluster.ask(1, &name, Command::Exists), Reply::Int(0));
        cluster.run(1_000);
        for at in 0..3 {
            assert_eq!(cluster.engine(at).session(&key(&name)), None, "nothing is left of {name} at {at}");
        }
    }
}

#[test]
fn a_key_that_exists_is_not_claimed() {
    let mut cluster = both_at_first();
    assert_eq!(claim(&mut cluster, 1, "a"), Some(Reply::Int(1)));
    assert_eq!(cluster.ask(2, "a", Command::Get), text("1"));
}

#[test]
fn a_key_that_belongs_to_its_home_is_claimed_only_there() {
    let mut cluster = Cluster::settled(3, &["sess:*"]);
    let key = key("lock");
    let claimable: Vec<_> = (0..3).filter_map(|at| cluster.engine(at).to_claim([&key].into_iter())).collect();
    assert_eq!(claimable, [vec![key]], "one of them is its home");
}
