//! The bytes of the wire format, for ever: each recorded frame decodes to the value that it was recorded from, and encodes to the same bytes.
//!
//! `HOLDFAST_RECORD_CORPUS=1 cargo test -p holdfast-core --test corpus` writes the file anew. That is right for a new entry, and wrong for a changed one as
//! soon as any version was released: members that run it could not read it any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use holdfast_core::value::{Change, Data, Image};
use holdfast_core::wire::{Capabilities, Decoder, Encoder, Frame, Ident, Message, PutKind, Report, ReportKind, encode};
use holdfast_core::{
    Command, CommandError, Comparison, Condition, ExpireCondition, Expiry, Guard, Member, MemberBound, MemberSet, MemberState, NodeId,
    Notice, Place, Range, Reply, ScanPart, Score, ScoreBound, ValueType, Version, View, ViewEntry,
};
use proptest::prelude::*;
use serde::de::DeserializeOwned;

fn id(id: u8) -> NodeId {
    NodeId::new(id).expect("a place")
}

fn set(ids: &[u8]) -> MemberSet {
    ids.iter().map(|place| id(*place)).collect()
}

fn key() -> Bytes {
    Bytes::from_static(b"sess:4f2a")
}

fn member() -> Member {
    Member { id: id(2), incarnation: 1_760_000_000_000_123 }
}

fn image() -> Image {
    Image { data: Data::String(Bytes::from_static(b"\x00value\xff")), ttl: Some(1_800_000), slack: 30_000 }
}

fn fields() -> Vec<(Bytes, Bytes)> {
    vec![(Bytes::from_static(b"cart"), Bytes::from_static(b"3")), (Bytes::from_static(b"user"), Bytes::new())]
}

fn ident() -> Ident {
    Ident {
        versions: (1, 1),
        cluster: "shop".into(),
        member: member(),
        pod_uid: "5f0c7a52-5c1b-4d6c-9d0e-2f6a1f3e7b11".into(),
        connections: 4,
        capabilities: Capabilities(1),
        more: BTreeMap::from([(700, Bytes::from_static(b"unknown"))]),
    }
}

fn view() -> View {
    let entry = |place: u8, state| {
        let entry = ViewEntry {
            name: format!("shop-{place}"),
            incarnation: u64::from(place) << 40 | 5,
            pod_uid: format!("uid-{place}"),
            state,
            place: Place { zone: "zone-a".into(), domain: String::new() },
        };
        (id(place), entry)
    };
    let members = [entry(0, MemberState::Join), entry(1, MemberState::Full), entry(63, MemberState::Leave)];
    View { version: Version { epoch: 300, sub: 1 }, copies: 2, budget: 1, is_lossy: false, members: members.into() }
}

fn report(kind: ReportKind) -> Report {
    Report { key: key(), kind, term: 1 << 20, seq: 7, owner: member(), holders: set(&[0, 63]) }
}

fn kinds() -> Vec<PutKind> {
    vec![
        PutKind::Image(None),
        PutKind::Image(Some(image())),
        PutKind::Image(Some(Image { data: Data::Hash(fields().into_iter().collect()), ttl: None, slack: 0 })),
        PutKind::Delta(Change::Replace(image())),
        PutKind::Delta(Change::Delete),
        PutKind::Delta(Change::Retime(Some(5))),
        PutKind::Delta(Change::Fields { set: fields(), removed: vec![Bytes::from_static(b"old")] }),
        PutKind::Retag { term: 99, seq: 3 },
    ]
}

fn commands() -> Vec<Command> {
    let (field, value) = (Bytes::from_static(b"cart"), Bytes::from_static(b"3"));
    let condition = Condition::IfPresent;
    vec![
        Command::Get,
        Command::Set { value: value.clone(), expiry: Expiry::After(1000), condition, return_old: true },
        Command::Set { value: value.clone(), expiry: Expiry::Keep, condition: Condition::Always, return_old: false },
        Command::GetEx { expiry: Expiry::Never },
        Command::GetDel,
        Command::Delete,
        Command::Exists,
        Command::Type,
        Command::Expire { millis: -1, condition: ExpireCondition::IfSomeAndShorter },
        Command::Persist,
        Command::Ttl,
        Command::HashSet { fields: fields() },
        Command::HashSetIfAbsent { field: field.clone(), value },
        Command::HashGet { fields: vec![field.clone()] },
        Command::HashGetAll,
        Command::HashDelete { fields: vec![field] },
    ]
}

