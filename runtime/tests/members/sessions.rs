//! What any member does for its clients while nothing goes wrong.

use bytes::Bytes;
use holdfast_core::engine::NotTogether;
use holdfast_core::{Command, CommandError, Reply};

use crate::cluster::{Cluster, key, set, text};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_member_wrote_every_member_reads() {
    let cluster = Cluster::start(3).await;
    for n in 0..60 {
        let writer = cluster.sessions((n % 3) as u8);
        assert_eq!(writer.execute(key(n), set(format!("v{n}"))).await, Reply::Ok);
    }
    for n in 0..60 {
        for id in 0..3 {
            assert_eq!(cluster.sessions(id).execute(key(n), Command::Get).await, text(&format!("v{n}")), "session {n} at {id}");
        }
    }
    assert_eq!(cluster.sessions(0).execute(key(99), Command::Get).await, Reply::Nil);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_all_members_never_lose_an_update() {
    let cluster = Cluster::start(3).await;
    let mut writers = Vec::new();
    for id in 0..3_u8 {
        let sessions = cluster.sessions(id);
        writers.push(tokio::spawn(async move {
            for n in 0..50 {
                let field = Bytes::from(format!("{id}-{n}"));
                let reply = sessions.execute(key(0), Command::HashSet { fields: vec![(field, Bytes::new())] }).await;
                assert_eq!(reply, Reply::Int(1));
            }
        }));
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    let Reply::Map(fields) = cluster.sessions(1).execute(key(0), Command::HashGetAll).await else { panic!("a map") };
    assert_eq!(fields.len(), 150);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_one_connection_keep_their_order() {
    let cluster = Cluster::start(3).await;
    for id in 0..3 {
        let sessions = cluster.sessions(id);
        let mut answers = Vec::new();
        for n in 0..100 {
            answers.push(sessions.submit(key(7), set(format!("{n}"))));
        }
        let read = sessions.submit(key(7), Command::Get);
        for answer in answers {
            assert_eq!(answer.await, Reply::Ok);
        }
        assert_eq!(read.await, text("99"), "at member {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_lists_every_session_of_the_cluster() {
    let cluster = Cluster::start(3).await;
    for n in 0..200 {
        cluster.sessions((n % 3) as u8).execute(key(n), set("x")).await;
    }
    let (mut found, mut cursor) = (std::collections::BTreeSet::new(), 0);
    loop {
        let page = cluster.sessions(2).scan(cursor, 20).await.expect("all members answer");
        found.extend(page.keys);
        cursor = page.cursor;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(found.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_pass_and_larger_ones_are_refused() {
    let cluster = Cluster::start(3).await;
    let value = Bytes::from(vec![b'x'; 900 << 10]);
    for n in 0..6 {
        assert_eq!(cluster.sessions(0).execute(key(n), set(value.clone())).await, Reply::Ok);
        assert_eq!(cluster.sessions(1).execute(key(n), Command::Get).await, Reply::Bytes(value.clone()));
    }
    let refused = cluster.sessions(0).execute(key(0), set(vec![b'x'; 2 << 20])).await;
    assert!(matches!(refused, Reply::Error(CommandError::TooLarge { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_can_be_asked_about_a_session_and_its_links() {
    let cluster = Cluster::start(3).await;
    cluster.sessions(0).execute(key(1), set("abc")).await;
    let mut holders = 0;
    for id in 0..3 {
        let control = cluster.members[&id].member.control();
        holders += usize::from(control.session(key(1)).await.expect("answers").is_some());
        let links = control.links().await.expect("answers");
        assert!(links.len() == 2 && links.iter().all(|link| link.is_ready), "{links:?}");
    }
    assert_eq!(holders, 2, "the owner and one keeper");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_nobody_uses_elsewhere_become_part_of_one_step() {
    let cluster = Cluster::start(3).await;
    let nothing = [(Bytes::from_static(b"nothing"), 0)];
    for n in 0..50 {
        let keys = ["one", "two", "three", "four"].map(|name| Bytes::from(format!("{name}:{n}")));
        let write = |value: &str| keys.iter().map(|key| (key.clone(), set(value.to_owned()))).collect::<Vec<_>>();
        // Another member has just deleted one of them.
        assert_eq!(cluster.sessions(1).execute(keys[1].clone(), set("old".to_owned())).await, Reply::Ok);
        assert_eq!(cluster.sessions(1).execute(keys[1].clone(), Command::Delete).await, Reply::Int(1));
        // And used one of them once.
        assert_eq!(cluster.sessions(1).execute(keys[3].clone(), set("old".to_owned())).await, Reply::Ok);
        let expected = [&nothing[..], &[(keys[0].clone(), 0)]].concat();
        assert_eq!(cluster.sessions(0).execute_gathered(write("new"), &expected).await, Ok(vec![Reply::Ok; 4]));
        assert_eq!(cluster.sessions(0).execute_gathered(write("newer"), &expected).await, Err(NotTogether::Refuted));
        for key in keys {
            assert_eq!(cluster.sessions(2).execute(key, Command::Get).await, text("new"));
        }
    }
}
