//! Patterns of keys, before the first line end, and texts after it: the answer is that of the plain recursive meaning, and none takes long.

#![no_main]

use std::time::{Duration, Instant};

use holdfast_core::glob;
use libfuzzer_sys::fuzz_target;

/// The longest pattern that the front door takes, in bytes.
const LONGEST: usize = 1 << 10;

/// Far longer than any takes, on a machine with a lot else to do.
const LIMIT: Duration = Duration::from_secs(2);

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (pattern, text) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let pattern = &pattern[..pattern.len().min(LONGEST)];
    let begin = Instant::now();
    let matches = glob::matches(pattern, text);
    glob::matches_name(pattern, text);
    // As large as it gets: the longest key, made of what was tried.
    if !text.is_empty() {
        glob::matches(pattern, &text.repeat((16 << 10) / text.len() + 1));
    }
    let took = begin.elapsed();
    assert!(took < LIMIT, "took {took:?}");
    let stars = pattern.iter().filter(|byte| **byte == b'*').count();
    if stars <= 3 && text.len() <= 64 && !text.is_empty() {
        assert_eq!(matches, plainly(pattern, text), "{:?} {:?}", pattern.escape_ascii().to_string(), text.escape_ascii().to_string());
    }
});

/// Redis' `stringmatchlen`, step by step.
fn plainly(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|taken| plainly(rest, &text[taken..])),
        ([], _) => text.is_empty(),
        (_, []) => false,
        ([b'?', rest @ ..], [_, text @ ..]) => plainly(rest, text),
        ([b'[', class @ ..], [byte, text @ ..]) => {
            let (is_negated, mut class) = class.strip_prefix(b"^").map_or((false, class), |class| (true, class));
            let mut is_in = false;
            loop {
                class = match class {
                    [b'\\', escaped, rest @ ..] => {
                        is_in |= escaped == byte;
                        rest
                    }
                    [b']', rest @ ..] => {
                        class = rest;
                        break;
                    }
                    [] => break,
                    [low, b'-', high, rest @ ..] => {
                        is_in |= (low.min(high)..=low.max(high)).contains(&byte);
                        rest
                    }
                    [literal, rest @ ..] => {
                        is_in |= literal == byte;
                        rest
                    }
                };
            }
            is_in != is_negated && plainly(class, text)
        }
        ([b'\\', escaped, rest @ ..], [byte, text @ ..]) => escaped == byte && plainly(rest, text),
        ([literal, rest @ ..], [byte, text @ ..]) => literal == byte && plainly(rest, text),
    }
}
