//! Where the copies are, while what is asked for changes under living members.

use std::collections::BTreeSet;

use holdfast_core::{Command, Reply};

use crate::cluster::{Cluster, eventually, key, set, text};

const SESSIONS: usize = 60;

async fn fill(cluster: &Cluster) {
    let members = cluster.members.len();
    for n in 0..SESSIONS {
        assert_eq!(cluster.sessions((n % members) as u8).execute(key(n), set(format!("v{n}"))).await, Reply::Ok);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_copies_is_brought_about_under_living_sessions() {
    let cluster = Cluster::start(4).await;
    fill(&cluster).await;
    for (asked, copies) in [(2, 2), (63, 3), (1, 1)] {
        cluster.arbiter.set_copies(asked);
        let seen = || format!("{:?}", cluster.arbiter.view());
        eventually(|| cluster.arbiter.view().copies == asked, seen).await;
        cluster.settled(4).await;
        for n in 0..SESSIONS {
            let (owner, holders) = cluster.holders(key(n)).await;
            assert!(holders.contains(&owner.get()), "session {n} is held by its owner {owner:?}: {holders:?}");
            assert_eq!(holders.len(), 1 + copies, "holders of session {n} with {asked} copies: {holders:?}");
            assert_eq!(cluster.sessions((n % 4) as u8).execute(key(n), Command::Get).await, text(&format!("v{n}")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_move_to_the_other_zone_when_members_learn_late_where_they_are() {
    let zone = |id: u8| if id < 2 { "a" } else { "b" };
    let cluster = Cluster::start(4).await;
    fill(&cluster).await;
    for id in 0..4 {
        cluster.say_zone(id, zone(id));
    }
    let told = || cluster.arbiter.view().members.iter().all(|(id, entry)| entry.place.zone == zone(id.get()));
    eventually(told, || format!("{:?}", cluster.arbiter.view())).await;
    cluster.settled(4).await;
    for n in 0..SESSIONS {
        let (owner, holders) = cluster.holders(key(n)).await;
        let zones: BTreeSet<&str> = holders.iter().map(|id| zone(*id)).collect();
        assert_eq!(zones.len(), 2, "session {n}, owned by {owner:?}, is on {holders:?}");
        assert_eq!(holders.len(), 2, "holders of session {n}: {holders:?}");
    }
}
