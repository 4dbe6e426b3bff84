use holdfast_support::resp::request;
use proptest::prelude::*;

use super::*;

const MAX_BYTES: u64 = 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Request(Vec<Vec<u8>>),
    TooLarge(u64, bool),
    Error(ProtocolError),
}

/// Feeds `input` in pieces that end at `cuts`, and returns all that comes out, and the most bytes that were buffered.
fn feed(input: &[u8], cuts: &[usize]) -> (Vec<Event>, usize) {
    let mut parser = Parser::new(Limits::new(MAX_BYTES));
    let (mut buffer, mut events, mut most, mut start) = (BytesMut::new(), Vec::new(), 0, 0);
    for end in cuts.iter().copied().filter(|cut| *cut < input.len()).chain([input.len()]) {
        buffer.extend_from_slice(&input[start..end.max(start)]);
        start = end.max(start);
        most = most.max(buffer.len());
        loop {
            events.push(match parser.next(&mut buffer) {
                Ok(None) => break,
                Ok(Some(Incoming::Request(request))) => {
                    Event::Request((0..request.len()).map(|index| request.get(index).to_vec()).collect())
                }
                Ok(Some(Incoming::TooLarge { size, one })) => Event::TooLarge(size, one),
                Err(error) => {
                    events.push(Event::Error(error));
                    return (events, most);
                }
            });
        }
    }
    (events, most)
}

fn whole(input: &[u8]) -> Vec<Event> {
    feed(input, &[]).0
}

fn words(words: &[&[u8]]) -> Event {
    Event::Request(words.iter().map(|word| word.to_vec()).collect())
}

#[test]
fn requests_and_typed_lines_follow_each_other() {
    let input = [&request(&[b"GET", b"a\r\nb"])[..], b"PING\r\n", b"\r\n", b"*0\r\n*-1\r\n", b"get 'x y'\n", &request(&[b""])].concat();
    let expected = [words(&[b"GET", b"a\r\nb"]), words(&[b"PING"]), words(&[b"get", b"x y"]), words(&[b""])];
    assert_eq!(whole(&input), expected);
}

#[test]
fn what_is_not_the_protocol_is_told_apart() {
    use ProtocolError::*;
    let endless = |first: &[u8]| [first, &vec![b'1'; MAX_LINE + 1][..]].concat();
    let cases: Vec<(Vec<u8>, ProtocolError)> = vec![
        (b"*x\r\n".to_vec(), Count),
        (b"*1000000000\r\n".to_vec(), Count),
        (b"*1048577\r\n".to_vec(), Count),
        (b"*99999999999999999999\r\n".to_vec(), Count),
        (b"* 1\r\n".to_vec(), Count),
        (b"*\r\n".to_vec(), Count),
        (b"*1\n".to_vec(), NoLineEnd),
        (b"*1\r$3\r\nGET\r\n".to_vec(), Count),
        (b"*1\r\nX".to_vec(), NoArgument(b'X')),
        (b"*1\r\n*1\r\n$1\r\na\r\n".to_vec(), NoArgument(b'*')),
        (b"*1\r\n:5\r\n".to_vec(), NoArgument(b':')),
        (b"*1\r\n$-1\r\n".to_vec(), Length),
        (b"*1\r\n$x\r\n".to_vec(), Length),
        (b"*1\r\n$536870913\r\n".to_vec(), Length),
        (b"*1\r\n$3\r\nGETxx".to_vec(), NoLineEnd),
        (b"*1\r\n$3\r\nGET\rx".to_vec(), NoLineEnd),
        (b"*1\r\n$2\r\nGET\r\n".to_vec(), NoLineEnd),
        (b"get \"a\r\n".to_vec(), Quotes),
        (endless(b"*"), EndlessCount),
        (endless(b"*1\r\n$"), EndlessLength),
        (endless(b"a"), EndlessInline),
    ];
    for (input, error) in cases {
        assert_eq!(whole(&input).last(), Some(&Event::Error(error)), "{:?}", String::from_utf8_lossy(&input[..input.len().min(40)]));
    }
}

#[test]
fn a_stranger_may_send_little() {
    let read = |input: &[u8]| {
        let mut parser = Parser::new(Limits::new(MAX_BYTES));
        parser.set_stranger(true);
        let mut buffer = BytesMut::from(input);
        parser.next(&mut buffer).map(|incoming| incoming.is_some())
    };
    assert_eq!(read(b"*11\r\n"), Err(ProtocolError::StrangerCount));
    assert_eq!(read(b"*1\r\n$16385\r\n"), Err(ProtocolError::StrangerLength));
    assert_eq!(read(&request(&[&b"x".repeat(16 << 10)[..]; 10])), Ok(true));
}

#[test]
fn a_large_argument_is_read_past_and_the_connection_goes_on() {
    let large = vec![b'x'; (MAX_BYTES + ROOM) as usize];
    let input = [request(&[b"SET", b"k", &large, b"EX", b"5"]), request(&[b"PING"])].concat();
    let cuts: Vec<usize> = (0..input.len()).step_by(4096).collect();
    let (events, most) = feed(&input, &cuts);
    assert_eq!(events, [Event::TooLarge(MAX_BYTES + ROOM, true), words(&[b"PING"])]);
    assert!(most < 10_000, "{most} bytes were kept of a request that is dropped");
}

