//! Transactions of any commands, many times over: what waits for `EXEC`, and what it answers, is bounded.

#![no_main]

use holdfast_fuzz::{conversation, count_replies, grown};
use libfuzzer_sys::fuzz_target;

/// The most that is asked of one transaction here, in bytes of requests.
const LONGEST: usize = 32 << 10;

/// The most that one connection may take, in bytes: 64 MiB of commands that wait, as much of answers, and the answers once more as bytes to be sent.
const MOST: usize = 256 << 20;

fuzz_target!(|input: &[u8]| {
    let repeated = std::iter::repeat_n(input, LONGEST / input.len().max(1)).flat_map(|input| [input, b"\r\n"]);
    let whole: Vec<&[u8]> = [&b"MULTI\r\n"[..]].into_iter().chain(repeated).chain([&b"\r\nEXEC\r\nPING\r\n"[..]]).collect();
    let (replies, taken) = grown(|| conversation([whole.concat()].iter().map(Vec::as_slice)));
    assert!(taken <= MOST, "{taken} bytes were taken, {} answered", replies.len());
    count_replies(&replies);
});
