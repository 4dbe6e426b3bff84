//! What happens to the headers on their way through: what belongs to one connection only stays there, what is ours is ours alone, and the member
//! learns who asked. Pure.

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, Method, Uri, Version};

use crate::proxy::answer::Refusal;

/// Names the member that served; also the prefix of all headers that only the gateway may set.
pub(crate) const MEMBER: HeaderName = HeaderName::from_static("x-holdfast-member");
/// Why the gateway itself answers, or that a response's outcome is doubtful.
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-holdfast-error");

const PREFIX: &str = "x-holdfast-";
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Headers of one connection (RFC 9110, section 7.6.1), whether `Connection` names them or not.
const HOP_BY_HOP: [HeaderName; 9] =
    [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, HTTP2_SETTINGS];

/// Where a request goes, in the form that an origin server expects, and the host that it names.
pub(crate) fn target(
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
    cluster: &str,
) -> Result<(Uri, HeaderValue), Refusal> {
    if *method == Method::CONNECT {
        return Err(Refusal::Method);
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(Refusal::Request("the request has more than one Host header")),
        (Some(host), None) => host.clone(),
        (None, None) if version > Version::HTTP_10 => return Err(Refusal::Request("the request has no Host header")),
        (None, None) => HeaderValue::from_str(cluster).map_err(|_| Refusal::Request("the request has no Host header"))?,
    };
    // The absolute form names the host itself, and overrules the header (RFC 9112, section 3.2.2).
    let host = match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => return Err(Refusal::Request("the request's target carries credentials")),
        Some(authority) => HeaderValue::from_str(authority.as_str()).map_err(|_| Refusal::Request("the request's target is not valid"))?,
        None => host,
    };
    let path = uri.path_and_query().filter(|path| path.as_str().starts_with('/') || path.as_str() == "*");
    let path = path.ok_or(Refusal::Request("the request's target is not a path"))?;
    if path.as_str() == "*" && *method != Method::OPTIONS {
        return Err(Refusal::Request("only OPTIONS has the target *"));
    }
    Ok((Uri::from(path.clone()), host))
}

/// Whether the message is coded as the gateway understands it (RFC 9112, section 6.1): not at all, or in chunks. Any other coding it would have
/// to undo, because it does not pass the header on.
pub(crate) fn is_coding_known(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

/// Makes a response say its length in one way only: a coding overrules it, and a list of equal ones becomes one. `body`: the bytes that follow,
/// where that is known and there are any. Whether there was a contradiction, after which nothing more should be read from that connection.
pub(crate) fn settle_length(headers: &mut HeaderMap, body: Option<u64>) -> bool {
    if headers.contains_key(TRANSFER_ENCODING) {
        return headers.remove(CONTENT_LENGTH).is_some();
    }
    // Without a body the header tells the length that it would have (HEAD, 304).
    let would_be = || headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.split(',').next()?.trim().parse().ok());
    match body.or_else(would_be) {
        Some(length) => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from(length))),
        None => drop(headers.remove(CONTENT_LENGTH)),
    }
    false
}

/// Refuses unknown codings, and expectations that the gateway cannot meet. A length beside a coding never gets here: the server drops it and
/// closes the connection after the response.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    if !is_coding_known(headers) {
        return Err(Refusal::Coding);
    }
    // "100-continue" is met by the server when the member's connection begins to take the body.
    let unknown = headers.get_all(EXPECT).iter().any(|value| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"100-continue"));
    if unknown { Err(Refusal::Expectation) } else { Ok(()) }
}

/// The protocol that a client wants to change to, if the gateway lets it. HTTP/2 without TLS is not let through: the requests in it would pass
/// by everything that the gateway checks.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade"));
    let mut protocols = headers.get_all(UPGRADE).iter();
    let protocol = protocols.next().filter(|_| wanted && protocols.next().is_none())?;
    let (text, h2) =
        (protocol.as_bytes().trim_ascii(), |part: &[u8]| part.trim_ascii().get(..2).is_some_and(|two| two.eq_ignore_ascii_case(b"h2")));
    (!text.is_empty() && !text.split(|byte| *byte == b',').any(h2)).then(|| protocol.clone())
}

