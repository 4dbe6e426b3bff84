//! What the members say of themselves: their metrics and sessions, asked from inside their pods, so that no fault is in the way.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use holdfast_api::names;
use holdfast_core::Key;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::schedule::Member;
use crate::cluster::Cluster;
use crate::stage::NAMESPACE;

const LIMIT: Duration = Duration::from_secs(3);

/// Counters of one member, summed over their labels.
pub(super) type Counters = BTreeMap<String, f64>;

/// Counters of the members that answer.
pub(super) async fn counters(cluster: &Cluster, pods: &[String]) -> BTreeMap<Member, Counters> {
    let mut found = BTreeMap::new();
    for (member, pod) in (0..).zip(pods) {
        if let Ok(text) = get(cluster, pod, "/metrics", None).await {
            found.insert(member, parse(&text));
        }
    }
    found
}

/// By how much a counter of `members` has grown. One that is smaller than before began anew with its process.
pub(super) fn growth(before: &BTreeMap<Member, Counters>, after: &BTreeMap<Member, Counters>, name: &str) -> f64 {
    let of = |counters: &Counters| counters.get(name).copied().unwrap_or_default();
    let grown = after.iter().map(|(member, after)| {
        let before = before.get(member).map(of).unwrap_or_default();
        let after = of(after);
        if after >= before { after - before } else { after }
    });
    grown.sum()
}

fn parse(text: &str) -> Counters {
    let mut counters = Counters::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let name = name.split('{').next().unwrap_or(name);
        if let Ok(value) = value.parse::<f64>() {
            *counters.entry(name.to_owned()).or_default() += value;
        }
    }
    counters
}

/// What a member knows of a session.
#[derive(Debug, Deserialize)]
struct Session {
    owner: String,
    bytes: Option<u64>,
}

/// The members that say that they own a session, and whether it has a content there.
pub(super) async fn owners(cluster: &Cluster, pods: &[String], token: &str, key: &Key) -> Result<Vec<(String, bool)>, String> {
    let mut owners = Vec::new();
    for pod in pods {
        let path = format!("/v1/sessions/{}", key.escape_ascii());
        match get(cluster, pod, &path, Some(token)).await {
            Ok(text) => {
                let session: Session = serde_json::from_str(&text).map_err(|error| format!("{path} of {pod}: {error}: {text}"))?;
                if session.owner == *pod {
                    owners.push((pod.clone(), session.bytes.is_some()));
                }
            }
            Err(error) if error.contains(" 404 ") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(owners)
}

/// Asks a member's admin port from inside its pod.
async fn get(cluster: &Cluster, pod: &str, path: &str, token: Option<&str>) -> Result<String, String> {
    let fail = |error: &dyn std::fmt::Display| format!("{pod}{path}: {error}");
    let inside = cluster.inside(NAMESPACE, pod, "app").map_err(|error| fail(&error))?;
    let asking = async {
        let mut stream = inside.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, names::ADMIN_PORT))).await?;
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {pod}\r\n{authorization}\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = match tokio::time::timeout(LIMIT, asking).await {
        Ok(answer) => answer.map_err(|error| fail(&error))?,
        Err(_) => return Err(fail(&format!("no answer within {LIMIT:?}"))),
    };
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| fail(&"no HTTP"))?;
    let status = head.lines().next().unwrap_or_default();
    if status.contains(" 200 ") { Ok(body.to_owned()) } else { Err(fail(&format!("{status} "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_labels_and_may_begin_anew() {
        let text = "# HELP a b\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3\nb_total 7\n";
        let counters = parse(text);
        assert_eq!(counters.get("a_total"), Some(&5.0));
        let of = |a: f64| BTreeMap::from([(0, Counters::from([("a_total".to_owned(), a)]))]);
        assert_eq!(growth(&of(5.0), &of(8.0), "a_total"), 3.0);
        assert_eq!(growth(&of(5.0), &of(2.0), "a_total"), 2.0);
        assert_eq!(growth(&BTreeMap::new(), &of(2.0), "a_total"), 2.0);
    }
}
