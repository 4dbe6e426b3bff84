//! What members hold, what they refuse when they are full, and that nothing is dropped for it.

use bytes::Bytes;
use holdfast_core::engine::{Compression, Config, Engine, Load};
use holdfast_core::{Command, CommandError, Member, NodeId, Reply};

use crate::cluster::{Cluster, set, text};

/// Members with these limits, settled.
fn limited(memory: &[Option<u64>], max_active: Option<u64>, session_keys: &[&'static str]) -> Cluster {
    let mut cluster = Cluster::new(&vec![(1, 1); memory.len()], &vec![Compression::None; memory.len()], &vec![1; memory.len()]);
    for (place, memory) in memory.iter().enumerate() {
        let config = Config {
            heartbeat_interval: 50,
            failure_timeout: 400,
            ack_timeout: 2_000,
            memory: *memory,
            max_active,
            session_keys: session_keys.iter().map(|pattern| Bytes::from_static(pattern.as_bytes())).collect(),
            ..Config::new("shop", format!("shop-{place}"), format!("uid-{place}"))
        };
        let member = Member { id: NodeId::new(place as u8).expect("a place"), incarnation: 1000 };
        cluster.engines[place] = Some(Engine::new(config, member, 0));
    }
    cluster.run(2_000);
    assert!(cluster.is_settled(memory.len()), "{:?}", cluster.view);
    cluster
}

fn loads(cluster: &mut Cluster) -> Vec<Load> {
    (0..cluster.engines.len()).map(|at| cluster.engine(at).load()).collect()
}

fn assert_counted_right(cluster: &mut Cluster) {
    for at in 0..cluster.engines.len() {
        assert_eq!(cluster.engine(at).load().bytes, cluster.engine(at).recounted_bytes(), "at {at}");
    }
}

/// Makes sessions of a thousand bytes at a member until it refuses one; how many there were, and why no more.
fn fill(cluster: &mut Cluster, at: usize, name: &str) -> (usize, CommandError) {
    for n in 0..1_000 {
        match cluster.ask(at, &format!("{name}{n}"), set(&"x".repeat(1_000))) {
            Reply::Ok => {}
            Reply::Error(error) => return (n, error),
            other => panic!("{other:?}"),
        }
    }
    panic!("there is no limit");
}

#[test]
fn a_full_cluster_refuses_new_sessions_first_then_growth_and_never_loses_one() {
    let mut cluster = limited(&[Some(100_000); 3], None, &[]);
    let (made, error) = fill(&mut cluster, 0, "a");
    assert!(matches!(error, CommandError::OutOfMemory { budget: 100_000, .. }), "{error}");
    assert!(error.to_string().starts_with("OOM "), "{error}");
    // Of 1,243 bytes each, so many fill three quarters of what the owner may hold.
    assert_eq!(made, 60);
    assert_eq!(cluster.ask(0, "a0", set(&"y".repeat(1_000))), Reply::Ok, "as large as before");
    assert_eq!(cluster.ask(0, "a0", set(&"y".repeat(5_000))), Reply::Ok, "it may grow");
    let grown = (1..made).map(|n| cluster.ask(0, &format!("a{n}"), set(&"y".repeat(2_000)))).collect::<Vec<_>>();
    let refused = grown.iter().filter(|reply| matches!(reply, Reply::Error(CommandError::OutOfMemory { .. }))).count();
    assert!((1..made - 1).contains(&refused), "{refused}");
    assert!(loads(&mut cluster).iter().all(|load| load.bytes <= 90_000), "{:?}", loads(&mut cluster));
    for n in 0..made {
        assert!(matches!(cluster.ask(1, &format!("a{n}"), Command::Get), Reply::Bytes(_)), "a{n} is there");
    }
    assert_eq!(cluster.ask(0, "a1", Command::Delete), Reply::Int(1));
    assert_eq!(cluster.ask(0, "a2", set("small")), Reply::Ok, "what shrinks is always taken");
    assert_counted_right(&mut cluster);
}

#[test]
fn an_owner_with_room_refuses_what_its_keepers_have_no_room_for() {
    let mut cluster = limited(&[None, Some(20_000)], None, &[]);
    let (made, error) = fill(&mut cluster, 0, "a");
    assert!(matches!(error, CommandError::OutOfMemory { budget: 20_000, .. }), "{error}");
    assert!((8..=13).contains(&made), "{made}");
    assert_counted_right(&mut cluster);
}

#[test]
fn a_member_without_a_limit_among_others_without_takes_everything() {
    let mut cluster = limited(&[None; 2], None, &[]);
    for n in 0..200 {
        assert_eq!(cluster.ask(n % 2, &format!("a{n}"), set(&"x".repeat(1_000))), Reply::Ok);
    }
    assert_counted_right(&mut cluster);
}

#[test]
fn there_are_no_more_sessions_than_allowed_wherever_they_are_made() {
    let mut cluster = limited(&[None; 3], Some(9), &[]);
    for n in 0..9 {
        assert_eq!(cluster.ask(n % 3, &format!("a{n}"), set("x")), Reply::Ok, "a{n}");
    }
    for at in 0..3 {
        let refused = cluster.ask(at, &format!("b{at}"), set("x"));
        assert_eq!(refused, Reply::Error(CommandError::TooManySessions { limit: 9 }));
        assert_eq!(cluster.ask(at, &format!("a{at}"), set("y")), Reply::Ok, "those that are there go on");
    }
    assert_eq!(cluster.ask(2, "a0", Command::Delete), Reply::Int(1));
    cluster.run(1_000);
    assert_eq!(cluster.ask(1, "b1", set("x")), Reply::Ok, "there is room for one again");
    assert_eq!(loads(&mut cluster).iter().map(|load| load.sessions).sum::<u64>(), 9);
}

#[test]
fn keys_that_are_no_sessions_are_not_counted_as_such() {
    let mut cluster = limited(&[None; 2], Some(2), &["sess:*"]);
    for n in 0..10 {
        assert_eq!(cluster.ask(n % 2, &format!("lock:{n}"), set("x")), Reply::Ok);
    }
    for n in 0..2 {
        assert_eq!(cluster.ask(n, &format!("sess:{n}"), set("x")), Reply::Ok);
    }
    assert_eq!(cluster.ask(0, "sess:2", set("x")), Reply::Error(CommandError::TooManySessions { limit: 2 }));
    assert_eq!(cluster.ask(0, "lock:10", set("x")), Reply::Ok);
}

#[test]
fn a_session_does_not_follow_its_user_to_a_full_member() {
    let mut cluster = limited(&[None, None, Some(20_000)], None, &[]);
    let _ = fill(&mut cluster, 2, "a");
    let before = cluster.engine(2).load();
    for n in 0..30 {
        assert_eq!(cluster.ask(0, &format!("b{n}"), Command::Get), Reply::Nil);
        for _ in 0..3 {
            let _ = cluster.ask(2, &format!("a{n}"), Command::Get);
        }
    }
    assert!(cluster.engine(2).load().bytes <= before.bytes, "{before:?}");
}

#[test]
fn what_survivors_take_over_is_counted_and_never_refused() {
    let mut cluster = limited(&[Some(100_000); 3], None, &[]);
    let (made, _) = fill(&mut cluster, 0, "a");
    cluster.kill(0);
    cluster.run(3_000);
    assert!(cluster.is_settled(2), "{:?}", cluster.view);
    for n in 0..made {
        assert_eq!(cluster.ask(1, &format!("a{n}"), Command::Get), text(&"x".repeat(1_000)));
    }
    for at in [1, 2] {
        let load = cluster.engine(at).load();
        assert!(load.bytes > 60 * 1_000 && load.bytes == cluster.engine(at).recounted_bytes(), "{load:?}");
    }
}
