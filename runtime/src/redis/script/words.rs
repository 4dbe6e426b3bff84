//! The words of a Lua text, so that two texts that differ only in white space, comments, semicolons and kinds of quotes are found to be the same script.

/// All words, each followed by a zero. `None` if it is not sure what the words are: then it is no script that is known here.
pub(super) fn words(text: &[u8]) -> Option<Vec<u8>> {
    let mut words = Vec::with_capacity(text.len() + text.len() / 2);
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let length = match first {
            b' ' | b'\t' | b'\r' | b'\n' | b';' => {
                rest = after;
                continue;
            }
            b'-' if after.starts_with(b"-") => {
                if after.starts_with(b"-[") {
                    return None;
                }
                rest = &rest[rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())..];
                continue;
            }
            b'\'' | b'"' => {
                let length = after.iter().position(|byte| byte == first)?;
                let string = &after[..length];
                if string.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\'' | b'"' | 0)) {
                    return None;
                }
                words.push(b'"');
                words.extend_from_slice(string);
                words.push(0);
                rest = &after[length + 1..];
                continue;
            }
            byte if is_word(*byte) => rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len()),
            b'=' | b'~' | b'<' | b'>' if after.starts_with(b"=") => 2,
            b'.' if after.starts_with(b".") => return None,
            byte if byte.is_ascii_graphic() => 1,
            _ => return None,
        };
        words.extend_from_slice(&rest[..length]);
        words.push(0);
        rest = &rest[length..];
    }
    Some(words)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_comments_and_quotes_make_no_difference() {
        let one = words(b"if redis.call(\"get\",KEYS[1]) == ARGV[1] then return 1 end");
        assert!(one.is_some());
        assert_eq!(one, words(b"  if redis . call('get', KEYS[1])==ARGV[ 1 ]\nthen -- a lock;\r\n\treturn 1; end;"));
    }

    #[test]
    fn what_is_another_script_has_other_words() {
        let one = words(b"return redis.call('get', KEYS[1])");
        for other in [
            "return redis.call('get ', KEYS[1])",
            "return redis.call('GET', KEYS[1])",
            "returnredis.call('get', KEYS[1])",
            "return redis.call(get, KEYS[1])",
            "return redis.call('get', KEYS[1]) -- \n + 1",
        ] {
            assert_ne!(one, words(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn what_may_mean_something_else_has_no_words() {
        for text in ["--[[ a\n]] return 1", "return 'a\\'", "return 'a\"b'", "return \"a", "return 'a'..'b'", "return \u{e9}"] {
            assert_eq!(words(text.as_bytes()), None, "{text}");
        }
    }
}
