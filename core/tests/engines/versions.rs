//! A newer and an older runtime in one cluster, through a join, writes, a handoff and a failover.

use holdfast_core::engine::{Compression, ConnId};
use holdfast_core::{Command, Key, Reply};

use crate::cluster::{Cluster, set, text};

const LZ4: Compression = Compression::Lz4;
const PLAIN: Compression = Compression::None;

#[test]
fn a_newer_and_an_older_runtime_work_in_one_cluster() {
    for versions in [[(1, 2), (1, 1), (1, 2)], [(1, 1), (1, 2), (1, 1)], [(1, 1), (1, 1), (1, 2)]] {
        let mut pair = Cluster::new(&versions, &[PLAIN; 3], &[1; 3]);
        pair.run(2_000);
        assert!(pair.is_settled(3), "all have joined: {:?}", pair.view);
        for at in 0..3 {
            for link in pair.engine(at).status().links {
                let other = versions[usize::from(link.peer.id.get())];
                assert_eq!(link.version, versions[at].1.min(other.1), "the newest that both know");
            }
        }
        for n in 0..12 {
            assert_eq!(pair.ask(n % 3, &format!("s{n}"), set("first")), Reply::Ok);
        }
        // Two commands in a row from elsewhere: the session follows its user.
        for n in 0..12 {
            for _ in 0..3 {
                assert_eq!(pair.ask((n + 1) % 3, &format!("s{n}"), set("second")), Reply::Ok);
            }
        }
        pair.kill(1);
        pair.run(3_000);
        assert!(pair.is_settled(2), "the dead one is out: {:?}", pair.view);
        for n in 0..12 {
            for at in [0, 2] {
                assert_eq!(pair.ask(at, &format!("s{n}"), Command::Get), text("second"), "s{n} at {at} among {versions:?}");
            }
        }
    }
}

#[test]
fn runtimes_without_a_common_version_stay_apart() {
    let mut pair = Cluster::new(&[(1, 1), (2, 3)], &[PLAIN; 2], &[1; 2]);
    pair.run(2_000);
    assert!(pair.engine(0).status().links.iter().all(|link| !link.is_ready));
    assert!(!pair.is_settled(2));
}

#[test]
fn each_end_decides_for_itself_whether_it_compresses() {
    let mut pair = Cluster::new(&[(1, 1); 2], &[LZ4, PLAIN], &[1; 2]);
    pair.run(2_000);
    assert!(pair.is_settled(2));
    let long = "0123456789".repeat(1000);
    for n in 0..10 {
        assert_eq!(pair.ask(n % 2, &format!("s{n}"), set(&long)), Reply::Ok);
        assert_eq!(pair.ask((n + 1) % 2, &format!("s{n}"), Command::Get), text(&long));
        assert_eq!(pair.ask(n % 2, &format!("t{n}"), set("short")), Reply::Ok);
    }
    assert!(pair.packed[0] >= 5, "{:?}", pair.packed);
    assert_eq!(pair.packed[1], 0);
}

#[test]
fn a_link_has_as_many_connections_as_both_ends_want_and_gets_them_back() {
    for (wanted, agreed) in [([1, 1], 1), ([8, 3], 3), ([2, 8], 2), ([4, 4], 4)] {
        let mut pair = Cluster::new(&[(1, 1); 2], &[PLAIN; 2], &wanted);
        pair.run(2_000);
        let connections =
            |pair: &mut Cluster, at: usize| pair.engine(at).status().links[0].connections.iter().filter(|lane| lane.is_ready).count();
        assert_eq!([connections(&mut pair, 0), connections(&mut pair, 1), pair.conns.len()], [agreed; 3], "{wanted:?}");
        for n in 0..20 {
            let conn = *pair.conns.keys().next().expect("there are some");
            pair.disconnect(conn, None);
            assert_eq!(pair.ask(n % 2, &format!("s{n}"), set("x")), Reply::Ok);
        }
        pair.run(3_000);
        assert_eq!([connections(&mut pair, 0), connections(&mut pair, 1), pair.conns.len()], [agreed; 3], "{wanted:?}");
        let before = pair.last;
        pair.run(10_000);
        assert_eq!(pair.last, before, "nobody dials any more");
        assert!(pair.is_settled(2) && pair.view.version.epoch <= 4, "nobody was evicted for it: {:?}", pair.view.version);
    }
}

#[test]
fn a_connection_that_falls_silent_is_given_up_and_what_was_on_it_arrives() {
    let mut pair = Cluster::new(&[(1, 1); 2], &[PLAIN; 2], &[3, 3]);
    pair.run(2_000);
    let silent = *pair.conns.keys().next().expect("there are some");
    pair.silent.push(silent);
    for n in 0..10 {
        let (request, now) = (10_000 + n, pair.now);
        pair.engine(0).execute(now, request, Key::from(format!("s{n}")), set("x"));
    }
    pair.run(1_000);
    let lanes = pair.engine(0).status().links[0].connections.clone();
    assert!(lanes.len() == 3 && lanes.iter().all(|lane| lane.conn != ConnId(silent)), "{lanes:?}");
    for n in 0..10 {
        assert_eq!(pair.replies.remove(&(10_000 + n)), Some(Reply::Ok), "{n}");
    }
    assert!(pair.is_settled(2), "{:?}", pair.view);
}
