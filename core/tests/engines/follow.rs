//! Keys that are sessions move with their users; all others belong to their homes.

use holdfast_core::{Command, NodeId, Reply, placement};

use crate::cluster::{Cluster, set, text};

/// Who owns a key.
fn owner(cluster: &mut Cluster, key: &str) -> NodeId {
    let members: Vec<usize> = (0..cluster.engines.len()).filter(|at| cluster.engines[*at].is_some()).collect();
    let key = key.to_owned().into();
    let session = members.into_iter().find_map(|at| cluster.engine(at).session(&key)).expect("somebody holds it");
    session.owner.id
}

fn home(cluster: &Cluster, key: &str) -> NodeId {
    placement::home(cluster.view.full(), placement::position(key.as_bytes())).expect("there are members")
}

fn id(at: usize) -> NodeId {
    NodeId::new(at as u8).expect("a place")
}

#[test]
fn a_session_moves_with_its_user_and_a_lock_stays_at_home() {
    let mut cluster = Cluster::settled(3, &["sess:*"]);
    for n in 0..12 {
        for key in [format!("sess:{n}"), format!("lock:{n}")] {
            for at in [0, 1, 1, 1, 2, 2, 2, 2, 2] {
                assert_eq!(cluster.ask(at, &key, set("x")), Reply::Ok);
            }
        }
        assert_eq!(owner(&mut cluster, &format!("sess:{n}")), id(2), "its user is there");
        let lock = format!("lock:{n}");
        assert_eq!(owner(&mut cluster, &lock), home(&cluster, &lock));
    }
}

#[test]
fn a_key_that_belongs_to_its_home_goes_to_a_new_one_by_itself() {
    let mut cluster = Cluster::settled(3, &["sess:*"]);
    let keys: Vec<String> = (0..30).map(|n| format!("lock:{n}")).collect();
    for key in &keys {
        assert_eq!(cluster.ask(0, key, set("x")), Reply::Ok);
    }
    cluster.kill(1);
    cluster.run(3_000);
    assert!(cluster.is_settled(2), "{:?}", cluster.view);
    cluster.restart(1);
    cluster.run(3_000);
    assert!(cluster.is_settled(3), "{:?}", cluster.view);
    for key in &keys {
        assert_eq!(owner(&mut cluster, key), home(&cluster, key), "{key}");
        assert_eq!(cluster.ask(2, key, Command::Get), text("x"), "{key}");
    }
    assert!(keys.iter().any(|key| home(&cluster, key) == id(1)), "some of them are at the new member");
}
