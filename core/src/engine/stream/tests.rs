use super::*;
use crate::view::NodeId;

const LIMIT: u64 = 1 << 20;

fn member() -> Member {
    Member { id: NodeId::new(1).expect("a place"), incarnation: 7 }
}

fn link(lanes: u64) -> Link {
    let mut link = Link::new(member(), 0, Terms { version: 1, connections: 8, packs: false }, LinkCounters::default());
    for conn in 1..=lanes {
        link.attach(0, ConnId(conn));
        link.lane(ConnId(conn)).expect("attached").ready = true;
    }
    link
}

fn message(n: u64) -> Message {
    Message::Confirm { epoch: n }
}

fn large() -> Message {
    Message::Need { key: Bytes::from(vec![7; STRIPE as usize]), term: 1 }
}

fn push(link: &mut Link, now: Millis, message: Message) -> Option<u64> {
    link.push(now, message).map(|(conn, _)| conn.0)
}

#[test]
fn without_a_connection_messages_wait() {
    let mut link = link(0);
    assert_eq!(push(&mut link, 0, message(1)), None);
    assert!(link.resend().is_empty());
    link.attach(0, ConnId(5));
    assert_eq!(push(&mut link, 0, message(2)), None, "the peer has not resumed yet");
    link.lane(ConnId(5)).expect("attached").ready = true;
    assert_eq!(link.resend().len(), 2);
    assert_eq!((link.counters.sent, link.counters.resent), (2, 0));
}

#[test]
fn what_is_said_in_one_go_stays_together_and_more_is_spread() {
    let mut link = link(3);
    let used: Vec<Option<u64>> = (0..9).map(|_| push(&mut link, 0, large())).collect();
    let mut first: Vec<u64> = used[..3].iter().flatten().copied().collect();
    first.sort_unstable();
    assert_eq!(first, [1, 2, 3], "{used:?}");
    for conn in 1..=3 {
        assert_eq!(used.iter().filter(|used| **used == Some(conn)).count(), 3, "{used:?}");
    }
    let before = push(&mut link, 0, message(1));
    assert!((0..100).all(|n| push(&mut link, 0, message(n)) == before));
}

#[test]
fn what_was_on_a_lost_connection_goes_on_the_others() {
    let mut link = link(2);
    for _ in 0..6 {
        push(&mut link, 0, large());
    }
    assert!(link.detach(ConnId(1)) && !link.detach(ConnId(1)));
    let again = link.resend();
    assert_eq!(again.len(), 3);
    assert!(again.iter().all(|(conn, _)| *conn == ConnId(2)));
    assert_eq!(link.counters.resent, 3);
    link.acknowledged(0, 4);
    link.detach(ConnId(2));
    assert!(link.resend().is_empty(), "there is no connection");
    link.attach(0, ConnId(3));
    link.lane(ConnId(3)).expect("attached").ready = true;
    assert_eq!(link.resend().len(), 2, "only what is not acknowledged");
}

#[test]
fn acknowledgements_are_cumulative_and_may_come_late_twice_or_from_nowhere() {
    let mut link = link(2);
    for n in 0..4 {
        push(&mut link, 10 * n, message(n));
    }
    link.acknowledged(50, 2);
    link.acknowledged(60, 1);
    link.acknowledged(60, 2);
    assert_eq!(link.unacked_frames(), 2);
    link.acknowledged(70, u64::MAX);
    assert_eq!((link.unacked_frames(), link.unacked_bytes), (0, 0));
    assert!(link.lanes.iter().all(|lane| lane.outstanding == 0));
    let counters = link.counters;
    assert_eq!((counters.acknowledged, counters.wait_total, counters.wait_longest), (4, 50 + 40 + 50 + 40, 50));
}

