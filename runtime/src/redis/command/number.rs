//! Scores, as Redis reads and writes them.

use holdfast_core::Score;

use super::args::Refusal;

/// The most bytes of a number that is read.
const LONGEST: usize = 255;

/// A number as C's `strtod` reads it, as a whole: decimal, hexadecimal or infinite.
pub(crate) fn score(text: &[u8]) -> Option<Score> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= LONGEST && !text.is_empty())?;
    let (is_negative, digits) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let size = match digits.get(..2) {
        Some("0x" | "0X") => hexadecimal(&digits[2..])?,
        // The standard library takes a sign here once more, and a word for what is no number.
        _ if digits.starts_with(['+', '-']) => return None,
        _ => digits.parse::<f64>().ok()?,
    };
    Score::new(if is_negative { -size } else { size })
}

/// Digits and letters, with a point and a binary exponent.
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) =
        text.split_once(['p', 'P']).map_or((text, 0), |(mantissa, exponent)| (mantissa, exponent.parse().unwrap_or(i32::MIN)));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if exponent == i32::MIN || (whole.is_empty() && part.is_empty()) {
        return None;
    }
    let mut number = 0.0;
    for digit in whole.chars().chain(part.chars()) {
        number = number * 16.0 + f64::from(digit.to_digit(16)?);
    }
    Some(number * 2f64.powi(exponent.saturating_sub(4 * part.len() as i32)))
}

/// The score at a place among arguments.
pub(super) fn valid(text: &[u8]) -> Result<Score, Refusal> {
    score(text).ok_or(Refusal::fixed("ERR value is not a valid float"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_redis_reads_them() {
        for (text, number) in [
            ("1", 1.0),
            ("-0", 0.0),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0x10", 16.0),
            ("0x1.8p1", 3.0),
        ] {
            assert_eq!(score(text.as_bytes()).map(Score::get), Some(number), "{text}");
        }
        for text in ["", "nan", "x", "1x", "--1", "+-1", " 1", "1 ", "0x", "0xg", "1e", "0x1p"] {
            assert_eq!(score(text.as_bytes()), None, "{text}");
        }
    }
}
