//! Members that die, fall silent or lose their connections, and an arbiter that is away or says nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use holdfast_core::{Command, Reply};
use holdfast_runtime::arbiter::memory::Mishap;
use holdfast_runtime::status::Phase;
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, FAILURE_TIMEOUT, key, set, text};

const SESSIONS: usize = 200;

async fn fill(cluster: &Cluster, members: u8) {
    for n in 0..SESSIONS {
        let id = (n % usize::from(members)) as u8;
        assert_eq!(cluster.sessions(id).execute(key(n), set(format!("v{n}"))).await, Reply::Ok);
    }
}

/// Reads all sessions at this member, and says how long the slowest took.
async fn read_all(cluster: &Cluster, id: u8) -> Duration {
    let sessions = cluster.sessions(id);
    let mut slowest = Duration::ZERO;
    let start = Instant::now();
    let mut answers = Vec::new();
    for n in 0..SESSIONS {
        answers.push(sessions.submit(key(n), Command::Get));
    }
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.await, text(&format!("v{n}")), "session {n} at {id}");
        slowest = slowest.max(start.elapsed());
    }
    slowest
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_a_killed_member_answer_within_a_second() {
    let mut cluster = Cluster::start(3).await;
    fill(&cluster, 3).await;
    cluster.kill(1);
    let slowest = read_all(&cluster, 0).await;
    assert!(slowest < Duration::from_secs(1), "took {slowest:?}");
    read_all(&cluster, 2).await;
    cluster.settled(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_killed_one_after_the_other_lose_nothing() {
    let mut cluster = Cluster::start(4).await;
    fill(&cluster, 4).await;
    for (left, victim) in [(3, 0), (2, 2), (1, 3)] {
        cluster.lose(victim);
        read_all(&cluster, 1).await;
        cluster.settled(left).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_member_is_replaced_and_comes_back_as_another_life() {
    let cluster = Cluster::start(3).await;
    fill(&cluster, 3).await;
    let before = cluster.status(2).member.incarnation;
    cluster.cut_off(2, true);
    let slowest = read_all(&cluster, 0).await;
    assert!(slowest < FAILURE_TIMEOUT + Duration::from_millis(500), "took {slowest:?}");
    assert_eq!(cluster.state(2), None, "evicted");
    let refused = cluster.sessions(2).execute(key(0), set("by a member outside the view")).await;
    assert_ne!(refused, Reply::Ok);
    cluster.cut_off(2, false);
    cluster.settled(3).await;
    assert_ne!(cluster.status(2).member.incarnation, before);
    read_all(&cluster, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_reaches_only_the_arbiter_does_not_hold_the_others_up_for_ever() {
    let cluster = Cluster::start(3).await;
    fill(&cluster, 3).await;
    cluster.network.set_silent("shop-2", true);
    // It is evicted, and does not enter again before it hears them.
    let slowest = read_all(&cluster, 0).await;
    assert!(slowest < FAILURE_TIMEOUT + Duration::from_millis(500), "took {slowest:?}");
    cluster.network.set_silent("shop-2", false);
    cluster.settled(3).await;
    read_all(&cluster, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_connections_cost_neither_a_write_nor_a_member() {
    let cluster = Cluster::start(3).await;
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let sessions = cluster.sessions(0);
    let writer = tokio::spawn({
        let (stop, written) = (stop.clone(), written.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                let n = written.load(Ordering::Relaxed);
                assert_eq!(sessions.execute(key(n % SESSIONS), set(format!("{n}"))).await, Reply::Ok);
                written.store(n + 1, Ordering::Relaxed);
            }
        }
    });
    let members = cluster.arbiter.view().members;
    for round in 0..20 {
        sleep(Duration::from_millis(40)).await;
        cluster.network.tear(&format!("shop-{}", round % 3));
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.expect("every write was acknowledged");
    assert_eq!(cluster.arbiter.view().members, members, "nobody was evicted");
    let total = written.load(Ordering::Relaxed);
    assert!(total > 50, "only {total} writes");
    for n in total.saturating_sub(SESSIONS)..total {
        assert_eq!(cluster.sessions(1).execute(key(n % SESSIONS), Command::Get).await, text(&format!("{n}")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_arbiter_everything_goes_on_until_somebody_dies() {
    let mut cluster = Cluster::start(3).await;
    cluster.arbiter.set_away(true);
    fill(&cluster, 3).await;
    read_all(&cluster, 2).await;
    cluster.kill(2);
    sleep(FAILURE_TIMEOUT).await;
    assert_eq!(cluster.arbiter.view().members.len(), 3, "nobody may change the view");
    cluster.arbiter.set_away(false);
    read_all(&cluster, 0).await;
    cluster.settled(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_with_an_unknown_outcome_only_take_longer() {
    let mut cluster = Cluster::empty();
    for mishap in [Mishap::AppliedUnknown, Mishap::LostUnknown, Mishap::AppliedUnknown, Mishap::LostUnknown] {
        cluster.arbiter.next_swap(mishap);
    }
    for id in 0..3 {
        cluster.add(id).await;
    }
    cluster.settled(3).await;
    fill(&cluster, 3).await;
    cluster.arbiter.next_swap(Mishap::AppliedUnknown);
    cluster.arbiter.next_swap(Mishap::LostUnknown);
    cluster.kill(0);
    read_all(&cluster, 1).await;
    cluster.settled(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_in_the_same_place_joins_at_once() {
    let mut cluster = Cluster::start(3).await;
    fill(&cluster, 3).await;
    cluster.kill(1);
    cluster.add(1).await;
    cluster.wait_for(1, |status| status.phase == Phase::Accepting).await;
    cluster.settled(3).await;
    read_all(&cluster, 1).await;
}
