//! Certificates for tests, made on the spot.

use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use tempfile::TempDir;

use super::Tls;

/// The identity of the members in tests.
pub(crate) const SHOP: &str = "spiffe://holdfast/ns/default/cluster/shop";

/// An authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// All of them have the same name, so that only keys tell them apart.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key, both PEM.
    pub(crate) fn issue(&self, identity: &str) -> (String, String) {
        self.issue_for(identity, Duration::ZERO, Duration::from_secs(3600))
    }

    /// Valid from an hour before now, later by `delay`, until `lasting` after that; with a `lasting` of zero, it has ended.
    pub(crate) fn issue_for(&self, identity: &str, delay: Duration, lasting: Duration) -> (String, String) {
        let mut params = CertificateParams::default();
        let now = std::time::SystemTime::now();
        params.not_before = (now - Duration::from_secs(3600) + delay).into();
        params.not_after = if lasting.is_zero() { now - Duration::from_secs(60) } else { now + delay + lasting }.into();
        params.subject_alt_names = vec![SanType::URI(identity.to_owned().try_into().expect("ASCII"))];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// Writes a set of files.
pub(crate) fn write(folder: &Path, (certificate, key): &(String, String), trusted: &[&Authority]) {
    let bundle: String = trusted.iter().map(|authority| authority.pem()).collect();
    for (name, text) in [("tls.crt", certificate), ("tls.key", key), ("ca.crt", &bundle)] {
        std::fs::write(folder.join(name), text).expect("written");
    }
}

/// A member's files, and what it makes of them.
pub(crate) async fn member(pair: &(String, String), trusted: &[&Authority]) -> (TempDir, Tls) {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), pair, trusted);
    let tls = Tls::open(folder.path(), SHOP).await.expect("a set that can be used");
    (folder, tls)
}
