//! Requests as a person types them into a terminal: words on one line, with quotes and escapes (the rules of Redis' `sdssplitargs`).

/// Splits `line` into words: their bytes go to the end of `bytes`, and where each begins and ends in it to `words`. `None` if a quote is not
/// closed, or is closed in the middle of a word.
pub(super) fn split(line: &[u8], bytes: &mut Vec<u8>, words: &mut Vec<(u32, u32)>) -> Option<()> {
    // Redis reads the line as a C string: it ends at the first NUL.
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut rest = line;
    loop {
        rest = &rest[rest.iter().take_while(|byte| is_space(**byte)).count()..];
        if rest.is_empty() {
            return Some(());
        }
        let start = bytes.len() as u32;
        rest = word(rest, bytes)?;
        words.push((start, bytes.len() as u32));
    }
}

/// `isspace` of C, which divides words. Inside a word only the four of [`ends_word`] do.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Reads one word and returns what comes after it.
fn word<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return Some(rest),
            [byte, after @ ..] if ends_word(*byte) => return Some(after),
            [b'"', after @ ..] => return double_quoted(after, bytes),
            [b'\'', after @ ..] => return single_quoted(after, bytes),
            [byte, after @ ..] => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex(*high) * 16 + hex(*low));
                after
            }
            [b'\\', escaped, after @ ..] => {
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                after
            }
            [b'"', after @ ..] => return closed(after),
            [byte, after @ ..] => {
                bytes.push(*byte);
                after
            }
            [] => return None,
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'\\', b'\'', after @ ..] => {
                bytes.push(b'\'');
                after
            }
            [b'\'', after @ ..] => return closed(after),
            [byte, after @ ..] => {
                bytes.push(*byte);
                after
            }
            [] => return None,
        };
    }
}

/// A closing quote ends the word, so a space or nothing has to follow.
fn closed(after: &[u8]) -> Option<&[u8]> {
    after.first().is_none_or(|byte| is_space(*byte)).then_some(after)
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (mut bytes, mut words) = (Vec::new(), Vec::new());
        split(line, &mut bytes, &mut words)?;
        Some(words.into_iter().map(|(start, end)| bytes[start as usize..end as usize].to_vec()).collect())
    }

    #[test]
    fn words_are_divided_as_redis_divides_them() {
        let cases: [(&[u8], &[&[u8]]); 9] = [
            (b"", &[]),
            (b" \t ", &[]),
            (b"SET  a\tb ", &[b"SET", b"a", b"b"]),
            (br#"SET "a b" 'c d'"#, &[b"SET", b"a b", b"c d"]),
            (br#""\x41\n\q\x4" 'it\'s \n'"#, &[b"A\nqx4", b"it's \\n"]),
            (br#""" ''"#, &[b"", b""]),
            (br#"a"b c""#, &[b"ab c"]),
            (b"a\x0bb", &[b"a\x0bb"]),
            (b"a b\0c", &[b"a", b"b"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line).expect("balanced"), expected, "{line:?}");
        }
    }

    #[test]
    fn an_unbalanced_quote_is_refused() {
        for line in [&b"\"a"[..], b"'a", b"\"a\"b", b"'a'b", b"\"a\\\"", b"a \"", b"\"\\"] {
            assert_eq!(words(line), None, "{line:?}");
        }
    }
}
