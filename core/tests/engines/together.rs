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

#[test]
fn a_key_that_nobody_has_is_owned_by_nobody() {
    let mut cluster = both_at_first();
    let now = cluster.now;
    let commands = vec![(9001, key("a"), set("2")), (9002, key("new"), set("2"))];
    assert_eq!(cluster.engine(0).execute_together(now, commands, &[]), Err(NotTogether::Apart));
}
