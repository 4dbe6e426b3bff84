//! Commands that wait for nobody are answered before anything else is done; all others wait as long as they have to.

use bytes::Bytes;
use holdfast_core::{Command, Reply};

use crate::cluster::{Cluster, set, text};

/// Numbers of requests that the cluster itself does not use.
const FIRST: u64 = 1 << 32;

/// What is answered at once by the member 0, and then everything else that follows.
fn at_once(cluster: &mut Cluster, number: u64, command: Command) -> Option<Reply> {
    let (now, request) = (cluster.now, FIRST + number);
    let engine = cluster.engine(0);
    engine.execute(now, request, Bytes::from_static(b"s"), command);
    engine.poll_reply(request)
}

#[test]
fn a_member_by_itself_answers_at_once_and_forgets_what_is_deleted() {
    let mut cluster = Cluster::settled(1, &[]);
    assert_eq!(cluster.ask(0, "s", set("1")), Reply::Ok);
    assert_eq!(at_once(&mut cluster, 0, set("2")), Some(Reply::Ok));
    assert_eq!(at_once(&mut cluster, 1, Command::Get), Some(text("2")));
    assert_eq!(at_once(&mut cluster, 2, Command::Delete), Some(Reply::Int(1)));
    assert_eq!(cluster.ask(0, "s", Command::Get), Reply::Nil);
    cluster.run(3_000);
    assert_eq!(cluster.engine(0).session(&Bytes::from_static(b"s")), None, "nothing is left of it");
}

#[test]
fn a_write_waits_for_its_copies_and_a_read_for_the_write() {
    let mut cluster = Cluster::settled(2, &[]);
    assert_eq!(cluster.ask(0, "s", set("1")), Reply::Ok);
    assert_eq!(at_once(&mut cluster, 0, Command::Get), Some(text("1")), "at rest it waits for nobody");
    assert_eq!(at_once(&mut cluster, 1, set("2")), None);
    assert_eq!(at_once(&mut cluster, 2, Command::Get), None, "it has seen a write that is not acknowledged");
    cluster.settle();
    assert_eq!(cluster.replies.get(&(FIRST + 1)), Some(&Reply::Ok));
    assert_eq!(cluster.replies.get(&(FIRST + 2)), Some(&text("2")));
}
