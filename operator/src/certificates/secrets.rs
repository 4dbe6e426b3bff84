//! How authorities and certificates are stored in Secrets, and read from them. Whatever has been damaged there is taken for lost, piece by piece.

use std::collections::BTreeMap;

use holdfast_api::{LinksReport, names};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rcgen::{KeyPair, PublicKeyData};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;

use super::{Authorities, Authority, Leaf, Published};
use crate::build;
use crate::cluster::Cluster;

/// Annotation on the authorities' Secret: which of them issues.
const SIGNER: &str = "holdfast.dev/signer";
/// Annotation on the authorities' Secret: the last request for another one that was followed.
const ROTATED_AUTHORITY: &str = "holdfast.dev/rotated-authority";
/// Annotation on the pods' Secret: since when its bundle is complete.
const BUNDLE_SINCE: &str = "holdfast.dev/bundle-since";
/// Annotation on the pods' Secret: since when its certificate is the one that is in it.
const CERTIFICATE_SINCE: &str = "holdfast.dev/certificate-since";
/// Annotation on the pods' Secret: the last request for another certificate that was followed.
const ROTATED_CERTIFICATES: &str = "holdfast.dev/rotated-certificates";

/// Why a stored piece counts as lost. What it holds stays unsaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Not PEM, or not a certificate.
    #[error("it is not a certificate")]
    NotACertificate,
    /// A certificate that may not issue others.
    #[error("it is not the certificate of an authority")]
    NotAnAuthority,
    /// The key is missing, or belongs to another certificate.
    #[error("its key is missing or of another certificate")]
    NoKey,
    /// It says another cluster.
    #[error("it is not the certificate of a member of this cluster")]
    NotAMember,
    /// None of the authorities there has issued it.
    #[error("it is of an unknown authority")]
    Unknown,
}

/// An authority from its certificate, without a key.
pub(super) fn authority(pem: &str) -> Result<Authority, Unusable> {
    let der = pems(pem.as_bytes()).into_iter().next().ok_or(Unusable::NotACertificate)?;
    let parsed = der.parse_x509().map_err(|_| Unusable::NotACertificate)?;
    if !parsed.is_ca() {
        return Err(Unusable::NotAnAuthority);
    }
    let (from, until) = validity(&parsed)?;
    Ok(Authority { id: id(&parsed), from, until, certificate: pem.to_owned(), key: None })
}

/// A member's certificate, if it can be used.
pub(super) fn leaf(pem: &str, key: &str, identity: &str, authorities: &[Authority]) -> Result<Leaf, Unusable> {
    let der = pems(pem.as_bytes()).into_iter().next().ok_or(Unusable::NotACertificate)?;
    let parsed = der.parse_x509().map_err(|_| Unusable::NotACertificate)?;
    let names = parsed.subject_alternative_name().map_err(|_| Unusable::NotACertificate)?.ok_or(Unusable::NotAMember)?;
    if !names.value.general_names.contains(&GeneralName::URI(identity)) {
        return Err(Unusable::NotAMember);
    }
    if !is_pair(&parsed, key) {
        return Err(Unusable::NoKey);
    }
    let issued = |authority: &&Authority| {
        pems(authority.certificate.as_bytes())
            .first()
            .and_then(|der| der.parse_x509().ok())
            .is_some_and(|issuer| parsed.verify_signature(Some(issuer.public_key())).is_ok())
    };
    let authority = authorities.iter().find(issued).ok_or(Unusable::Unknown)?;
    let (from, until) = validity(&parsed)?;
    Ok(Leaf { id: id(&parsed), authority: authority.id.clone(), from, until, certificate: pem.to_owned(), key: key.to_owned() })
}

/// The serial number, as a key of a Secret may be written, and as members say it.
fn id(certificate: &X509Certificate<'_>) -> String {
    LinksReport::serial(certificate.raw_serial())
}

fn validity(certificate: &X509Certificate<'_>) -> Result<(Timestamp, Timestamp), Unusable> {
    let moment = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).map_err(|_| Unusable::NotACertificate);
    Ok((moment(certificate.validity().not_before)?, moment(certificate.validity().not_after)?))
}

fn is_pair(certificate: &X509Certificate<'_>, key: &str) -> bool {
    KeyPair::from_pem(key).is_ok_and(|key| key.subject_public_key_info() == certificate.public_key().raw)
}

/// The PEM blocks of a text up to the first that is damaged.
fn pems(text: &[u8]) -> Vec<Pem> {
    Pem::iter_from_buffer(text).map_while(Result::ok).collect()
}

