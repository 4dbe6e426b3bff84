//! The certificates of a cluster: one authority, and a certificate for each program that speaks to another. Keys are ECDSA
//! P-256, made in milliseconds.

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::json;

use super::addresses::Addresses;
use super::state::{self, State};

/// Why the certificates were not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key or certificate could not be made.
    #[error("failed to make the certificate of `{subject}`")]
    Make {
        /// Whose it is.
        subject: String,
        /// What was wrong.
        #[source]
        source: rcgen::Error,
    },
    /// It could not be written.
    #[error(transparent)]
    State(#[from] state::Error),
}

/// Makes the certificates and the kubeconfigs of a cluster in its folders `pki/` and `kubeconfig`.
pub(super) fn create(state: &State, addresses: Addresses, nodes: &[String], port: u16) -> Result<(), Error> {
    let authority = authority()?;
    state.write("pki/ca.crt", authority.pem())?;
    // The key that signs the tokens of ServiceAccounts; the API server checks them by its public half.
    let tokens = key("service accounts")?;
    state.write("pki/tokens.key", tokens.serialize_pem())?;
    state.write("pki/tokens.pub", tokens.public_key_pem())?;

    let control_plane = addresses.control_plane().to_string();
    let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"];
    let mut names: Vec<String> = names.map(str::to_owned).into();
    names.extend([control_plane.clone(), addresses.api_service().to_string(), "127.0.0.1".to_owned()]);
    let api = certificate(&authority, None, "kube-apiserver", names)?;
    state.write("pki/apiserver.crt", &api.certificate)?;
    state.write("pki/apiserver.key", &api.key)?;
    let to_kubelet = certificate(&authority, Some("system:masters"), "kube-apiserver-kubelet-client", vec![])?;
    state.write("pki/kubelet-client.crt", &to_kubelet.certificate)?;
    state.write("pki/kubelet-client.key", &to_kubelet.key)?;

    let inside = format!("https://{control_plane}:6443");
    let components = ["kube-controller-manager", "kube-scheduler", "kube-proxy"];
    for component in components {
        let issued = certificate(&authority, None, &format!("system:{component}"), vec![])?;
        state.write(format!("pki/{component}.kubeconfig"), kubeconfig(component, &inside, &authority.pem(), &issued))?;
    }
    for (name, number) in nodes.iter().zip(1..) {
        let names = vec![name.clone(), addresses.node(number).to_string()];
        let issued = certificate(&authority, Some("system:nodes"), &format!("system:node:{name}"), names)?;
        state.write(format!("pki/{name}.crt"), &issued.certificate)?;
        state.write(format!("pki/{name}.key"), &issued.key)?;
        state.write(format!("pki/{name}.kubeconfig"), kubeconfig(name, &inside, &authority.pem(), &issued))?;
    }
    let admin = certificate(&authority, Some("system:masters"), "holdfast-admin", vec![])?;
    let outside = format!("https://127.0.0.1:{port}");
    state.write("kubeconfig", kubeconfig(&format!("holdfast-{}", state.name()), &outside, &authority.pem(), &admin))?;
    Ok(())
}

/// A certificate and its key, both PEM.
struct Issued {
    certificate: String,
    key: String,
}

fn key(subject: &str) -> Result<KeyPair, Error> {
    KeyPair::generate().map_err(|source| Error::Make { subject: subject.to_owned(), source })
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, Error> {
    let subject = "holdfast lab authority";
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let issuer = CertifiedIssuer::self_signed(params, key(subject)?);
    issuer.map_err(|source| Error::Make { subject: subject.to_owned(), source })
}

/// Issues a certificate for clients and servers. To Kubernetes the organization is the group and the common name the user.
fn certificate(authority: &CertifiedIssuer<'_, KeyPair>, group: Option<&str>, user: &str, names: Vec<String>) -> Result<Issued, Error> {
    let fail = |source| Error::Make { subject: user.to_owned(), source };
    let mut params = CertificateParams::new(names).map_err(fail)?;
    params.distinguished_name.push(DnType::CommonName, user);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = key(user)?;
    let certificate = params.signed_by(&key, authority).map_err(fail)?.pem();
    Ok(Issued { certificate, key: key.serialize_pem() })
}

/// A kubeconfig that needs no other file. It is JSON, which is YAML too.
fn kubeconfig(name: &str, server: &str, authority: &str, issued: &Issued) -> String {
    let encode = |pem: &str| base64::engine::general_purpose::STANDARD.encode(pem);
    let cluster = json!({"server": server, "certificate-authority-data": encode(authority)});
    let user = json!({"client-certificate-data": encode(&issued.certificate), "client-key-data": encode(&issued.key)});
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_holds_all_it_needs() {
        let authority = authority().unwrap();
        let issued = certificate(&authority, Some("system:masters"), "admin", vec!["127.0.0.1".into()]).unwrap();
        let text = kubeconfig("lab", "https://127.0.0.1:1", &authority.pem(), &issued);
        let config: kube::config::Kubeconfig = serde_json::from_str(&text).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("lab"));
        let user = config.auth_infos[0].auth_info.as_ref().unwrap();
        assert!(user.client_certificate_data.is_some() && user.client_certificate.is_none());
    }
}
