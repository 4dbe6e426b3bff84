//! Who the other end is: a certificate of an authority that is trusted, in its time, for this use, and of this very cluster.
//!
//! The cluster is told by a URI among the certificate's alternative names (`holdfast_api::names::member_identity`). rustls compares host names only,
//! and the names of hosts say nothing here: members are dialed by address, and the accepting end knows no name at all. So the chain is checked by
//! rustls, and the identity here, for both ends alike.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, RootCertStore, SignatureScheme,
};
use thiserror::Error as ThisError;
use x509_parser::extensions::GeneralName;

/// The certificate is of a trusted authority, but not of this cluster.
#[derive(Debug, ThisError)]
#[error("the certificate is of {found:?}, not of `{expected}`")]
pub(super) struct WrongIdentity {
    expected: String,
    found: Vec<String>,
}

/// Checks the other end of a connection.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    identity: String,
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PeerVerifier {
    /// `roots` must not be empty.
    pub(super) fn new(identity: &str, roots: Arc<RootCertStore>, provider: &Arc<CryptoProvider>) -> Self {
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            // The dialing end has one certificate only; which authorities there are is nobody's business.
            .clear_root_hint_subjects()
            .build()
            .expect("there are roots, and no revocation lists");
        let algorithms = provider.signature_verification_algorithms;
        Self { identity: identity.to_owned(), roots, clients, algorithms }
    }

    /// Whether this certificate would pass on both ends.
    pub(super) fn check(&self, certificate: &CertificateDer<'_>, rest: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        self.check_listener(certificate, rest, now)?;
        self.clients.verify_client_cert(certificate, rest, now).map(drop)
    }

    fn check_listener(&self, certificate: &CertificateDer<'_>, rest: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, rest, now, self.algorithms.all)?;
        self.check_identity(certificate)
    }

    fn check_identity(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let names = parsed.subject_alternative_name().map_err(|_| CertificateError::BadEncoding)?;
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let found: Vec<String> =
            names.filter_map(|name| if let GeneralName::URI(uri) = name { Some((*uri).to_owned()) } else { None }).collect();
        if found.contains(&self.identity) {
            return Ok(());
        }
        let wrong = WrongIdentity { expected: self.identity.clone(), found };
        Err(CertificateError::Other(OtherError(Arc::new(wrong))).into())
    }

    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_listener(certificate, rest, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.clients.verify_client_cert(certificate, rest, now)?;
        self.check_identity(certificate).map(|()| verified)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