/// Those that came with version 2.
fn commands_of_2() -> Vec<Command> {
    let (member, value) = (Bytes::from_static(b"cart"), Bytes::from_static(b"3"));
    let (members, condition) = (vec![member.clone()], Condition::IfAbsent);
    let ranges = [
        Range::Ranks(0, -1),
        Range::Scores(
            ScoreBound { score: score(1.5), is_exclusive: true },
            ScoreBound { score: score(f64::INFINITY), is_exclusive: false },
        ),
        Range::Members(MemberBound::First, MemberBound::Last),
        Range::Members(MemberBound::Inclusive(member.clone()), MemberBound::Exclusive(value.clone())),
    ];
    let mut commands = vec![
        Command::Batch { guard: Guard::None, commands: vec![Command::Get, Command::Delete] },
        Command::Batch { guard: Guard::Unchanged(1 << 100), commands: Vec::new() },
        Command::Batch { guard: Guard::Equals(value.clone()), commands: vec![Command::Ttl] },
        Command::Fingerprint,
        Command::Dump,
        Command::MoveAway,
        Command::MoveHere { image: image(), condition },
        Command::Length { kind: ValueType::SortedSet },
        Command::Increment { by: -7 },
        Command::Append { value: value.clone() },
        Command::HashIncrement { field: member.clone(), by: 1 },
        Command::SetAdd { members: members.clone() },
        Command::SetRemove { members: members.clone() },
        Command::SetGet { members: members.clone() },
        Command::SetGetAll,
        Command::SortedSetAdd {
            entries: vec![(member.clone(), score(-0.5))],
            condition,
            comparison: Comparison::Higher,
            counts_changed: true,
        },
        Command::SortedSetIncrement { member: member.clone(), by: score(1.0), condition, comparison: Comparison::Lower },
        Command::SortedSetRemove { members: members.clone() },
        Command::SortedSetScores { members },
        Command::SortedSetRank { member, is_reverse: true },
        Command::SortedSetRange { range: ranges[0].clone(), is_reverse: true, skip: 1, count: 10 },
        Command::SortedSetCount { range: ranges[1].clone() },
        Command::Claim,
    ];
    commands.extend(ranges.map(|range| Command::SortedSetRemoveRange { range }));
    commands
}

fn score(score: f64) -> Score {
    Score::new(score).expect("a number")
}

fn replies_of_2() -> Vec<Reply> {
    let member = Bytes::from_static(b"cart");
    let mut replies = vec![
        Reply::Type(ValueType::Set),
        Reply::Batch(vec![Reply::Ok, Reply::Error(CommandError::WrongType)]),
        Reply::Refuted,
        Reply::Fingerprint(1 << 100),
        Reply::Image(image()),
        Reply::Score(score(1.5)),
        Reply::Scores(vec![None, Some(score(-1.0))]),
        Reply::Scored(vec![(member, score(0.0))]),
    ];
    replies.extend(errors_of_2().into_iter().map(Reply::Error));
    replies
}

fn errors_of_2() -> Vec<CommandError> {
    vec![
        CommandError::NotAnInteger,
        CommandError::FieldNotAnInteger,
        CommandError::Overflow,
        CommandError::NestedBatch,
        CommandError::NotAScore,
        CommandError::OutOfMemory { bytes: 70_000, budget: 80_000 },
        CommandError::TooManySessions { limit: 9 },
        CommandError::AnswerTooLarge { limit: 16_777_216 },
    ]
}

fn kinds_of_2() -> Vec<PutKind> {
    let (value, member) = (Bytes::from_static(b"3"), Bytes::from_static(b"cart"));
    let data = [Data::Set([member.clone()].into()), Data::SortedSet(Box::new(vec![(member.clone(), score(2.0))].into()))];
    let changes = [
        Change::Several(vec![Change::Retime(Some(5)), Change::Delete]),
        Change::Rewrite(value.clone()),
        Change::Append(value.clone()),
        Change::Members { added: vec![member.clone()], removed: vec![value.clone()] },
        Change::Scores { set: vec![(member, score(1.0))], removed: vec![value] },
    ];
    let images = data.map(|data| PutKind::Image(Some(Image { data, ttl: None, slack: 0 })));
    images.into_iter().chain(changes.map(PutKind::Delta)).collect()
}

fn messages_of_2() -> Vec<Message> {
    let (key, holders) = (key(), set(&[0, 1, 5]));
    let notices = vec![Notice::Set, Notice::ZRem];
    let mut messages = vec![
        Message::Publish { channel: key.clone(), payload: Bytes::from_static(b"news") },
        Message::Interest { classes: 0x3f },
        Message::Notices { key: key.clone(), notices },
    ];
    messages.extend(kinds_of_2().into_iter().map(|kind| Message::Put { key: key.clone(), term: 1, seq: 5, kind, holders }));
    messages.extend(commands_of_2().into_iter().map(|command| Message::Forward { request: 12, key: key.clone(), command }));
    messages.extend(replies_of_2().into_iter().map(|reply| Message::Answer { request: 12, reply }));
    messages.push(Message::Load { sessions: 3, bytes: 4_096, budget: Some(1 << 30) });
    messages
}

