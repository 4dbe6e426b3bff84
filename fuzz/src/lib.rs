//! What the targets share: the front door, pieces in which bytes arrive, a client, and what memory is taken, to the byte. The front door is here by the path of
//! its folder, without the rest of the runtime, which takes ten times as long to build.

// As the tests call it.
extern crate self as holdfast_runtime;

#[path = "../../runtime/src/begun.rs"]
pub mod begun;

#[allow(dead_code)]
#[path = "../../runtime/src/broadcast.rs"]
pub mod broadcast;

#[allow(dead_code)]
#[path = "../../runtime/src/redis/mod.rs"]
pub mod redis;

#[allow(dead_code)]
#[path = "../../runtime/tests/support/memory.rs"]
mod memory;

use std::hash::{DefaultHasher, Hasher};

use memory::Memory;
use peak_alloc::PeakAlloc;
use redis::{Sessions, fuzzing};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The largest value of a session here, in bytes: small, so that inputs reach it.
pub const MAX_BYTES: u64 = 4096;

/// Runs `work`, and returns by how many bytes it made memory grow at the most.
pub fn grown<T>(work: impl FnOnce() -> T) -> (T, usize) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let result = work();
    (result, ALLOCATOR.peak_usage().saturating_sub(before))
}

/// Pieces of `input` whose lengths follow from its content, so that an input is the bytes of a client and nothing else.
pub fn pieces(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut hasher = DefaultHasher::new();
    hasher.write(input);
    let mut rest = input;
    std::iter::from_fn(move || {
        hasher.write_u8(0);
        // Few bytes, most of the time; and many.
        let most = [1, 3, 20, 5000][(hasher.finish() >> 32) as usize % 4];
        let (piece, after) = rest.split_at((1 + hasher.finish() as u32 as usize % most).min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// What came of a conversation.
pub struct Talk {
    /// All that was answered.
    pub replies: Vec<u8>,
    /// How many keys there are afterwards.
    pub keys: u64,
}

/// All that a front door with nothing in it answers to what comes in these pieces.
pub fn conversation<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    talk(pieces, None).replies
}

/// The same for one that has the users of this file. Time passes as soon as everybody waits.
pub fn talk<'a>(pieces: impl Iterator<Item = &'a [u8]>, users: Option<&[u8]>) -> Talk {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without sockets");
    runtime.block_on(async {
        let (ours, theirs) = duplex(16 << 10);
        let (mut reader, mut writer) = split(ours);
        let mut replies = Vec::new();
        let send = async {
            for piece in pieces {
                // It has gone if it was told to.
                if writer.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let _ = writer.shutdown().await;
        };
        let receive = reader.read_to_end(&mut replies);
        let memory = Memory::new(MAX_BYTES);
        let (_, received, ()) = tokio::join!(fuzzing::serve(memory.clone(), theirs, MAX_BYTES, users), receive, send);
        received.expect("a connection in memory does not break");
        Talk { replies, keys: memory.counts().owned }
    })
}

/// How many replies there are, each of them whole.
pub fn count_replies(bytes: &[u8]) -> usize {
    let mut count = 0;
    each_reply(bytes, |_| count += 1);
    count
}

/// Looks at the first byte of each reply, all of which are whole.
pub fn each_reply(mut bytes: &[u8], mut look: impl FnMut(u8)) {
    let mut first = None;
    // Those that are still missing in what is around the next one.
    let mut missing = 0_u64;
    while let Some(kind) = bytes.first() {
        let end = bytes.windows(2).position(|end| end == b"\r\n").expect("a line has an end");
        let line = &bytes[1..end];
        let number = || std::str::from_utf8(line).expect("digits").parse::<i64>().expect("a number");
        bytes = &bytes[end + 2..];
        missing = missing.saturating_sub(1);
        match kind {
            b'+' | b'-' | b'_' | b',' => {}
            b':' => drop(number()),
            b'$' | b'=' => {
                if let Ok(length) = usize::try_from(number()) {
                    assert_eq!(&bytes[length..length + 2], b"\r\n", "a bulk is as long as it says");
                    bytes = &bytes[length + 2..];
                }
            }
            b'*' | b'~' | b'>' => missing += u64::try_from(number()).unwrap_or(0),
            b'%' => missing += 2 * u64::try_from(number()).expect("a length"),
            other => panic!("`{}` begins no reply", char::from(*other)),
        }
        let begun = *first.get_or_insert(*kind);
        if missing == 0 {
            first = None;
            look(begun);
        }
    }
    assert_eq!(missing, 0, "the last reply is not whole");
}
