use proptest::prelude::*;

use super::*;
use crate::MemberSet;
use crate::wire::{Ident, Message};

fn data(key: Vec<u8>) -> Frame {
    Frame::Data { seq: 7, ack: 3, message: Message::Need { key: Bytes::from(key), term: 3 } }
}

fn beat(ack: u64) -> Frame {
    Frame::Heartbeat { ack, sent: 5, echo: None, lease: 0, asks: false, heard: MemberSet::EMPTY }
}

/// Bytes that no compression makes shorter.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(next).collect()
}

fn cut(encoded: &Bytes) -> Vec<Bytes> {
    let mut rest = encoded.clone();
    let mut segments = Vec::new();
    while !rest.is_empty() {
        segments.push(rest.split_to(first_segment(&rest)));
    }
    segments
}

fn decode_all(decoder: &mut Decoder, bytes: &mut BytesMut) -> Result<Vec<Frame>, WireError> {
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(bytes)? {
        frames.push(frame);
    }
    Ok(frames)
}

#[test]
fn a_frame_survives_any_split() {
    let bytes = encode(&data(b"sess:1".to_vec()));
    for split in 0..bytes.len() {
        let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::from(&bytes[..split]));
        assert_eq!(decoder.decode(&mut buffer), Ok(None), "split at {split}");
        buffer.extend_from_slice(&bytes[split..]);
        assert_eq!(decoder.decode(&mut buffer), Ok(Some(data(b"sess:1".to_vec()))), "split at {split}");
        assert!(buffer.is_empty());
    }
}

