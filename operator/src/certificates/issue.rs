//! Makes keys and certificates: ECDSA P-256, in well under a millisecond. Every certificate gets a key of its own.

use std::time::SystemTime;

use holdfast_api::names;
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};

use super::plan::Issue;
use super::secrets::{self, Unusable};
use super::{Authority, Leaf, Times};
use crate::cluster::Cluster;

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The library refuses.
    #[error("failed to make a certificate")]
    Make(#[from] rcgen::Error),
    /// What was made cannot be read.
    #[error("made a certificate that is of no use")]
    Unusable(#[from] Unusable),
}

/// Issues for one cluster.
pub(super) struct Issuing<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) times: &'a Times,
}

impl Issuing<'_> {
    fn params(&self, now: Timestamp, until: Timestamp, name: String) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = SystemTime::from(now - self.times.backdate).into();
        params.not_after = SystemTime::from(until).into();
        params
    }
}

impl Issue for Issuing<'_> {
    fn authority(&mut self, now: Timestamp) -> Result<Authority, IssueError> {
        // No two have the same name: whoever looks at a chain sees which one it was.
        let name = format!("holdfast {} {:08x}", self.cluster.name, rand::random::<u32>());
        let mut params = self.params(now, now + self.times.authority, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Authority { key: Some(key.serialize_pem()), ..secrets::authority(&certificate)? })
    }

    fn leaf(&mut self, now: Timestamp, authority: &Authority) -> Result<Leaf, IssueError> {
        let key = authority.key.as_deref().ok_or(Unusable::NoKey)?;
        let issuer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(key)?)?;
        // What outlives its authority is refused by everybody.
        let until = (now + self.times.certificate).min(authority.until);
        let mut params = self.params(now, until, format!("holdfast member of {}", self.cluster.name));
        let identity = names::member_identity(&self.cluster.namespace, &self.cluster.name);
        params.subject_alt_names = vec![SanType::URI(identity.clone().try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?.pem();
        Ok(secrets::leaf(&certificate, &key.serialize_pem(), &identity, std::slice::from_ref(authority))?)
    }
}
