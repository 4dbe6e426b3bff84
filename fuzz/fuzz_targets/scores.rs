//! Scores: what is read is written so that it is read as the same number again.

#![no_main]

use holdfast_fuzz::redis::fuzzing::{read_score, written_score};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let numbers = input.first_chunk::<8>().map(|bytes| f64::from_bits(u64::from_le_bytes(*bytes))).filter(|number| !number.is_nan());
    for number in numbers.into_iter().chain(read_score(input)) {
        let text = written_score(number);
        assert!(text.len() < 32, "{text}");
        assert_eq!(read_score(text.as_bytes()), Some(number), "{text}");
    }
});