#[test]
fn messages_are_taken_in_the_order_of_their_numbers_whatever_came_first() {
    let mut link = link(3);
    assert_eq!(link.arrived(3, message(3), LIMIT), Arrived::Kept);
    assert_eq!(link.arrived(2, message(2), LIMIT), Arrived::Kept);
    assert_eq!(link.arrived(2, message(2), LIMIT), Arrived::Kept, "a copy");
    assert_eq!(link.next_early(), None);
    assert_eq!(link.arrived(1, message(1), LIMIT), Arrived::Next(message(1)));
    assert_eq!(link.next_early(), Some(message(2)));
    assert_eq!(link.next_early(), Some(message(3)));
    assert_eq!(link.next_early(), None);
    assert_eq!(link.arrived(2, message(2), LIMIT), Arrived::Kept, "late, from a connection that was lost");
    assert_eq!((link.counters.received, link.counters.duplicates, link.early_bytes), (3, 2, 0));
}

#[test]
fn what_waits_for_an_earlier_message_is_bounded() {
    let mut link = link(2);
    assert_eq!(link.arrived(2, large(), 1), Arrived::Kept, "one fits, however large");
    assert_eq!(link.arrived(3, message(3), 1), Arrived::Overflow);
    assert_eq!(link.counters.overflows, 1);
    for seq in 4..100_000 {
        link.arrived(seq, message(seq), STRIPE + (64 << 10));
    }
    assert!(link.early_bytes <= STRIPE + (64 << 10) && link.early.len() < 600, "{}", link.early.len());
    assert_eq!(link.arrived(1, message(1), 1), Arrived::Next(message(1)));
    assert_eq!(link.next_early(), Some(large()));
}

#[test]
fn what_the_peer_never_acknowledged_counts_as_not_transferred() {
    let mut link = link(1);
    for n in 0..5 {
        push(&mut link, 0, message(n));
    }
    link.acknowledged(0, 3);
    assert_eq!(link.end().not_transferred, 2);
}

/// Two ends whose connections break at any time, lose what was under way or deliver it late, and deliver in any order between them.
#[test]
fn a_stream_over_breaking_connections_arrives_once_and_in_order() {
    for seed in 0..40_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        let mut draw = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let (mut from, mut to) = (link(3), link(0));
        let mut wires: BTreeMap<ConnId, VecDeque<Bytes>> = BTreeMap::new();
        let (mut next_conn, mut sent, mut taken) = (4, 0_u64, 0_u64);
        while taken < 200 {
            let mut out = Vec::new();
            match draw(12) {
                0..=4 if sent < 200 => {
                    sent += 1;
                    out.extend(from.push(0, if draw(4) == 0 { large() } else { message(sent) }));
                }
                5 if from.lanes.len() > 1 || draw(3) == 0 => {
                    let lanes = from.lanes.len().max(1);
                    let Some(conn) = from.lanes.get(draw(lanes)).map(|lane| lane.conn) else { continue };
                    // What is under way may be lost from some point on, or still arrive.
                    let wire = wires.entry(conn).or_default();
                    wire.truncate(draw(wire.len() + 1));
                    from.detach(conn);
                    out.extend(from.resend());
                }
                6 if from.lanes.len() < 3 => {
                    from.attach(0, ConnId(next_conn));
                    from.lane(ConnId(next_conn)).expect("attached").ready = true;
                    from.acknowledged(0, to.last);
                    next_conn += 1;
                    out.extend(from.resend());
                }
                7 => from.acknowledged(0, to.last),
                _ => {
                    let busy: Vec<ConnId> = wires.iter().filter(|(_, wire)| !wire.is_empty()).map(|(conn, _)| *conn).collect();
                    if busy.is_empty() {
                        continue;
                    }
                    let bytes = wires.get_mut(&busy[draw(busy.len())]).and_then(VecDeque::pop_front).expect("it is busy");
                    let frame = crate::wire::Decoder::default().decode(&mut bytes::BytesMut::from(&bytes[..]));
                    let Ok(Some(Frame::Data { seq, message: content, .. })) = frame else { panic!("{frame:?}") };
                    let mut arrived = match to.arrived(seq, content, LIMIT << 10) {
                        Arrived::Next(content) => Some(content),
                        _ => None,
                    };
                    while let Some(now) = arrived {
                        taken += 1;
                        assert!(now == message(taken) || now == large(), "seed {seed}");
                        arrived = to.next_early();
                    }
                }
            }
            for (conn, bytes) in out {
                wires.entry(conn).or_default().push_back(bytes);
            }
        }
        assert_eq!((to.last, to.early_bytes), (200, 0), "seed {seed}");
    }
}
