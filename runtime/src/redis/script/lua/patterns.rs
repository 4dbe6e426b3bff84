//! What matching a pattern may cost. Lua's own matching tries all ways in which a text may fit, within one instruction that nobody can interrupt: so it does not
//! begin what may take too long.

/// The longest pattern, in bytes: each part of it takes some of the stack.
const MOST_PATTERN: usize = 512;

/// The most steps, at worst.
const MOST_STEPS: f64 = 1e9;

/// Why not, if `pattern` may take too long on a subject of so many bytes.
pub(super) fn refusal(subject: usize, pattern: &[u8]) -> Option<String> {
    if pattern.len() > MOST_PATTERN {
        return Some(format!("pattern of {} bytes is larger than {MOST_PATTERN}", pattern.len()));
    }
    let places = subject as f64 + 1.0;
    // Whatever is repeated may end at any place, and the whole may begin at any. What is balanced, or comes again, is looked for from any, too.
    let is_repeated = |byte: &u8| matches!(byte, b'*' | b'+' | b'-');
    let is_searched = |pair: &&[u8]| pair[0] == b'%' && (pair[1] == b'b' || pair[1].is_ascii_digit());
    let many = pattern.iter().filter(|byte| is_repeated(byte)).count() + pattern.windows(2).filter(is_searched).count();
    let optional = pattern.iter().filter(|byte| **byte == b'?').count();
    // Nothing comes after it that could fail.
    let is_last = pattern.last().is_some_and(is_repeated);
    let begins = if pattern.starts_with(b"^") { 0 } else { 1 };
    let steps = places.powi((many + begins) as i32) * 2_f64.powi(optional as i32);
    let is_quick = many + optional == 0 || (many + optional == 1 && is_last);
    (!is_quick && steps > MOST_STEPS).then(|| format!("pattern may take too long on {subject} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scripts_match_with_is_allowed() {
        for (subject, pattern) in [
            (36, "^(%x+)-(%x+)-(%x+)$"),
            (1 << 20, "[^,]+"),
            (200, "(.-):(.*)"),
            (20, "%d%d%d%d%-%d%d%-%d%d"),
            (5, "a?b?c?"),
            (1 << 20, "x"),
        ] {
            assert_eq!(refusal(subject, pattern.as_bytes()), None, "{pattern}");
        }
    }

    #[test]
    fn what_may_take_for_ever_is_refused() {
        for (subject, pattern) in [
            (10_000, ".-.-.-b"),
            (40, "a?".repeat(31).as_str()),
            (1 << 20, "(.*)(.*)x"),
            (1 << 20, "a*b"),
            (1 << 20, "%b()"),
            (1, "a".repeat(513).as_str()),
        ] {
            assert!(refusal(subject, pattern.as_bytes()).is_some(), "{pattern}");
        }
    }
}
