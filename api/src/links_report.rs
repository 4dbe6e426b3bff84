//! What a member says about its links.

use serde::{Deserialize, Serialize};

/// An annotation of the SessionView, one for each member ([`crate::names::links_annotation`]): the operator learns from it whether links are encrypted, and
/// which certificates have reached the pod.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LinksReport {
    /// Who says it: what another pod of the same name has said is nothing to anybody.
    #[serde(rename = "podUID")]
    pub pod_uid: String,

    /// It makes and takes links with mutual TLS, and no others.
    pub encrypted: bool,

    /// Serial number of the certificate that it shows on new links, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,

    /// Serial numbers of the authorities that it trusts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<String>,
}

impl LinksReport {
    /// A serial number as it is written here.
    #[must_use]
    pub fn serial(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
