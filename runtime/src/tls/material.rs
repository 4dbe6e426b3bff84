//! The three files, and what is made of them. A set is used as a whole or not at all.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::Resumption;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::peer::PeerVerifier;

/// The names of the files, which are those of the Secret's keys.
pub(super) const CERTIFICATE: &str = "tls.crt";
pub(super) const PRIVATE_KEY: &str = "tls.key";
pub(super) const AUTHORITIES: &str = "ca.crt";

/// Far above any sensible file: a wrong path (a device, a log) must not fill the memory.
const LONGEST: u64 = 1 << 20;

/// Why the files are of no use. What they hold stays unsaid.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is missing or unreadable.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("`{file}` does not hold {right} in PEM format")]
    Pem {
        /// Its name.
        file: &'static str,
        /// What it should hold.
        right: &'static str,
        /// What is wrong.
        source: pem::Error,
    },
    /// A certificate that is none.
    #[error("`{0}` holds something that is not a certificate")]
    NotACertificate(&'static str),
    /// The certificate and the key are not a pair, or of a kind that is not supported.
    #[error("`tls.crt` and `tls.key` cannot be used together")]
    Pair(#[source] rustls::Error),
    /// The others would refuse it.
    #[error("`tls.crt` would be refused by every member that has this `ca.crt`")]
    NotAMember(#[source] rustls::Error),
}

/// The files as they are.
pub(super) struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Vec<u8>,
}

impl Files {
    pub(super) async fn read(folder: &Path) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(folder.join(CERTIFICATE)).await?,
            key: read(folder.join(PRIVATE_KEY)).await?,
            authorities: read(folder.join(AUTHORITIES)).await?,
        })
    }

    /// Tells one content from another.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.certificate, &self.key, &self.authorities).hash(&mut hasher);
        hasher.finish()
    }
}

async fn read(path: PathBuf) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let reading = async { tokio::fs::File::open(&path).await?.take(LONGEST).read_to_end(&mut bytes).await };
    match reading.await {
        Ok(_) => Ok(bytes),
        Err(source) => Err(TlsError::Read { path, source }),
    }
}

/// A set that can be used.
pub(super) struct Material {
    pub(super) acceptor: TlsAcceptor,
    pub(super) connector: TlsConnector,
    /// Serial numbers of the authorities that it trusts.
    pub(super) authorities: Vec<String>,
    /// Serial number of the certificate.
    pub(super) serial: String,
    /// When the certificate ends, for the log.
    pub(super) ends: String,
    not_after: SystemTime,
}

/// Without the keys.
impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Material").field("serial", &self.serial).field("ends", &self.ends).finish_non_exhaustive()
    }
}

impl Material {
    pub(super) fn new(files: &Files, identity: &str) -> Result<Self, TlsError> {
        let chain = certificates(CERTIFICATE, &files.certificate)?;
        let authorities = certificates(AUTHORITIES, &files.authorities)?;
        let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|source| TlsError::Pem {
            file: PRIVATE_KEY,
            right: "a private key",
            source,
        })?;
        let mut roots = RootCertStore::empty();
        let mut trusted = Vec::new();
        for authority in &authorities {
            let (_, parsed) = x509_parser::parse_x509_certificate(authority).map_err(|_| TlsError::NotACertificate(AUTHORITIES))?;
            trusted.push(hexadecimal(parsed.raw_serial()));
            roots.add(authority.clone()).map_err(|_| TlsError::NotACertificate(AUTHORITIES))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(PeerVerifier::new(identity, Arc::new(roots), &provider));

        let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).map_err(|_| TlsError::NotACertificate(CERTIFICATE))?;
        let moment = |time: x509_parser::time::ASN1Time| Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or_default());
        // Whether it is out of date is no reason to refuse it here: a newer one may be on its way, and each handshake looks at the clock.
        let in_its_time = UnixTime::since_unix_epoch(moment(leaf.validity().not_before));
        verifier.check(&chain[0], &chain[1..], in_its_time).map_err(TlsError::NotAMember)?;

        let tls13 = "TLS 1.3 is what this provider speaks";
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect(tls13)
            .with_client_cert_verifier(verifier.clone())
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(TlsError::Pair)?;
        // A resumed session would skip the check of the certificate.
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect(tls13)
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(chain.clone(), key)
            .map_err(TlsError::Pair)?;
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            authorities: trusted,
            serial: hexadecimal(leaf.raw_serial()),
            ends: leaf.validity().not_after.to_string(),
            not_after: UNIX_EPOCH + moment(leaf.validity().not_after),
        })
    }

    /// Until the certificate ends; negative afterwards.
    pub(super) fn seconds_left(&self) -> f64 {
        match self.not_after.duration_since(SystemTime::now()) {
            Ok(left) => left.as_secs_f64(),
            Err(past) => -past.duration().as_secs_f64(),
        }
    }
}

/// A serial number as it is written everywhere.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// At least one.
fn certificates(file: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::Pem { file, right: "a certificate", source };
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if all.is_empty() { Err(wrong(pem::Error::NoItemsFound)) } else { Ok(all) }
}
