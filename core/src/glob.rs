//! Patterns of keys, with the meaning that Redis gives to every one of them in `SCAN MATCH`, `KEYS` and `PSUBSCRIBE`, also to malformed ones.

/// Whether `text` matches `pattern`: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before what is meant as it is.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    if text.is_empty() {
        // Redis' search does not begin on an empty text; a lone star never gets there.
        return matches!(pattern, b"" | b"*");
    }
    search(pattern, text, false)
}

/// The same without regard to upper and lower case.
pub fn matches_name(pattern: &[u8], text: &[u8]) -> bool {
    search(pattern, text, true)
}

/// A star takes as little as it can, and one byte more each time that the rest does not fit. Only the last star ever has to give way, so the time
/// is at most the product of the lengths, where recursion would be exponential.
fn search(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star = None;
    while from < text.len() {
        let step = match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                star = Some((at, from));
                continue;
            }
            Some(_) => one(&pattern[at..], text[from], ignore_case),
            None => None,
        };
        match (step, &mut star) {
            (Some(length), _) => {
                at += length;
                from += 1;
            }
            (None, Some((after, taken))) => {
                *taken += 1;
                (at, from) = (*after, *taken);
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Matches one byte with the begin of `pattern`, which is not empty; returns how much of it that took.
fn one(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => class_of(class, byte, ignore_case).map(|length| length + 1),
        [b'\\', escaped, ..] => same(*escaped, byte, ignore_case).then_some(2),
        [literal, ..] => same(*literal, byte, ignore_case).then_some(1),
        [] => None,
    }
}

fn same(left: u8, right: u8, ignore_case: bool) -> bool {
    left == right || ignore_case && left.eq_ignore_ascii_case(&right)
}

/// What comes after `[`; one that is never closed ends with the pattern.
fn class_of(class: &[u8], byte: u8, ignore_case: bool) -> Option<usize> {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at..] {
            [b'\\', escaped, ..] => {
                // Here Redis compares exactly, whatever the case.
                found |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [] => break,
            [low, b'-', high, ..] => {
                let fold = |byte: u8| if ignore_case { byte.to_ascii_lowercase() } else { byte };
                let (low, high) = (fold(*low.min(high)), fold(*low.max(high)));
                found |= (low..=high).contains(&fold(byte));
                at += 3;
            }
            [literal, ..] => {
                found |= same(*literal, byte, ignore_case);
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_redis() {
        for (pattern, fits, fails) in [
            ("*", &["", "a", "ab"][..], &[][..]),
            ("**", &["a", "ab"], &[""]),
            ("", &[""], &["a"]),
            ("sess:*", &["sess:", "sess:1"], &["sess", "asess:1"]),
            ("a?c", &["abc", "a?c"], &["ac", "abbc"]),
            ("a**b*c", &["abc", "axxbyyc", "abcbc"], &["ab", "abcd"]),
            ("[abc]x", &["ax", "cx"], &["dx", "x"]),
            ("[^abc]x", &["dx"], &["ax", "x"]),
            ("[a-c]", &["a", "b"], &["d", "-"]),
            ("[c-a]", &["b"], &["d"]),
            ("[a\\]]", &["a", "]"], &["\\", "a]"]),
            ("[a", &["a"], &["b", "[a"]),
            ("[^", &["x"], &["", "xx"]),
            ("[", &[], &["[", "a"]),
            ("[]a]", &[], &["a", "]a]"]),
            ("\\*", &["*"], &["a", "\\*"]),
            ("a\\", &["a\\"], &["a"]),
        ] {
            fits.iter().for_each(|text| assert!(matches(pattern.as_bytes(), text.as_bytes()), "`{text}` fits `{pattern}`"));
            fails.iter().for_each(|text| assert!(!matches(pattern.as_bytes(), text.as_bytes()), "`{text}` does not fit `{pattern}`"));
        }
        assert!(matches_name(b"MAX*", b"maxclients") && matches_name(b"[A-C]x", b"bX") && !matches(b"MAX*", b"maxclients"));
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let (pattern, text) = ("*a".repeat(500) + "b", "a".repeat(5_000));
        let begin = std::time::Instant::now();
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
        assert!(begin.elapsed().as_secs() < 5);
    }
}