/// All authorities of a bundle that can be read.
fn bundle(text: &str) -> Vec<Authority> {
    const END: &str = "-----END CERTIFICATE-----\n";
    text.split_inclusive(END).filter_map(|pem| authority(pem.trim_start()).ok()).collect()
}

/// The operator's own Secret; `None` if nothing in it is of use.
pub(super) fn read_authorities(secret: &Secret) -> Option<Authorities> {
    let mut list = bundle(text(secret, names::AUTHORITIES_KEY)?);
    for authority in &mut list {
        let key = text(secret, &key_name(&authority.id)).map(str::to_owned);
        let parsed = pems(authority.certificate.as_bytes());
        let parsed = parsed.first().and_then(|der| der.parse_x509().ok());
        authority.key = key.filter(|key| parsed.is_some_and(|parsed| is_pair(&parsed, key)));
    }
    let signer = annotation(secret, SIGNER).unwrap_or_default();
    (!list.is_empty()).then(|| Authorities { list, signer, rotated: annotation(secret, ROTATED_AUTHORITY) })
}

/// The pods' Secret.
pub(super) fn read_published(secret: &Secret, identity: &str) -> Published {
    let bundle = text(secret, names::AUTHORITIES_KEY).map(bundle).unwrap_or_default();
    let pair = text(secret, names::CERTIFICATE_KEY).zip(text(secret, names::PRIVATE_KEY_KEY));
    let leaf = pair.and_then(|(certificate, key)| leaf(certificate, key, identity, &bundle).ok());
    let moment = |name| annotation(secret, name).and_then(|text| text.parse().ok());
    Published {
        bundle,
        bundle_since: moment(BUNDLE_SINCE),
        leaf,
        leaf_since: moment(CERTIFICATE_SINCE),
        rotated: annotation(secret, ROTATED_CERTIFICATES),
    }
}

/// The operator's own Secret. No pod mounts it.
pub(super) fn of_authorities(cluster: &Cluster, authorities: &Authorities) -> Secret {
    let certificates = authorities.list.iter().map(|authority| authority.certificate.as_str()).collect();
    let keys = authorities.list.iter().filter_map(|authority| Some((key_name(&authority.id), authority.key.clone()?)));
    let data = std::iter::once((names::AUTHORITIES_KEY.to_owned(), certificates)).chain(keys);
    let annotations = [(SIGNER, Some(authorities.signer.clone())), (ROTATED_AUTHORITY, authorities.rotated.clone())];
    secret(cluster, names::authority_secret(&cluster.name), "Opaque", data, annotations)
}

/// The Secret that the members' pods mount.
pub(super) fn of_published(cluster: &Cluster, published: &Published) -> Secret {
    let certificates = published.bundle.iter().map(|authority| authority.certificate.as_str()).collect();
    let (certificate, key) = published.leaf.as_ref().map(|leaf| (leaf.certificate.clone(), leaf.key.clone())).unwrap_or_default();
    let data = [(names::AUTHORITIES_KEY, certificates), (names::CERTIFICATE_KEY, certificate), (names::PRIVATE_KEY_KEY, key)]
        .map(|(name, text)| (name.to_owned(), text));
    let annotations = [
        (BUNDLE_SINCE, published.bundle_since.map(|since| since.to_string())),
        (CERTIFICATE_SINCE, published.leaf_since.map(|since| since.to_string())),
        (ROTATED_CERTIFICATES, published.rotated.clone()),
    ];
    secret(cluster, names::tls_secret(&cluster.name), "kubernetes.io/tls", data, annotations)
}

fn secret(
    cluster: &Cluster,
    name: String,
    type_: &str,
    data: impl IntoIterator<Item = (String, String)>,
    annotations: impl IntoIterator<Item = (&'static str, Option<String>)>,
) -> Secret {
    let mut metadata = build::object(cluster, name, names::MEMBER);
    metadata.annotations = Some(annotations.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect());
    Secret {
        metadata,
        type_: Some(type_.to_owned()),
        data: Some(data.into_iter().map(|(name, text)| (name, ByteString(text.into_bytes()))).collect::<BTreeMap<_, _>>()),
        ..Secret::default()
    }
}

fn key_name(id: &str) -> String {
    format!("{id}.key")
}

fn text<'a>(secret: &'a Secret, name: &str) -> Option<&'a str> {
    std::str::from_utf8(&secret.data.as_ref()?.get(name)?.0).ok()
}