#[test]
fn a_request_of_many_arguments_has_the_same_limit() {
    let key = [b'k'; 99];
    let keys: Vec<&[u8]> = std::iter::once(&b"DEL"[..]).chain(std::iter::repeat_n(&key[..], 20_000)).collect();
    let input = [request(&keys), request(&[b"PING"])].concat();
    let cuts: Vec<usize> = (0..input.len()).step_by(4096).collect();
    let (events, most) = feed(&input, &cuts);
    assert!(matches!(events[..], [Event::TooLarge(_, false), Event::Request(_)]), "{events:?}");
    assert!(most as u64 <= MAX_BYTES + ROOM + 4096, "{most}");
}

#[test]
fn the_largest_value_fits_beside_its_key() {
    let (key, value) = (vec![b'k'; 16 << 10], vec![b'v'; MAX_BYTES as usize]);
    let set: [&[u8]; 3] = [b"SET", &key, &value];
    assert_eq!(whole(&request(&set)), [words(&set)]);
}

#[test]
fn a_request_of_half_a_gigabyte_and_more_ends_the_connection() {
    let piece = vec![b'x'; 1 << 20];
    let mut parser = Parser::new(Limits::new(MAX_BYTES));
    let mut buffer = BytesMut::from(&b"*600\r\n"[..]);
    for read in 0.. {
        buffer.extend_from_slice(format!("${}\r\n", piece.len()).as_bytes());
        buffer.extend_from_slice(&piece);
        buffer.extend_from_slice(b"\r\n");
        match parser.next(&mut buffer) {
            Ok(None) => assert!(read < 520, "no limit"),
            Ok(other) => panic!("{other:?}"),
            Err(error) => return assert_eq!((error, read > 500), (ProtocolError::TooLarge, true)),
        }
    }
}

#[test]
fn room_is_made_only_for_what_arrives() {
    let mut parser = Parser::new(Limits::new(64 << 20));
    let mut buffer = BytesMut::from(&b"*2\r\n$3\r\nGET\r\n$60000000\r\n"[..]);
    assert_eq!(parser.next(&mut buffer), Ok(None));
    assert!(parser.wanted(&buffer) <= 16 << 10);
    buffer.extend_from_slice(&[b'x'; 16 << 10]);
    assert_eq!(parser.next(&mut buffer), Ok(None));
    assert_eq!(parser.wanted(&buffer), 60_000_000 - (16 << 10) + 2);
}

/// Requests, typed lines, and things that are neither.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::collection::vec(any::<u8>(), 0..30);
    prop_oneof![
        6 => prop::collection::vec(word, 1..5).prop_map(|words| request(&words.iter().map(Vec::as_slice).collect::<Vec<_>>())),
        2 => "[a-zA-Z \"'\\\\x0-9]{0,20}\r?\n".prop_map(String::into_bytes),
        1 => (MAX_BYTES + ROOM - 100..MAX_BYTES + ROOM + 10).prop_map(|length| request(&[b"SET", b"key", &vec![7; length as usize]])),
        1 => "[*$:0-9a\r\n -]{0,12}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_pieces_in_which_bytes_arrive_do_not_matter(
        pieces in prop::collection::vec(piece(), 0..6),
        cuts in prop::collection::btree_set(0..400_usize, 0..40),
        stride in 1..50_000_usize,
    ) {
        let input = pieces.concat();
        let cuts: Vec<usize> = cuts.into_iter().chain((400..input.len()).step_by(stride)).collect();
        prop_assert_eq!(whole(&input), feed(&input, &cuts).0);
    }

    #[test]
    fn a_small_input_byte_by_byte_is_the_same_as_whole(pieces in prop::collection::vec("[*$0-9a\r\n\"' -]{0,12}", 0..8)) {
        let input = pieces.concat().into_bytes();
        let cuts: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(whole(&input), feed(&input, &cuts).0);
    }

    #[test]
    fn a_request_is_read_as_it_was_written(sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20)) {
        let sent: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(whole(&request(&sent)), [words(&sent)]);
    }

    #[test]
    fn a_pipeline_may_be_cut_anywhere(
        sent in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..4), 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let sent: Vec<Vec<&[u8]>> = sent.iter().map(|words| words.iter().map(Vec::as_slice).collect()).collect();
        let input = sent.iter().map(|words| request(words)).collect::<Vec<_>>().concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len())).collect();
        cuts.sort_unstable();
        prop_assert_eq!(feed(&input, &cuts).0, sent.iter().map(|sent| words(sent)).collect::<Vec<_>>());
    }

    #[test]
    fn lengths_that_promise_a_lot_take_nothing(
        count in prop_oneof![1..=MAX_ARGUMENTS, any::<i64>()],
        lengths in prop::collection::vec(prop_oneof![0..20_i64, 0..=MAX_DISCARDED as i64, any::<i64>()], 0..6),
    ) {
        let mut parser = Parser::new(Limits::new(64 << 20));
        let mut buffer = BytesMut::from(format!("*{count}\r\n").as_bytes());
        for length in lengths {
            buffer.extend_from_slice(format!("${length}\r\n").as_bytes());
            match length {
                0..20 => buffer.extend_from_slice(&[&vec![b'x'; length as usize][..], b"\r\n"].concat()),
                _ => break,
            }
        }
        // Whether it is a request, a part of one, or none.
        let _ = parser.next(&mut buffer).map(|incoming| incoming.is_some());
        prop_assert!(parser.wanted(&buffer) <= 16 << 10);
        prop_assert!(buffer.capacity() < 1 << 10 && parser.arguments.capacity() <= 8);
    }

    #[test]
    fn garbage_never_panics(input in prop::collection::vec(any::<u8>(), 0..2000)) {
        whole(&input);
    }
}
