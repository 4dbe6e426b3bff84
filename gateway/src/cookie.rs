//! The Cookie and Set-Cookie headers: finding the route, hiding it from the member, finding the application's session, setting the route anew.
//! Byte by byte and lenient, as browsers and applications are; what is not ours leaves as it came.

use holdfast_api::{AffinitySource, AffinitySourceType};
use http::HeaderMap;
use http::header::{COOKIE, HeaderValue, SET_COOKIE};
use xxhash_rust::xxh3::Xxh3;

/// A client may send a cookie of the same name for several paths or domains; beyond this number they are noise.
const ROUTES: usize = 8;

/// The longest pod name is that of a DNS label.
const LONGEST_ROUTE: usize = 63;

/// Takes every cookie `name` out of the request and gives their values, in order, as far as they look like routes at all. All other cookies
/// stay, to the byte.
pub(crate) fn take_routes(headers: &mut HeaderMap, name: &str) -> Vec<String> {
    let ours = |line: &HeaderValue| segments(line.as_bytes()).any(|segment| name_and_value(segment).0 == name.as_bytes());
    if !headers.get_all(COOKIE).iter().any(ours) {
        return Vec::new();
    }
    let mut routes = Vec::new();
    let mut rest = Vec::new();
    for line in &headers.get_all(COOKIE) {
        if !ours(line) {
            rest.push(line.clone());
            continue;
        }
        let mut kept: Vec<u8> = Vec::with_capacity(line.len());
        let mut any = false;
        for segment in segments(line.as_bytes()) {
            let (found, value) = name_and_value(segment);
            if found == name.as_bytes() {
                routes.extend(route(value).filter(|_| routes.len() < ROUTES));
            } else if any {
                kept.push(b';');
                kept.extend_from_slice(segment);
            } else {
                any = true;
                kept.extend_from_slice(segment.trim_ascii_start());
            }
        }
        let kept = kept.trim_ascii();
        if !kept.is_empty() {
            rest.push(HeaderValue::from_bytes(kept).expect("a part of a header value is one"));
        }
    }
    headers.remove(COOKIE);
    for line in rest {
        headers.append(COOKIE, line);
    }
    routes
}

/// The number that stands for the session of a request: of the first of `sources` that it carries.
pub(crate) fn session(headers: &HeaderMap, sources: &[AffinitySource]) -> Option<u64> {
    sources.iter().find_map(|source| {
        let (AffinitySourceType::Cookie, name) = (source.type_, &source.name);
        let value = headers.get_all(COOKIE).iter().flat_map(|line| segments(line.as_bytes())).find_map(|segment| {
            let (found, value) = name_and_value(segment);
            (found == name.as_bytes() && !value.is_empty()).then_some(value)
        })?;
        let mut hash = Xxh3::new();
        hash.update(name.as_bytes());
        hash.update(b"=");
        hash.update(value);
        Some(hash.digest())
    })
}

/// The number that stands for all of a request's cookies: what there is to go by where no session cookie is known.
pub(crate) fn everything(headers: &HeaderMap) -> u64 {
    let mut hash = Xxh3::new();
    for line in &headers.get_all(COOKIE) {
        hash.update(line.as_bytes());
        hash.update(b";");
    }
    hash.digest()
}

/// The Set-Cookie that binds a client to a route. Host-only and without a lifetime: it is a hint, and losing it costs one forwarded request.
pub(crate) fn bind(name: &str, route: &str) -> HeaderValue {
    let text = format!("{name}={route}; Path=/; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&text).expect("a checked cookie name and a pod name are visible ASCII")
}

/// Removes a Set-Cookie of our cookie that a member sent: only the gateway knows where the client is bound.
pub(crate) fn remove_bindings(headers: &mut HeaderMap, name: &str) {
    let ours = |line: &HeaderValue| segments(line.as_bytes()).next().is_some_and(|first| name_and_value(first).0 == name.as_bytes());
    if !headers.get_all(SET_COOKIE).iter().any(ours) {
        return;
    }
    let rest: Vec<_> = headers.get_all(SET_COOKIE).iter().filter(|line| !ours(line)).cloned().collect();
    headers.remove(SET_COOKIE);
    for line in rest {
        headers.append(SET_COOKIE, line);
    }
}

fn segments(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';')
}

/// Name and value of one pair, without the white space around and one pair of quotes. A pair without `=` is a nameless value (RFC 6265bis).
fn name_and_value(segment: &[u8]) -> (&[u8], &[u8]) {
    let (name, value) = match segment.iter().position(|byte| *byte == b'=') {
        Some(at) => (&segment[..at], &segment[at + 1..]),
        None => (&segment[..0], segment),
    };
    let value = value.trim_ascii();
    let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    (name.trim_ascii(), unquoted.unwrap_or(value))
}

