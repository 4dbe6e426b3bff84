//! Many sessions, and a member that is slow to take what a change of members leaves to do.

use bytes::Bytes;
use holdfast_core::engine::{Compression, Engine};
use holdfast_core::{Command, Key, Reply};

use crate::cluster::{Cluster, set};

const SESSIONS: u64 = 6_000;

/// What may be on its way to a member that is not urgent, and the last step beyond that.
const MOST: u64 = (256 << 10) + 256 * 1_200;

/// The most that waits for any one member.
fn most_unacked(engine: &Engine) -> u64 {
    engine.status().links.iter().map(|link| link.unacked_bytes).max().unwrap_or(0)
}

#[test]
fn a_change_of_members_leaves_room_for_live_writes() {
    let mut cluster = Cluster::new(&[(1, 1); 3], &[Compression::None; 3], &[1; 3]);
    cluster.run(2_000);
    assert!(cluster.is_settled(3), "all have joined: {:?}", cluster.view);
    let value = "x".repeat(1_000);
    for n in 0..SESSIONS {
        let (at, now) = ((n % 3) as usize, cluster.now);
        cluster.engine(at).execute(now, n, Key::from(format!("s{n}")), set(&value));
        cluster.settle();
    }
    assert!((0..SESSIONS).all(|n| cluster.replies.remove(&n) == Some(Reply::Ok)));
    cluster.last = SESSIONS;

    // The other survivor says nothing more after the views that both are in, but not for long enough to be suspected.
    cluster.kill(2);
    while cluster.view.members.len() == 3 {
        cluster.run(20);
    }
    cluster.run(20);
    cluster.held = Some(1);
    let mut most = 0;
    for _ in 0..15 {
        cluster.run(20);
        most = most.max(most_unacked(cluster.engine(0)));
    }
    cluster.release();
    assert!((1..=MOST).contains(&most), "{most} bytes waited for one member, at most {MOST} should");

    // In the end everything is held twice again.
    cluster.run(8_000);
    assert!(cluster.is_settled(2), "{:?}", cluster.view);
    for at in 0..2 {
        let status = cluster.engine(at).status();
        assert_eq!((status.owned + status.kept) as u64, SESSIONS);
        assert_eq!(status.unsettled, 0);
    }
    for n in (0..SESSIONS).step_by(100) {
        assert_eq!(cluster.ask(0, &format!("s{n}"), Command::Get), Reply::Bytes(Bytes::from(value.clone())));
    }
}
