//! Authorities of the links between members, and certificates for these, made on the spot.

use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

/// The identity of the members in tests.
pub const SHOP: &str = "spiffe://holdfast/ns/default/cluster/shop";

/// An authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// All of them have the same name, so that only keys tell them apart.
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    /// Its certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key, both PEM.
    #[must_use]
    pub fn issue(&self, identity: &str) -> (String, String) {
        self.issue_for(identity, Duration::ZERO, Duration::from_secs(3600))
    }

    /// Valid from an hour before now, later by `delay`, until `lasting` after that; with a `lasting` of zero, it has ended.
    #[must_use]
    pub fn issue_for(&self, identity: &str, delay: Duration, lasting: Duration) -> (String, String) {
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
pub fn write(folder: &Path, (certificate, key): &(String, String), trusted: &[&Authority]) {
    let bundle: String = trusted.iter().map(|authority| authority.pem()).collect();
    for (name, text) in [("tls.crt", certificate), ("tls.key", key), ("ca.crt", &bundle)] {
        std::fs::write(folder.join(name), text).expect("written");
    }
}
