//! What members say to each other: no bytes make the decoder panic or take more memory than LZ4 can make of them, pieces do not matter, and what was decoded is
//! the same once it was encoded again.

#![no_main]

use bytes::BytesMut;
use holdfast_core::wire::{Decoder, Encoder, Frame, HEADER};
use holdfast_fuzz::{grown, pieces};
use libfuzzer_sys::fuzz_target;

/// What LZ4 can make of a byte, and what the smallest entry of a list takes in memory.
const EACH: usize = 255 * 64;

/// What a list may be given before its entries have come, one list in another.
const ROOM: usize = 16 << 20;

fuzz_target!(|input: &[u8]| {
    let input = with_checksums(input);
    let (whole, taken) = grown(|| decode(std::iter::once(&input[..])));
    assert!(taken <= EACH * input.len() + ROOM, "{} bytes arrived, {taken} were taken", input.len());
    assert_eq!(whole, decode(pieces(&input)));
    let mut encoder = Encoder::default();
    for frame in whole.0 {
        let bytes = encoder.encode(&frame, true);
        assert_eq!(decode(std::iter::once(&bytes[..])), (vec![frame], None));
    }
});

/// The same segments with the checksums that they should have: no input would get past them otherwise.
fn with_checksums(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>().copied()) {
        let length = (u32::from_be_bytes(word) & 0x00ff_ffff) as usize;
        let Some(payload) = bytes.get(at + HEADER..at + HEADER + length) else { break };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&word);
        hasher.update(payload);
        bytes[at + 4..at + HEADER].copy_from_slice(&hasher.finalize().to_be_bytes());
        at += HEADER + length;
    }
    bytes
}

/// What comes out, and how it ends.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<String>) {
    let (mut decoder, mut buffer, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    (frames, None)
}
