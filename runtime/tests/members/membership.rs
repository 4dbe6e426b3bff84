//! Members that come and go on purpose.

use std::time::Duration;

use holdfast_core::{Command, CommandError, Reply};
use holdfast_runtime::status::Phase;
use tokio::time::timeout;

use crate::cluster::{Cluster, key, set, text};

#[tokio::test(flavor = "multi_thread")]
async fn one_member_is_a_cluster() {
    let cluster = Cluster::start(1).await;
    assert_eq!(cluster.sessions(0).execute(key(0), set("x")).await, Reply::Ok);
    assert!(cluster.status(0).is_alone);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_join_while_writes_go_on() {
    let mut cluster = Cluster::start(1).await;
    for (id, from) in [(1, 0), (2, 50), (3, 100)] {
        cluster.add(id).await;
        for n in from..from + 50 {
            assert_eq!(cluster.sessions(0).execute(key(n), set(format!("v{n}"))).await, Reply::Ok);
        }
    }
    cluster.settled(4).await;
    for n in 0..150 {
        assert_eq!(cluster.sessions(3).execute(key(n), Command::Get).await, text(&format!("v{n}")));
    }
    assert!((0..4).all(|id| cluster.status(id).owned + cluster.status(id).kept > 0), "every member has its share");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_drains_hands_everything_over_and_goes_on_forwarding() {
    let mut cluster = Cluster::start(3).await;
    for n in 0..100 {
        cluster.sessions(1).execute(key(n), set(format!("v{n}"))).await;
    }
    let control = cluster.members[&1].member.control();
    control.drain().await.expect("runs");
    cluster.wait_for(1, |status| status.holds_nothing()).await;
    assert_eq!(cluster.status(1).phase, Phase::Drained);
    for n in 0..100 {
        assert_eq!(cluster.sessions(1).execute(key(n), set(format!("w{n}"))).await, Reply::Ok, "a drained member forwards");
    }
    control.finish().await.expect("runs");
    let mut leaver = cluster.members.remove(&1).expect("runs");
    timeout(Duration::from_secs(10), leaver.member.ended()).await.expect("leaves soon");
    assert_eq!(cluster.state(1), None);
    assert_eq!(leaver.member.sessions().execute(key(0), Command::Get).await, Reply::Error(CommandError::NotJoined));
    cluster.settled(2).await;
    for n in 0..100 {
        assert_eq!(cluster.sessions(0).execute(key(n), Command::Get).await, text(&format!("w{n}")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_leave_one_after_the_other_until_one_is_left() {
    let mut cluster = Cluster::start(4).await;
    for n in 0..100 {
        cluster.sessions((n % 4) as u8).execute(key(n), set(format!("v{n}"))).await;
    }
    for id in [3, 2, 1] {
        cluster.members[&id].member.control().finish().await.expect("runs");
        let mut leaver = cluster.members.remove(&id).expect("runs");
        timeout(Duration::from_secs(10), leaver.member.ended()).await.expect("leaves soon");
        for n in 0..100 {
            assert_eq!(cluster.sessions(0).execute(key(n), Command::Get).await, text(&format!("v{n}")), "{id} has left");
        }
    }
    assert_eq!(cluster.arbiter.view().members.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_member_can_leave_too() {
    let mut cluster = Cluster::start(1).await;
    cluster.members[&0].member.control().finish().await.expect("runs");
    let mut leaver = cluster.members.remove(&0).expect("runs");
    timeout(Duration::from_secs(10), leaver.member.ended()).await.expect("leaves soon");
}
