//! Whether a response may be kept by a cache that many users share: then it must not carry one user's route. Pure.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, DATE, EXPIRES, HeaderName};
use jiff::fmt::rfc2822;

/// Whether the response says by itself that shared caches may keep it: `public`, a positive `s-maxage` or `max-age`, or an `Expires` in the
/// future, and neither `private` nor `no-store` (RFC 9111, section 3).
pub(crate) fn by_shared_caches(headers: &HeaderMap) -> bool {
    let (mut public, mut forbidden, mut checked) = (false, false, false);
    let (mut shared, mut any) = (None, None);
    let mut controlled = false;
    for line in &headers.get_all(CACHE_CONTROL) {
        controlled = true;
        for directive in line.as_bytes().split(|byte| *byte == b',') {
            let (name, value) = match directive.iter().position(|byte| *byte == b'=') {
                Some(at) => (&directive[..at], Some(&directive[at + 1..])),
                None => (directive, None),
            };
            match name.trim_ascii().to_ascii_lowercase().as_slice() {
                b"public" => public = true,
                // With field names it only means those fields, but then a cautious cache keeps nothing either.
                b"private" | b"no-store" => forbidden = true,
                b"no-cache" => checked = true,
                b"s-maxage" => shared = value.and_then(seconds),
                b"max-age" => any = value.and_then(seconds),
                _ => {}
            }
        }
    }
    if forbidden {
        return false;
    }
    if controlled {
        public || shared.is_some_and(|age| age > 0) || shared.is_none() && !checked && any.is_some_and(|age| age > 0)
    } else {
        expires_later(headers)
    }
}

fn seconds(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let digits = digits.strip_prefix(b"\"").and_then(|digits| digits.strip_suffix(b"\"")).unwrap_or(digits);
    // A number too large for us is a very long time.
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
        .then(|| std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX))
}

fn expires_later(headers: &HeaderMap) -> bool {
    let time = |name: HeaderName| headers.get(name).and_then(|value| rfc2822::parse(value.to_str().ok()?).ok());
    // A value that is no date ("0", "-1") means "already expired".
    let Some(expires) = time(EXPIRES) else { return false };
    let date = time(DATE).map_or_else(jiff::Timestamp::now, |date| date.timestamp());
    expires.timestamp() > date
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn cacheable(lines: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        by_shared_caches(&headers)
    }

    #[test]
    fn what_says_that_it_may_be_shared_is_cacheable() {
        for value in [
            "public",
            "Public, max-age=0",
            "max-age=60",
            "max-age=\"60\"",
            "s-maxage=1, no-cache",
            "max-age=99999999999999999999999",
            "public, no-cache",
            "must-revalidate, max-age=1",
        ] {
            assert!(cacheable(&[("cache-control", value)]), "{value}");
        }
        assert!(cacheable(&[("cache-control", "must-revalidate"), ("cache-control", "s-maxage=5")]));
    }

    #[test]
    fn anything_else_is_not() {
        for value in [
            "",
            "private",
            "public, no-store",
            "private, max-age=60",
            "private=\"x\", max-age=60",
            "no-cache",
            "no-cache, max-age=60",
            "max-age=0",
            "max-age=-1",
            "max-age=soon",
            "s-maxage=0, max-age=60",
            "must-revalidate",
        ] {
            assert!(!cacheable(&[("cache-control", value)]), "{value}");
        }
        assert!(!cacheable(&[]));
    }

    #[test]
    fn expires_counts_only_without_cache_control() {
        let date = ("date", "Tue, 15 Nov 1994 08:12:31 GMT");
        let (later, earlier) = (("expires", "Tue, 15 Nov 1994 09:12:31 GMT"), ("expires", "Tue, 15 Nov 1994 07:12:31 GMT"));
        assert!(cacheable(&[date, later]));
        assert!(!cacheable(&[date, earlier]));
        assert!(!cacheable(&[later]), "it is long past");
        assert!(!cacheable(&[date, ("expires", "0")]));
        assert!(!cacheable(&[date, later, ("cache-control", "no-cache")]));
    }
}