fn annotation(secret: &Secret, name: &str) -> Option<String> {
    secret.metadata.annotations.as_ref()?.get(name).cloned()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::super::issue::Issuing;
    use super::super::plan::{Issue, Step, carry_out};
    use super::super::{Requests, Stored, TIMES};
    use super::*;
    use crate::testing::{self, noon};

    const SHOP: &str = "spiffe://holdfast/ns/default/cluster/shop";

    fn made() -> (Cluster, Stored) {
        let cluster = testing::cluster(json!({}));
        let mut issuer = Issuing { cluster: &cluster, times: &TIMES };
        let steps = [Step::AddAuthority, Step::Switch, Step::AddAuthority, Step::Publish { issue: true }];
        let stored = carry_out(noon(), &steps, &Stored::default(), &Requests::default(), &mut issuer).expect("made");
        (cluster, stored)
    }

    #[test]
    fn both_secrets_are_read_as_they_were_written() {
        let (cluster, stored) = made();
        let (authorities, published) = (stored.authorities.expect("made"), stored.published.expect("made"));
        assert_eq!(authorities.list.len(), 2);
        let secret = of_authorities(&cluster, &authorities);
        assert_eq!(read_authorities(&secret).as_ref(), Some(&authorities));
        let secret = of_published(&cluster, &published);
        assert_eq!(read_published(&secret, SHOP), published);
        assert_eq!(published.leaf.expect("made").authority, authorities.signer);
    }

    #[test]
    fn the_pods_secret_holds_no_key_of_an_authority() {
        let (cluster, stored) = made();
        let secret = of_published(&cluster, &stored.published.expect("made"));
        let data = secret.data.expect("data");
        assert_eq!(data.keys().collect::<Vec<_>>(), ["ca.crt", "tls.crt", "tls.key"]);
        for authority in stored.authorities.expect("made").list {
            let key = authority.key.expect("a key");
            assert!(data.values().all(|value| value.0 != key.as_bytes()));
            assert!(!format!("{:?}", data["ca.crt"]).contains("PRIVATE"));
        }
    }

    #[test]
    fn certificates_begin_in_the_past_and_end_no_later_than_their_authority() {
        let (cluster, stored) = made();
        let leaf = stored.published.expect("made").leaf.expect("made");
        assert_eq!((leaf.from, leaf.until), (noon() - TIMES.backdate, noon() + TIMES.certificate));
        let mut issuer = Issuing { cluster: &cluster, times: &TIMES };
        let authority = issuer.authority(noon()).expect("made");
        let late = issuer.leaf(authority.until - SignedDuration::from_hours(1), &authority).expect("made");
        assert_eq!(late.until, authority.until);
    }

    #[test]
    fn whatever_is_damaged_is_lost_and_the_rest_is_not() {
        let (cluster, stored) = made();
        let (authorities, published) = (stored.authorities.expect("made"), stored.published.expect("made"));
        let damaged = |change: &dyn Fn(&mut BTreeMap<String, ByteString>)| {
            let mut secret = of_authorities(&cluster, &authorities);
            change(secret.data.as_mut().expect("data"));
            read_authorities(&secret)
        };
        let key = key_name(&authorities.list[0].id);
        let without_key = damaged(&|data| drop(data.remove(&key))).expect("the certificates are there");
        assert_eq!(without_key.list.iter().map(|known| known.key.is_some()).collect::<Vec<_>>(), [false, true]);
        let other = key_name(&authorities.list[1].id);
        let swapped = damaged(&|data| drop(data.insert(key.clone(), data[&other].clone()))).expect("the certificates are there");
        assert!(swapped.list[0].key.is_none(), "a key of another authority");
        assert_eq!(damaged(&|data| drop(data.insert("ca.crt".to_owned(), ByteString(b"\xff\0".to_vec())))), None);

        let damaged = |name: &str, content: &[u8]| {
            let mut secret = of_published(&cluster, &published);
            secret.data.as_mut().expect("data").insert(name.to_owned(), ByteString(content.to_vec()));
            read_published(&secret, SHOP)
        };
        assert_eq!((damaged("tls.key", b"").leaf, damaged("tls.crt", b"-----BEGIN").leaf), (None, None));
        assert_eq!(damaged("tls.key", b"").bundle.len(), 2);
        let half = &of_published(&cluster, &published).data.expect("data")["ca.crt"].0;
        assert_eq!(damaged("ca.crt", &half[..half.len() - 40]).bundle.len(), 1);
        assert_eq!(read_published(&of_published(&cluster, &published), "spiffe://holdfast/ns/default/cluster/other").leaf, None);
    }
}
