//! The bytes of the Redis protocol: requests on their way in, replies on their way out. No sockets and no meaning of commands here.

mod inline;
mod request;
mod value;

pub(crate) use request::{Incoming, Limits, Parser, ProtocolError, Request};
pub(crate) use value::{Protocol, Value, double};

/// A signed number as Redis reads it (its `string2ll`): no sign but `-`, no leading zero, nothing around it, within 64 bits.
pub(crate) fn parse_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        b"0" if digits.len() == text.len() => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    // What begins with `-` or a digit other than 0 is read by the standard library in the same way.
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_exactly_one_spelling() {
        for (text, number) in [("0", 0), ("7", 7), ("-1", -1), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)] {
            assert_eq!(parse_integer(text.as_bytes()), Some(number), "{text}");
        }
        for text in ["", "-", "-0", "00", "01", "+1", " 1", "1 ", "1a", "0x1", "1.0", "9223372036854775808", "-9223372036854775809", "१"]
        {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text}");
        }
    }
}
