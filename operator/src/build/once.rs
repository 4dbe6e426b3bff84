//! Objects that the operator creates once and never writes again: the view belongs to the members from then on, and the token to nobody's log.

use std::collections::BTreeMap;

use holdfast_api::{SessionView, SessionViewSpec, names};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::meta;
use crate::cluster::Cluster;

/// A view without members. `lost` is the epoch of one that was there before and is gone: the new one is ahead of it, so that whoever still has the old
/// one gives way once a cluster is founded anew, and says that this must not happen as long as members may put the old one back.
pub fn empty_view(cluster: &Cluster, lost: Option<u64>) -> SessionView {
    let copies = cluster.spec.replication.wanted_copies();
    let epoch = lost.map_or(0, |epoch| epoch + names::RESTORE_STEP);
    let mut metadata = meta::object(cluster, names::view(&cluster.name), names::MEMBER);
    let marks = [(names::COPIES_ANNOTATION, Some(u64::from(copies))), (names::FOUNDED_ANNOTATION, lost)];
    let marks = marks.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_string())));
    metadata.annotations = Some(marks.collect());
    SessionView { metadata, spec: SessionViewSpec { epoch, copies, ..SessionViewSpec::default() } }
}

/// The Secret with the token of the members' and gateways' admin API.
pub fn admin_secret(cluster: &Cluster, token: [u8; 32]) -> Secret {
    let text: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
    Secret {
        metadata: meta::object(cluster, names::admin_secret(&cluster.name), names::MEMBER),
        type_: Some("Opaque".to_owned()),
        immutable: Some(false),
        data: Some(BTreeMap::from([(names::TOKEN_KEY.to_owned(), ByteString(text.into_bytes()))])),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    #[test]
    fn the_view_starts_empty_with_the_copies_of_the_spec() {
        let view = empty_view(&testing::cluster(json!({"replication": {"copies": 2}})), None);
        assert_eq!(view.spec, SessionViewSpec { copies: 2, ..SessionViewSpec::default() });
        assert_eq!(view.metadata.annotations.expect("marks"), BTreeMap::from([("holdfast.dev/copies".to_owned(), "2".to_owned())]));
        assert_eq!(view.metadata.owner_references.expect("owned")[0].kind, "SessionCluster");
    }

    #[test]
    fn a_view_made_anew_is_ahead_of_the_one_that_is_gone_and_says_so() {
        let view = empty_view(&testing::cluster(json!({"replication": {"topology": "AllMembers"}})), Some(58));
        assert_eq!((view.spec.epoch, view.spec.members.len()), (1058, 0));
        let marks = view.metadata.annotations.expect("marks");
        assert_eq!((marks["holdfast.dev/founded"].as_str(), marks["holdfast.dev/copies"].as_str()), ("58", "63"));
    }

    #[test]
    fn the_token_is_text_that_fits_in_a_header() {
        let secret = admin_secret(&testing::cluster(json!({})), [0xa7; 32]);
        assert_eq!(secret.data.expect("data")["token"].0, "a7".repeat(32).into_bytes());
    }
}
