//! Several commands as one step, wherever their session is.

use bytes::Bytes;
use holdfast_core::{Command, CommandError, Guard, Reply};

use crate::cluster::{Cluster, set, text};

fn batch(guard: Guard, commands: Vec<Command>) -> Command {
    Command::Batch { guard, commands }
}

#[test]
fn a_batch_survives_its_owner() {
    let mut cluster = Cluster::settled(3, &[]);
    let push = |member: &'static str| Command::SetAdd { members: vec![Bytes::from_static(member.as_bytes())] };
    for n in 0..6 {
        let key = format!("s{n}");
        let both = batch(
            Guard::None,
            vec![push("a"), push("b"), Command::Expire { millis: 60_000, condition: holdfast_core::ExpireCondition::Always }],
        );
        assert_eq!(cluster.ask(1, &key, both), Reply::Batch(vec![Reply::Int(1); 3]));
        assert_eq!(cluster.ask(1, &key, push("c")), Reply::Int(1));
    }
    cluster.kill(1);
    cluster.run(3_000);
    for n in 0..6 {
        let members = ["a", "b", "c"].map(|member| Some(Bytes::from_static(member.as_bytes())));
        assert_eq!(cluster.ask(2, &format!("s{n}"), Command::SetGetAll), Reply::Array(members.to_vec()));
        assert!(matches!(cluster.ask(0, &format!("s{n}"), Command::Ttl), Reply::Int(1..)), "its life goes on");
    }
}

#[test]
fn a_guard_holds_as_long_as_the_content_is_the_same_whoever_owns_it() {
    let mut cluster = Cluster::settled(3, &[]);
    assert_eq!(cluster.ask(0, "s", set("1")), Reply::Ok);
    let Reply::Fingerprint(seen) = cluster.ask(0, "s", Command::Fingerprint) else { panic!("no fingerprint") };
    // It changes hands.
    for _ in 0..4 {
        assert_eq!(cluster.ask(2, "s", Command::Get), text("1"));
    }
    let swap = |guard| batch(guard, vec![set("2"), Command::Get]);
    assert_eq!(cluster.ask(0, "s", swap(Guard::Unchanged(seen))), Reply::Batch(vec![Reply::Ok, text("2")]));
    assert_eq!(cluster.ask(0, "s", swap(Guard::Unchanged(seen))), Reply::Refuted);
    assert_eq!(cluster.ask(1, "s", batch(Guard::Equals(Bytes::from_static(b"1")), vec![Command::Delete])), Reply::Refuted);
    assert_eq!(
        cluster.ask(1, "s", batch(Guard::Equals(Bytes::from_static(b"2")), vec![Command::Delete])),
        Reply::Batch(vec![Reply::Int(1)])
    );
    assert_eq!(cluster.ask(1, "s", swap(Guard::Unchanged(0))), Reply::Batch(vec![Reply::Ok, text("2")]), "0 stands for no key");
}

#[test]
fn one_command_of_a_batch_that_fails_keeps_no_other_from_being_carried_out() {
    let mut cluster = Cluster::settled(2, &[]);
    let commands = vec![set("x"), Command::Increment { by: 1 }, Command::Append { value: Bytes::from_static(b"y") }];
    let number = Reply::Error(CommandError::NotAnInteger);
    assert_eq!(cluster.ask(0, "s", batch(Guard::None, commands)), Reply::Batch(vec![Reply::Ok, number, Reply::Int(2)]));
    assert_eq!(cluster.ask(1, "s", Command::Get), text("xy"));
}

#[test]
fn a_batch_in_a_batch_is_refused_before_it_is_sent_to_anybody() {
    let mut cluster = Cluster::settled(3, &[]);
    let nested = || batch(Guard::None, vec![set("x"), batch(Guard::None, vec![])]);
    for (n, at) in (0..9).map(|n| (n, n % 3)) {
        assert_eq!(cluster.ask(at, &format!("s{n}"), nested()), Reply::Error(CommandError::NestedBatch));
    }
}

#[test]
fn what_a_batch_writes_is_written_although_its_values_are_too_many_to_tell() {
    let mut cluster = Cluster::settled(3, &[]);
    let value = Bytes::from(vec![b'x'; 1 << 20]);
    let commands = std::iter::once(Command::Append { value: value.clone() })
        .chain(vec![Command::Get; 1000])
        .chain([Command::Append { value: Bytes::new() }, Command::GetDel])
        .collect();
    let Reply::Batch(replies) = cluster.ask(1, "s", batch(Guard::None, commands)) else { panic!("no batch") };
    let told = replies.iter().filter(|reply| matches!(reply, Reply::Bytes(_))).count();
    assert!((16..20).contains(&told), "{told} MiB were told");
    let untold = Reply::Error(CommandError::AnswerTooLarge { limit: 16 << 20 });
    assert_eq!((&replies[0], &replies[1000]), (&Reply::Int(1 << 20), &untold));
    assert_eq!(replies[1001..], [Reply::Int(1 << 20), untold]);
    assert_eq!(cluster.ask(2, "s", Command::Exists), Reply::Int(0));
}
