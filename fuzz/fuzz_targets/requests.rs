//! Requests of the Redis protocol: what is read does not depend on the pieces in which bytes arrive, and memory follows what has arrived, whatever lengths
//! promise.

#![no_main]

use holdfast_fuzz::redis::fuzzing::{Found, Requests};
use holdfast_fuzz::{MAX_BYTES, grown, pieces};
use libfuzzer_sys::fuzz_target;

/// Taken for each byte that has arrived: where arguments begin and end, copies, and buffers that double as they grow.
const EACH: usize = 64;

/// Room to read into.
const ROOM: usize = 64 << 10;

fuzz_target!(|input: &[u8]| {
    let (whole, taken) = grown(|| read(std::iter::once(input)));
    assert!(taken <= EACH * input.len() + ROOM, "{} bytes arrived, {taken} were taken", input.len());
    assert_eq!(whole, read(pieces(input)));
    if input.len() <= 1024 {
        assert_eq!(whole, read(input.chunks(1)));
    }
});

/// What is read, and how it ends.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Found>, Option<String>) {
    let mut requests = Requests::new(MAX_BYTES);
    let mut found = Vec::new();
    for piece in pieces {
        if let Err(error) = requests.arrive(piece, &mut found) {
            return (found, Some(error));
        }
    }
    (found, None)
}