/// Makes the headers of a request those that the member gets.
pub(crate) fn prepare(headers: &mut HeaderMap, client: IpAddr, host: HeaderValue, upgrade: Option<&HeaderValue>) {
    let trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case(b"trailers"));
    strip(headers);
    headers.remove(EXPECT);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    let mut chain = Vec::new();
    for line in &headers.get_all(FORWARDED_FOR) {
        chain.extend_from_slice(line.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(client.to_canonical().to_string().as_bytes());
    headers.insert(FORWARDED_FOR, HeaderValue::from_bytes(&chain).expect("made of header values and an address"));
    // Where a proxy in front has said them, it knows better.
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    headers.entry(FORWARDED_HOST).or_insert_with(|| host.clone());
    headers.insert(HOST, host);
}

/// Removes what belongs to one connection, and whatever looks like ours.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION).filter_map(|token| HeaderName::from_bytes(token).ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    let ours: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
}

/// The members of a comma-separated list header.
fn tokens<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).expect("a header value"));
        }
        headers
    }

    fn all(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect();
        lines.sort();
        lines
    }

    fn aim(method: Method, uri: &str, version: Version, lines: &[(&'static str, &str)]) -> Result<(String, String), Refusal> {
        let (uri, host) = target(&method, &uri.parse().expect("a target"), version, &headers(lines), "shop")?;
        Ok((uri.to_string(), String::from_utf8_lossy(host.as_bytes()).into_owned()))
    }

    #[test]
    fn the_target_is_a_path_and_the_host_is_the_one_that_counts() {
        let found = |path: &str, host: &str| Ok((path.to_owned(), host.to_owned()));
        let host = [("host", "shop.example")];
        assert_eq!(aim(Method::GET, "/a?b=c", Version::HTTP_11, &host), found("/a?b=c", "shop.example"));
        assert_eq!(aim(Method::GET, "http://other.example:81/a?b", Version::HTTP_11, &host), found("/a?b", "other.example:81"));
        assert_eq!(aim(Method::GET, "//evil.example/a", Version::HTTP_11, &host), found("//evil.example/a", "shop.example"));
        assert_eq!(aim(Method::OPTIONS, "*", Version::HTTP_11, &host), found("*", "shop.example"));
        assert_eq!(aim(Method::GET, "/", Version::HTTP_10, &[]), found("/", "shop"));
    }

    #[test]
    fn ambiguous_or_foreign_targets_are_refused() {
        let host = [("host", "shop.example")];
        assert_eq!(aim(Method::CONNECT, "other:443", Version::HTTP_11, &host), Err(Refusal::Method));
        for (uri, lines) in [
            ("/", &[][..]),
            ("/", &[("host", "a"), ("host", "b")]),
            ("other:80", &host),
            ("http://user:secret@shop.example/", &host),
            ("*", &host),
        ] {
            assert!(matches!(aim(Method::GET, uri, Version::HTTP_11, lines), Err(Refusal::Request(_))), "{uri} {lines:?}");
        }
    }

    #[test]
    fn only_the_chunked_coding_alone_is_taken() {
        assert_eq!(check(&headers(&[("transfer-encoding", "Chunked")])), Ok(()));
        for lines in [
            &[("transfer-encoding", "gzip, chunked")][..],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "xchunked")],
            &[("transfer-encoding", "")],
        ] {
            assert_eq!(check(&headers(lines)), Err(Refusal::Coding), "{lines:?}");
        }
        assert_eq!(check(&headers(&[("expect", "100-Continue")])), Ok(()));
        assert_eq!(check(&headers(&[("expect", "miracles")])), Err(Refusal::Expectation));
    }

    #[test]
    fn a_response_has_one_length_or_none() {
        let settled = |lines: &[(&'static str, &str)], body| {
            let mut headers = headers(lines);
            let contradiction = settle_length(&mut headers, body);
            (all(&headers).into_iter().filter(|line| line.starts_with("content-length")).collect::<Vec<_>>(), contradiction)
        };
        let (one, none) = (vec!["content-length: 5".to_owned()], Vec::new());
        assert_eq!(settled(&[("content-length", "5")], Some(5)), (one.clone(), false));
        assert_eq!(settled(&[("content-length", "5, 5"), ("content-length", "5")], Some(5)), (one.clone(), false));
        assert_eq!(settled(&[("content-length", "5")], None), (one.clone(), false));
        assert_eq!(settled(&[("content-length", "5, 5")], None), (one, false));
        assert_eq!(settled(&[("content-length", "x")], None), (none.clone(), false));
        assert_eq!(settled(&[], None), (none.clone(), false));
        assert_eq!(settled(&[("transfer-encoding", "chunked")], None), (none.clone(), false));
        assert_eq!(settled(&[("transfer-encoding", "chunked"), ("content-length", "99")], None), (none, true));
    }

    #[test]
    fn what_belongs_to_the_connection_or_to_us_does_not_pass() {
        let mut request = headers(&[
            ("connection", "close, X-Hop"),
            ("connection", "x-other"),
            ("x-hop", "1"),
            ("x-other", "2"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "x"),
            ("proxy-authorization", "x"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("expect", "100-continue"),
            ("x-holdfast-member", "shop-9"),
            ("x-holdfast-anything", "1"),
            ("trailer", "x-sum"),
            ("accept", "*/*"),
        ]);
        prepare(&mut request, IpAddr::from([10, 1, 2, 3]), HeaderValue::from_static("shop.example"), None);
        let expected = [
            "accept: */*",
            "host: shop.example",
            "trailer: x-sum",
            "x-forwarded-for: 10.1.2.3",
            "x-forwarded-host: shop.example",
            "x-forwarded-proto: http",
        ];
        assert_eq!(all(&request), expected);
    }

    #[test]
    fn a_client_cannot_strip_what_the_gateway_adds() {
        let mut request =
            headers(&[("connection", "x-forwarded-for, host, x-forwarded-proto"), ("host", "a"), ("x-forwarded-for", "1.1.1.1")]);
        prepare(&mut request, IpAddr::from([10, 1, 2, 3]), HeaderValue::from_static("a"), None);
        assert_eq!(all(&request), ["host: a", "x-forwarded-for: 10.1.2.3", "x-forwarded-host: a", "x-forwarded-proto: http"]);
    }

    #[test]
    fn the_chain_of_proxies_is_kept_in_one_line_and_what_they_said_stays() {
        let mut request = headers(&[
            ("x-forwarded-for", "1.1.1.1, 2.2.2.2"),
            ("x-forwarded-for", "3.3.3.3"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
        ]);
        let mapped: IpAddr = "::ffff:10.1.2.3".parse().expect("an address");
        prepare(&mut request, mapped, HeaderValue::from_static("inner"), None);
        assert_eq!(
            all(&request),
            [
                "host: inner",
                "x-forwarded-for: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.1.2.3",
                "x-forwarded-host: shop.example",
                "x-forwarded-proto: https"
            ]
        );
    }

    #[test]
    fn trailers_and_upgrades_are_asked_for_anew() {
        let mut request = headers(&[("te", "gzip, trailers"), ("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let protocol = upgrade(&request);
        assert_eq!(protocol.as_ref().map(HeaderValue::as_bytes), Some(&b"websocket"[..]));
        prepare(&mut request, IpAddr::from([10, 1, 2, 3]), HeaderValue::from_static("a"), protocol.as_ref());
        let lines = all(&request);
        for line in ["te: trailers", "connection: upgrade", "upgrade: websocket"] {
            assert!(lines.contains(&line.to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn http2_is_no_upgrade_and_neither_is_an_upgrade_that_the_connection_does_not_name() {
        for (connection, protocol) in [("upgrade", "h2c"), ("upgrade", "websocket, H2C"), ("keep-alive", "websocket"), ("upgrade", "")] {
            assert_eq!(upgrade(&headers(&[("connection", connection), ("upgrade", protocol)])), None, "{connection} {protocol}");
        }
        assert_eq!(upgrade(&headers(&[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")])), None);
    }
}