fn replies() -> Vec<Reply> {
    let mut replies = vec![
        Reply::Ok,
        Reply::Nil,
        Reply::Int(-2),
        Reply::Bytes(Bytes::from_static(b"value")),
        Reply::Array(vec![None, Some(Bytes::from_static(b"a"))]),
        Reply::Map(fields()),
        Reply::Type(ValueType::Hash),
    ];
    replies.extend(errors().into_iter().map(Reply::Error));
    replies
}

fn errors() -> Vec<CommandError> {
    vec![
        CommandError::WrongType,
        CommandError::TooLarge { size: 2, limit: 1 },
        CommandError::NotAcknowledged { millis: 5000 },
        CommandError::OutcomeUnknown,
        CommandError::NotJoined,
        CommandError::Backlog { bytes: 300, limit: 200 },
        CommandError::UnderReplicated { have: 1, want: 2 },
        CommandError::TooManyCommands { limit: 1 },
    ]
}

fn messages() -> Vec<Message> {
    let (key, term, holders) = (key(), 1 << 40, set(&[0, 1, 5]));
    let reports = vec![report(ReportKind::Owner), report(ReportKind::Orphan), report(ReportKind::Transfer)];
    let mut messages = vec![Message::Sync { epoch: 9, clock: 9 << 20, last: true, reports }];
    messages.extend(kinds().into_iter().map(|kind| Message::Put { key: key.clone(), term, seq: 5, kind, holders }));
    messages.extend([
        Message::Ack { key: key.clone(), term, seq: 5 },
        Message::Need { key: key.clone(), term },
        Message::Drop { key: key.clone(), term },
        Message::DropAck { key: key.clone(), term },
        Message::Handoff { key: key.clone(), term, prior_term: 3, seq: 5, image: Some(image()), holders, moves: 2 },
        Message::Grant { key: key.clone(), term },
        Message::Appoint { key: key.clone(), term, prior_term: 3, prior_seq: 5, holders },
        Message::Own { key: key.clone(), term },
        Message::OwnAck { key: key.clone(), term },
        Message::TransferAck { key: key.clone(), term },
    ]);
    messages.extend(commands().into_iter().map(|command| Message::Forward { request: 12, key: key.clone(), command }));
    messages.extend(replies().into_iter().map(|reply| Message::Answer { request: 12, reply }));
    messages.extend([
        Message::Redirect { request: 12, hint: None },
        Message::Redirect { request: 12, hint: Some(id(7)) },
        Message::Scan { request: 12, from: u64::MAX, count: 100 },
        Message::ScanAnswer { request: 12, part: None },
        Message::ScanAnswer { request: 12, part: Some(ScanPart { epoch: 9, keys: vec![(77, key)], next: Some(78) }) },
        Message::Confirm { epoch: 9 },
    ]);
    messages
}

/// All recorded frames, each with a name that says what is in it.
fn frames() -> Vec<(String, Frame)> {
    let heartbeat = Frame::Heartbeat { ack: 5, sent: 123_456, echo: Some(99), lease: 500, asks: true, heard: set(&[0, 1, 63]) };
    let mut frames = vec![
        ("ident".to_owned(), Frame::Ident(ident())),
        ("view".to_owned(), Frame::View(view())),
        ("resume".to_owned(), Frame::Resume { to: 1_760_000_000_000_123, last: 70_000 }),
        ("heartbeat".to_owned(), heartbeat),
    ];
    for (n, message) in messages().into_iter().chain(messages_of_2()).enumerate() {
        let debug = format!("{message:?}");
        let name: String = debug.chars().take_while(|c| c.is_alphabetic()).collect();
        frames.push((format!("{n:02}-{}", name.to_lowercase()), Frame::Data { seq: 1 << 33, ack: 200, message }));
    }
    frames
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/frames.txt")
}

fn recorded() -> BTreeMap<String, Vec<u8>> {
    let text = std::fs::read_to_string(path()).expect("the corpus is there");
    let line = |line: &str| {
        let (name, hex) = line.split_once(' ').expect("a name and bytes");
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
        (name.to_owned(), (0..hex.len()).step_by(2).map(byte).collect())
    };
    text.lines().map(line).collect()
}