#[test]
fn a_flipped_bit_is_refused() {
    let frame = data(b"sess:1".to_vec());
    for bit in 0..encode(&frame).len() * 8 {
        let mut buffer = BytesMut::from(&encode(&frame)[..]);
        buffer[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(Decoder::default().decode(&mut buffer), Ok(Some(frame.clone())), "bit {bit}");
    }
}

#[test]
fn what_is_too_long_or_out_of_place_is_refused_by_its_first_bytes() {
    let refused = |flags: u8, length: usize| {
        let word = Word::new(flags, length);
        Decoder::default().decode(&mut BytesMut::from(&word.0.to_be_bytes()[..]))
    };
    for length in [0, SEGMENT + 1, 0x00ff_ffff] {
        assert_eq!(refused(BEGIN | END, length), Err(WireError::Length { length, limit: SEGMENT }));
    }
    for flags in [0, END, 16, 255, URGENT, URGENT | BEGIN, URGENT | PACKED | BEGIN | END] {
        assert!(matches!(refused(flags, 1), Err(WireError::Flags { .. })), "{flags:#x}");
    }
    assert_eq!(refused(BEGIN, SEGMENT), Ok(None));
}

#[test]
fn long_frames_are_cut_into_segments_and_signs_of_life_go_between() {
    for length in [SEGMENT - 40, SEGMENT - 8, SEGMENT, 3 * SEGMENT - 7, 1 << 20] {
        let frame = data(noise(length));
        let segments = cut(&encode(&frame));
        let payload = postcard::to_stdvec(&frame).expect("can be encoded").len();
        assert_eq!(segments.len(), payload.div_ceil(SEGMENT), "{length}");
        assert!(segments.iter().all(|segment| segment.len() <= HEADER + SEGMENT));
        let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
        for (n, segment) in segments.iter().enumerate() {
            buffer.extend_from_slice(segment);
            let whole = (n + 1 == segments.len()).then(|| frame.clone());
            assert_eq!(decoder.decode(&mut buffer), Ok(whole));
            buffer.extend_from_slice(&encode(&beat(n as u64)));
            assert_eq!(decoder.decode(&mut buffer), Ok(Some(beat(n as u64))));
        }
    }
}

#[test]
fn nothing_but_a_sign_of_life_goes_between_segments() {
    let segments = cut(&encode(&data(noise(2 * SEGMENT))));
    let other = encode(&data(b"other".to_vec()));
    let mut buffer = BytesMut::from(&[&segments[0][..], &other[..]].concat()[..]);
    assert!(matches!(Decoder::default().decode(&mut buffer), Err(WireError::Flags { .. })));
}

#[test]
fn only_a_sign_of_life_is_urgent() {
    assert!(is_urgent(&encode(&beat(1))) && !is_urgent(&encode(&data(Vec::new()))));
    let mut forged = BytesMut::new();
    let segments = Segments::new(&mut forged, URGENT);
    postcard::serialize_with_flavor(&data(Vec::new()), segments).expect("can be encoded");
    assert!(matches!(Decoder::default().decode(&mut forged), Err(WireError::Flags { .. })));
}

#[test]
fn a_frame_without_end_is_refused_at_the_limit() {
    let segments = cut(&encode(&data(noise(2 * SEGMENT + SEGMENT / 2))));
    let mut decoder = Decoder::default();
    let mut refused = None;
    decoder.decode(&mut BytesMut::from(&segments[0][..])).expect("the beginning");
    for n in 1..=MAX_FRAME / SEGMENT {
        if let Err(error) = decoder.decode(&mut BytesMut::from(&segments[1][..])) {
            refused = Some((n, error));
            break;
        }
    }
    assert_eq!(refused, Some((MAX_FRAME / SEGMENT, WireError::Length { length: MAX_FRAME + SEGMENT, limit: MAX_FRAME })));
}

#[test]
fn what_becomes_shorter_is_packed_and_nothing_else() {
    let mut encoder = Encoder::default();
    for (frame, shrinks) in [
        (data(vec![7; 100 << 10]), true),
        (data(b"0123456789abcdef".repeat(1000)), true),
        (data(vec![7; 900]), false),
        (data(noise(100 << 10)), false),
        (beat(1), false),
    ] {
        let (packed, plain) = (encoder.encode(&frame, true), encoder.encode(&frame, false));
        assert_eq!(packed.len() < plain.len() / 2, shrinks);
        assert_eq!(plain, encode(&frame));
        for mut bytes in [packed, plain].map(|bytes| BytesMut::from(&bytes[..])) {
            assert_eq!(Decoder::default().decode(&mut bytes), Ok(Some(frame.clone())));
        }
    }
}

#[test]
fn what_cannot_become_as_long_as_it_says_is_refused_before_anything_is_set_aside() {
    for (length, error) in [
        (MAX_FRAME + 1, WireError::Length { length: MAX_FRAME + 1, limit: MAX_FRAME }),
        (0, WireError::Length { length: 0, limit: MAX_FRAME }),
        (MAX_FRAME, WireError::Packed("it cannot become as long as announced")),
    ] {
        let payload = [&(length as u32).to_be_bytes()[..], &[0x1f; 100]].concat();
        assert_eq!(unpack(&payload), Err(error));
    }
    let block = block::compress(&[7; 5000]);
    let announced = |length: u32| unpack(&[&length.to_be_bytes()[..], &block[..]].concat());
    assert_eq!(announced(5000), Ok(vec![7; 5000]));
    assert!(announced(4999).is_err() && announced(5001).is_err());
}

#[test]
fn bytes_that_are_left_over_are_refused() {
    let mut payload = postcard::to_stdvec(&beat(1)).expect("can be encoded");
    payload.push(0);
    let mut bytes = BytesMut::new();
    let mut segments = Segments::new(&mut bytes, URGENT);
    segments.put(&payload);
    segments.finish();
    assert_eq!(Decoder::default().decode(&mut bytes), Err(WireError::Trailing(1)));
}

#[test]
fn a_place_that_no_member_can_have_is_refused() {
    let word = |id: u8| postcard::from_bytes::<crate::NodeId>(&[id]);
    assert!(word(63).is_ok() && word(64).is_err() && word(255).is_err());
}

#[test]
fn an_encoder_keeps_nothing_of_a_long_frame() {
    let mut encoder = Encoder::default();
    drop(encoder.encode(&data(vec![7; 4 << 20]), true));
    drop(encoder.encode(&data(noise(4 << 20)), false));
    assert!(encoder.plain.capacity() <= SCRATCH && encoder.packed.capacity() <= SCRATCH);
    assert!(encoder.buffer.capacity() <= CHUNK);
}

#[test]
fn versions_are_agreed_upon() {
    let ident = |versions| Ident {
        versions,
        cluster: String::new(),
        member: crate::Member { id: crate::NodeId::new(0).expect("a place"), incarnation: 1 },
        pod_uid: String::new(),
        connections: 1,
        capabilities: Default::default(),
        more: Default::default(),
    };
    for (theirs, ours, agreed) in [
        ((1, 1), (1, 1), Some(1)),
        ((1, 2), (1, 1), Some(1)),
        ((1, 1), (1, 2), Some(1)),
        ((2, 5), (3, 4), Some(4)),
        ((1, 2), (3, 4), None),
        ((3, 4), (1, 2), None),
    ] {
        assert_eq!(ident(theirs).version(ours), agreed, "{theirs:?} and {ours:?}");
    }
}

fn any_frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        any::<u64>().prop_map(beat),
        (any::<u8>(), 0..200_usize).prop_map(|(byte, length)| data(vec![byte; length])),
        (any::<u8>(), 0..150_000_usize).prop_map(|(byte, length)| data(vec![byte; length])),
        (0..150_000_usize).prop_map(|length| data(noise(length))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_frames_in_any_pieces_come_out_in_order(
        frames in proptest::collection::vec((any_frame(), any::<bool>()), 1..8),
        pieces in proptest::collection::vec(1..100_000_usize, 1..20),
    ) {
        let mut encoder = Encoder::default();
        let bytes: Vec<u8> = frames.iter().flat_map(|(frame, may_pack)| encoder.encode(frame, *may_pack)).collect();
        let (mut decoder, mut buffer, mut out) = (Decoder::default(), BytesMut::new(), Vec::new());
        let mut rest = &bytes[..];
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*piece));
            buffer.extend_from_slice(now);
            out.extend(decode_all(&mut decoder, &mut buffer).expect("right"));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(out, frames.into_iter().map(|(frame, _)| frame).collect::<Vec<_>>());
    }

    #[test]
    fn signs_of_life_go_anywhere_between_segments(
        frames in proptest::collection::vec(any_frame(), 1..6),
        places in proptest::collection::vec(0..6_u64, 1..30),
    ) {
        let mut bytes = BytesMut::new();
        let segments: Vec<Bytes> = frames.iter().flat_map(|frame| cut(&encode(frame))).collect();
        for (segment, beats) in segments.iter().zip(places.iter().cycle()) {
            bytes.extend_from_slice(segment);
            (0..*beats).for_each(|ack| bytes.extend_from_slice(&encode(&beat(ack))));
        }
        let out = decode_all(&mut Decoder::default(), &mut bytes).expect("right");
        let data = |frame: &&Frame| !frame.is_urgent();
        let (out, frames): (Vec<&Frame>, Vec<&Frame>) = (out.iter().filter(data).collect(), frames.iter().filter(data).collect());
        prop_assert_eq!(out, frames);
    }

    #[test]
    fn garbage_is_refused_and_not_kept(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut decoder = Decoder::default();
        let mut buffer = BytesMut::from(&bytes[..]);
        let _ = decode_all(&mut decoder, &mut buffer);
        prop_assert!(decoder.partial.is_none_or(|partial| partial.bytes.len() <= bytes.len()));
    }

    #[test]
    fn garbage_with_the_right_checksum_is_no_panic(
        flags in 0..16_u8,
        payload in proptest::collection::vec(any::<u8>(), 1..300),
    ) {
        let word = Word::new(flags, payload.len());
        let bytes = [&word.0.to_be_bytes()[..], &word.checksum(&payload).to_be_bytes()[..], &payload[..]].concat();
        let _ = decode_all(&mut Decoder::default(), &mut BytesMut::from(&bytes[..]));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed(frame in any_frame(), may_pack in any::<bool>(), place in any::<prop::sample::Index>()) {
        let encoded = Encoder::default().encode(&frame, may_pack);
        let mut bytes = BytesMut::from(&encoded[..]);
        let bit = place.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let out = decode_all(&mut Decoder::default(), &mut bytes);
        prop_assert!(out.is_err() || out == Ok(Vec::new()), "{:?}", out);
    }
}
