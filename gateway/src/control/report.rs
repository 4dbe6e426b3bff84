//! The lines of a control stream: what a member says of itself, and whether it is the member that the EndpointSlices promise. Pure.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::table::tier::State;

/// Far above any report; beyond it something else answers.
const LONGEST: usize = 16 * 1024;

/// One line of a control stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The cluster that the member belongs to.
    pub cluster: String,
    /// Its name, which is its route.
    pub member: String,
    /// Its pod's UID.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// New at each start of its process.
    pub incarnation: String,
    /// How far it takes part.
    pub state: State,
    /// Sessions that it owns.
    pub sessions: u64,
    /// The view that it is in.
    pub epoch: u64,
}

/// Why a line is of no use.
#[derive(Debug, Error)]
pub(crate) enum ReportError {
    #[error("a line of the control stream has more than {LONGEST} bytes")]
    TooLong,
    #[error("failed to read a line of the control stream: {0}")]
    Json(#[from] serde_json::Error),
}

impl Report {
    /// What is wrong with the one who answers, if it is not this pod of this cluster.
    pub(crate) fn mismatch(&self, cluster: &str, route: &str, uid: &str) -> Option<String> {
        let pairs = [("cluster", cluster, &self.cluster), ("member", route, &self.member), ("podUID", uid, &self.pod_uid)];
        let wrong = pairs.into_iter().find(|(_, expected, found)| expected != found);
        wrong.map(|(field, expected, found)| format!("{field} is `{found}`, expected is `{expected}`"))
    }
}

/// Cuts a stream of bytes into reports.
#[derive(Default)]
pub(crate) struct Reports {
    buffer: BytesMut,
}

impl Reports {
    pub(crate) fn push(&mut self, data: &Bytes) {
        self.buffer.extend_from_slice(data);
    }

    /// The next whole line, if there is one. Empty lines are passed over.
    pub(crate) fn next(&mut self) -> Option<Result<Report, ReportError>> {
        loop {
            let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
                return (self.buffer.len() > LONGEST).then_some(Err(ReportError::TooLong));
            };
            let line = self.buffer.split_to(end);
            self.buffer.advance(1);
            if !line.trim_ascii().is_empty() {
                return Some(serde_json::from_slice(&line).map_err(ReportError::from));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"cluster":"shop","member":"shop-1","podUID":"u","incarnation":"18446744073709","state":"Accepting","sessions":123,"epoch":58,"more":1}"#;

    #[test]
    fn lines_are_put_together_from_any_pieces() {
        let mut reports = Reports::default();
        let text = format!("{LINE}\n\n{}\r\n", LINE.replace("Accepting", "Drained"));
        let mut states = Vec::new();
        for piece in text.as_bytes().chunks(7) {
            reports.push(&Bytes::copy_from_slice(piece));
            while let Some(report) = reports.next() {
                states.push(report.expect("right").state);
            }
        }
        assert_eq!(states, [State::Accepting, State::Drained]);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let mut reports = Reports::default();
        reports.push(&Bytes::from_static(b"<html>\n"));
        assert!(matches!(reports.next(), Some(Err(ReportError::Json(_)))));
        reports.push(&Bytes::from(vec![b'x'; LONGEST + 1]));
        assert!(matches!(reports.next(), Some(Err(ReportError::TooLong))));
    }

    #[test]
    fn only_the_right_pod_of_the_right_cluster_matches() {
        let report: Report = serde_json::from_str(LINE).expect("right");
        assert_eq!(report.mismatch("shop", "shop-1", "u"), None);
        assert_eq!(report.mismatch("shop", "shop-1", "v").as_deref(), Some("podUID is `u`, expected is `v`"));
        assert!(report.mismatch("shop", "shop-2", "u").is_some());
        assert!(report.mismatch("mall", "shop-1", "u").is_some());
    }
}
