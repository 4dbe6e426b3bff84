//! Objects that the operator creates once and never writes again: the view belongs to the members from then on, and the token to nobody's log.

use std::collections::BTreeMap;

use holdfast_api::{SessionView, SessionViewSpec, names};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::meta;
use crate::cluster::Cluster;

/// A view that nobody has founded yet.
pub fn empty_view(cluster: &Cluster) -> SessionView {
    let spec = SessionViewSpec { copies: cluster.spec.replication.copies, ..SessionViewSpec::default() };
    SessionView { metadata: meta::object(cluster, names::view(&cluster.name), names::MEMBER), spec }
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
        let view = empty_view(&testing::cluster(json!({"replication": {"copies": 2}})));
        assert_eq!(view.spec, SessionViewSpec { copies: 2, ..SessionViewSpec::default() });
        assert_eq!(view.metadata.owner_references.expect("owned")[0].kind, "SessionCluster");
    }

    #[test]
    fn the_token_is_text_that_fits_in_a_header() {
        let secret = admin_secret(&testing::cluster(json!({})), [0xa7; 32]);
        assert_eq!(secret.data.expect("data")["token"].0, "a7".repeat(32).into_bytes());
    }
}