#[test]
fn what_was_recorded_is_read_and_written_in_the_same_way() {
    if std::env::var_os("HOLDFAST_RECORD_CORPUS").is_some() {
        let hex = |bytes: &Bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let lines: Vec<String> = frames().iter().map(|(name, frame)| format!("{name} {}\n", hex(&encode(frame)))).collect();
        std::fs::write(path(), lines.concat()).expect("the corpus can be written");
    }
    let (recorded, frames) = (recorded(), frames());
    for (name, frame) in &frames {
        let bytes = recorded.get(name).unwrap_or_else(|| panic!("`{name}` was not recorded: see the top of this file"));
        assert_eq!(Decoder::default().decode(&mut BytesMut::from(&bytes[..])), Ok(Some(frame.clone())), "{name} is read");
        assert_eq!(encode(frame), bytes, "{name} is written");
    }
    let known: BTreeSet<&String> = frames.iter().map(|(name, _)| name).collect();
    assert_eq!(recorded.keys().collect::<BTreeSet<_>>(), known, "nothing that was recorded is forgotten");
}

/// How many variants `T` has: with nothing but zeros behind it, the number of each of them can be decoded.
fn variants<T: DeserializeOwned>() -> BTreeSet<u8> {
    let is_known = |number: &u8| {
        let mut bytes = [0; 300];
        bytes[0] = *number;
        postcard::take_from_bytes::<T>(&bytes).is_ok()
    };
    (0..128).filter(is_known).collect()
}

fn numbers<T: serde::Serialize>(values: &[T]) -> BTreeSet<u8> {
    values.iter().map(|value| postcard::to_stdvec(value).expect("can be encoded")[0]).collect()
}

#[test]
fn every_variant_is_recorded() {
    let frames: Vec<Frame> = frames().into_iter().map(|(_, frame)| frame).collect();
    assert_eq!(numbers(&frames), variants::<Frame>());
    assert_eq!(numbers(&[messages(), messages_of_2()].concat()), variants::<Message>());
    assert_eq!(numbers(&kinds()), variants::<PutKind>());
    assert_eq!(numbers(&[commands(), commands_of_2()].concat()), variants::<Command>());
    assert_eq!(numbers(&[replies(), replies_of_2()].concat()), variants::<Reply>());
    assert_eq!(numbers(&[errors(), errors_of_2()].concat()), variants::<CommandError>());
}

/// Packed frames are only read as recorded: another release of the compressor may find shorter ones.
#[test]
fn a_packed_frame_is_read_for_ever() {
    let value = Bytes::from(b"0123456789abcdef".repeat(200));
    let kind = PutKind::Delta(Change::Replace(Image { data: Data::String(value), ttl: None, slack: 0 }));
    let frame = Frame::Data { seq: 1, ack: 0, message: Message::Put { key: key(), term: 1, seq: 2, kind, holders: set(&[0]) } };
    let path = path().with_file_name("packed.bin");
    if std::env::var_os("HOLDFAST_RECORD_CORPUS").is_some() {
        std::fs::write(&path, Encoder::default().encode(&frame, true)).expect("the corpus can be written");
    }
    let bytes = std::fs::read(path).expect("the corpus is there");
    assert!(bytes.len() < 200);
    assert_eq!(Decoder::default().decode(&mut BytesMut::from(&bytes[..])), Ok(Some(frame)));
}

/// With the checksum made right again, so that the decoder behind it has to cope.
fn resealed(mut frame: Vec<u8>) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..4]);
    hasher.update(&frame[8..]);
    frame[4..8].copy_from_slice(&hasher.finalize().to_be_bytes());
    frame
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_mutated_frame_is_no_panic(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let frames = frames();
        let (_, frame) = &frames[which.index(frames.len())];
        let mut bytes = encode(frame).to_vec();
        for (place, byte) in changes {
            let place = 8 + place.index(bytes.len() - 8);
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(9 + cut.index(bytes.len() - 8));
            let word = u32::from(bytes[0]) << 24 | (bytes.len() - 8) as u32;
            bytes[..4].copy_from_slice(&word.to_be_bytes());
        }
        let mut bytes = BytesMut::from(&resealed(bytes)[..]);
        if let Ok(Some(frame)) = Decoder::default().decode(&mut bytes) {
            // What was accepted can be written, and is read as the same.
            let again = Decoder::default().decode(&mut BytesMut::from(&encode(&frame)[..]));
            prop_assert_eq!(again, Ok(Some(frame)));
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::from(&bytes[..]));
        while let Ok(Some(_)) = decoder.decode(&mut buffer) {}
    }
}
