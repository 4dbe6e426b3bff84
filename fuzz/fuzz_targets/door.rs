//! A whole front door and one client: no bytes make it panic, what it answers is the protocol and does not depend on the pieces in which the client sends, and
//! one connection takes bounded memory.

#![no_main]

use holdfast_fuzz::{conversation, count_replies, grown, pieces};
use libfuzzer_sys::fuzz_target;

/// The most that one connection may take here, in bytes. An answer is larger than its request by what `COMMAND` lists, and 16 MiB of them may wait.
const MOST: usize = 64 << 20;

fuzz_target!(|input: &[u8]| {
    let (replies, taken) = grown(|| conversation(pieces(input)));
    assert!(taken - replies.capacity() <= MOST, "{} bytes arrived, {taken} were taken", input.len());
    count_replies(&replies);
});
