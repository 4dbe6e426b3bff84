//! What a scan lists.

use holdfast_core::engine::Output;
use holdfast_core::{Command, Key, Reply};

use crate::cluster::{Cluster, set};

/// How many frames there may be between a delete and its end.
const FRAMES: usize = 40;

/// All keys, as the member there lists them.
fn listed(cluster: &mut Cluster, at: usize) -> Vec<Key> {
    let now = cluster.now;
    cluster.engine(at).scan(now, 0, 0, 1000);
    cluster.run(500);
    let pages: Vec<_> = std::mem::take(&mut cluster.told)
        .into_iter()
        .filter_map(|(_, output)| match output {
            Output::ScanReply { page, .. } => Some(page.expect("the members are there")),
            _ => None,
        })
        .collect();
    let [page] = pages.as_slice() else { panic!("{pages:?}") };
    assert_eq!(page.cursor, 0, "all are in one page");
    page.keys.clone()
}

#[test]
fn a_session_that_was_deleted_is_not_listed_on_its_way_home() {
    let mut cluster = Cluster::settled(3, &[]);
    for frames in 0..FRAMES {
        for at in 0..3 {
            let key = format!("session-{frames}-{at}");
            assert_eq!(cluster.ask(0, &key, set("x")), Reply::Ok);
            let (request, now) = (u64::MAX, cluster.now);
            cluster.engine(0).execute(now, request, Key::from(key.clone()), Command::Delete);
            while !cluster.replies.contains_key(&request) {
                assert!(cluster.step(), "it is answered");
            }
            cluster.replies.clear();
            cluster.tick();
            for _ in 0..frames {
                cluster.step();
            }
            assert_eq!(listed(&mut cluster, at), Vec::<Key>::new(), "{key}");
        }
    }
}

#[test]
fn a_session_is_listed_until_its_delete_is_answered() {
    let mut cluster = Cluster::settled(3, &[]);
    assert_eq!(cluster.ask(0, "session", set("x")), Reply::Ok);
    assert_eq!(listed(&mut cluster, 1), ["session"]);
    assert_eq!(cluster.ask(2, "session", Command::Delete), Reply::Int(1));
    assert_eq!(listed(&mut cluster, 1), Vec::<Key>::new());
}