/// A value that could be a pod's name.
fn route(value: &[u8]) -> Option<String> {
    let shaped = (1..=LONGEST_ROUTE).contains(&value.len())
        && value.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-');
    shaped.then(|| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line.as_bytes()).expect("a header value"));
        }
        headers
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        headers.get_all(COOKIE).iter().map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect()
    }

    fn taken(given: &[&str]) -> (Vec<String>, Vec<String>) {
        let mut headers = request(given);
        let routes = take_routes(&mut headers, "holdfast-route");
        (routes, lines(&headers))
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn the_route_is_found_and_hidden_wherever_it_stands() {
        for (given, rest) in [
            ("holdfast-route=shop-1", vec![]),
            ("holdfast-route=shop-1; a=b", vec!["a=b"]),
            ("a=b; holdfast-route=shop-1", vec!["a=b"]),
            ("a=b;holdfast-route=shop-1;c=d", vec!["a=b;c=d"]),
            ("a=b;  holdfast-route = \"shop-1\" ; c=d", vec!["a=b; c=d"]),
            (";; holdfast-route=shop-1;", vec![";;"]),
        ] {
            assert_eq!(taken(&[given]), (owned(&["shop-1"]), owned(&rest)), "{given}");
        }
    }

    #[test]
    fn duplicates_are_all_found_in_order_and_all_hidden() {
        let (routes, rest) = taken(&["holdfast-route=shop-2; a=b; holdfast-route=shop-1", "c=d", "holdfast-route=shop-3"]);
        assert_eq!(routes, ["shop-2", "shop-1", "shop-3"]);
        assert_eq!(rest, ["a=b", "c=d"]);
    }

    #[test]
    fn what_cannot_be_a_route_is_hidden_and_dropped() {
        for value in ["", "10.0.0.1:80", "SHOP-1", "shop_1", "../shop-1", "shop-1\"", "shop 1", &"a".repeat(64)] {
            assert_eq!(taken(&[&format!("holdfast-route={value}; a=b")]), (vec![], owned(&["a=b"])), "{value}");
        }
    }

    #[test]
    fn a_cookie_whose_name_only_looks_alike_is_the_applications() {
        let line = "Holdfast-Route=x; xholdfast-route=y; holdfast-route2=z; q=holdfast-route=shop-1; holdfast-route";
        assert_eq!(taken(&[line]), (vec![], owned(&[line])));
    }

    #[test]
    fn a_flood_of_routes_is_cut() {
        let line = vec!["holdfast-route=shop-1"; 500].join("; ");
        let (routes, rest) = taken(&[&line]);
        assert_eq!((routes.len(), rest.len()), (ROUTES, 0));
    }

    #[test]
    fn the_first_source_that_is_there_names_the_session() {
        let sources = ["sid", "other"].map(|name| AffinitySource { type_: AffinitySourceType::Cookie, name: name.to_owned() });
        let of = |line: &str| session(&request(&[line]), &sources);
        assert_eq!(of("a=b"), None);
        assert_eq!(of("sid="), None);
        assert!(of("sid=1").is_some());
        assert_eq!(of("sid=1"), of("x=y; sid=\"1\"; other=2"));
        assert_eq!(of("other=2"), of("other=2; z=1"));
        assert_ne!(of("sid=1"), of("sid=2"));
        assert_ne!(of("sid=1"), of("other=1"));
    }

    #[test]
    fn the_cookie_is_host_only_hidden_from_scripts_and_has_no_lifetime() {
        assert_eq!(bind("holdfast-route", "shop-1"), "holdfast-route=shop-1; Path=/; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn a_members_own_binding_is_removed_and_its_other_cookies_stay() {
        let mut headers = HeaderMap::new();
        for line in ["a=b; Path=/; Secure", "holdfast-route=evil; Domain=x", "c=holdfast-route"] {
            headers.append(SET_COOKIE, HeaderValue::from_static(line));
        }
        remove_bindings(&mut headers, "holdfast-route");
        let rest: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
        assert_eq!(rest, ["a=b; Path=/; Secure", "c=holdfast-route"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_nothing_of_ours_is_left(given in proptest::collection::vec(proptest::collection::vec(
            prop_oneof![Just(b';'), Just(b'='), Just(b'"'), Just(b' '), Just(b'\t'), 0x20u8..0x7f, 0x80u8..=0xff,
                Just(b'h'), Just(b'r')], 0..60), 0..4)) {
            let mut headers = HeaderMap::new();
            for line in &given {
                headers.append(COOKIE, HeaderValue::from_bytes(line).expect("a header value"));
            }
            let routes = take_routes(&mut headers, "hr");
            prop_assert!(routes.len() <= ROUTES);
            prop_assert!(routes.iter().all(|value| route(value.as_bytes()).is_some()));
            prop_assert!(take_routes(&mut headers, "hr").is_empty());
        }

        #[test]
        fn the_applications_cookies_survive_in_order(
            pairs in proptest::collection::vec(("[a-z]{1,5}", "[!-:<-~]{0,10}"), 0..8),
            ours in proptest::collection::vec(0usize..9, 0..3),
        ) {
            let mut parts: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let expected = parts.clone();
            for at in ours {
                parts.insert(at.min(parts.len()), "holdfast-route=shop-7".to_owned());
            }
            let mut headers = request(&[&parts.join("; ")]);
            let count = parts.len() - expected.len();
            prop_assert_eq!(take_routes(&mut headers, "holdfast-route").len(), count);
            let left: Vec<String> = lines(&headers).iter().filter(|line| !line.is_empty())
                .flat_map(|line| line.split("; ").map(ToOwned::to_owned)).collect();
            prop_assert_eq!(left, expected);
        }
    }
}
