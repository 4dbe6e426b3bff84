//! Handshakes over loopback: who is let in, who is not, and what a change of the files does.

use std::time::Duration;

use holdfast_support::certificates::{Authority, SHOP, write};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::refusal::Reason;
use super::testing::member;
use super::*;

/// What the accepting and the dialing end make of each other. The dialing end reads one byte: only then does it know.
async fn meet(accepting: &Tls, dialing: &Tls) -> (Result<(), Reason>, Result<(), Reason>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let accept = async {
        let (stream, _) = listener.accept().await.expect("accepts");
        let mut stream = accepting.inner.current.load().acceptor.accept(stream).await.map_err(|error| Reason::of(&error))?;
        stream.write_all(b"!").await.map_err(|error| Reason::of(&error))?;
        stream.shutdown().await.map_err(|error| Reason::of(&error))
    };
    let dial = async {
        let stream = TcpStream::connect(addr).await.expect("connects");
        let name = ServerName::try_from("holdfast").expect("a name");
        let mut stream = dialing.inner.current.load().connector.connect(name, stream).await.map_err(|error| Reason::of(&error))?;
        stream.read_u8().await.map(drop).map_err(|error| Reason::of(&error))
    };
    tokio::join!(accept, dial)
}

/// A stranger's own rules: it takes everybody, so that only the other end decides.
fn stranger(pair: Option<&(String, String)>) -> TlsConnector {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let config = match pair {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM")).expect("a pair")
        }
    };
    TlsConnector::from(Arc::new(config))
}

#[derive(Debug)]
struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What a member says to a stranger who shows this.
async fn refusal_of(pair: Option<&(String, String)>, member: &Tls) -> Option<Reason> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let dial = tokio::spawn({
        let connector = stranger(pair);
        async move {
            let stream = TcpStream::connect(addr).await.expect("connects");
            let name = ServerName::try_from("holdfast").expect("a name");
            if let Ok(mut stream) = connector.connect(name, stream).await {
                let _ = stream.read_u8().await;
            }
        }
    });
    let (stream, _) = listener.accept().await.expect("accepts");
    let refused = member.inner.current.load().acceptor.accept(stream).await.err().map(|error| Reason::of(&error));
    dial.await.expect("the stranger goes away");
    refused
}

#[tokio::test]
async fn members_of_one_cluster_meet_and_speak_tls_1_3() {
    let ca = Authority::new();
    let ((_one, a), (_two, b)) = (member(&ca.issue(SHOP), &[&ca]).await, member(&ca.issue(SHOP), &[&ca]).await);
    assert_eq!(meet(&a, &b).await, (Ok(()), Ok(())));
}

#[tokio::test]
async fn each_kind_of_stranger_is_refused_for_its_own_reason() {
    let (ca, other) = (Authority::new(), Authority::new());
    let (_folder, shop) = member(&ca.issue(SHOP), &[&ca]).await;
    let hour = Duration::from_secs(3600);
    let cases = [
        (Some(ca.issue(SHOP)), None),
        (Some(ca.issue("spiffe://holdfast/ns/default/cluster/shop-2")), Some(Reason::WrongIdentity)),
        (Some(ca.issue("spiffe://holdfast/ns/other/cluster/shop")), Some(Reason::WrongIdentity)),
        (Some(other.issue(SHOP)), Some(Reason::UnknownAuthority)),
        (Some(ca.issue_for(SHOP, Duration::ZERO, Duration::ZERO)), Some(Reason::Expired)),
        (Some(ca.issue_for(SHOP, 2 * hour, hour)), Some(Reason::NotYetValid)),
        (None, Some(Reason::NoCertificate)),
    ];
    for (pair, expected) in cases {
        assert_eq!(refusal_of(pair.as_ref(), &shop).await, expected, "{:?}", pair.map(|pair| pair.0));
    }
}

#[tokio::test]
async fn the_dialing_end_checks_just_as_much() {
    let (ca, other) = (Authority::new(), Authority::new());
    let (_shop, shop) = member(&ca.issue(SHOP), &[&ca]).await;
    let (_other, of_other_authority) = member(&other.issue(SHOP), &[&ca, &other]).await;
    assert_eq!(meet(&of_other_authority, &shop).await.1, Err(Reason::UnknownAuthority));

    let folder = tempfile::tempdir().expect("a folder");
    let theirs = "spiffe://holdfast/ns/default/cluster/other";
    write(folder.path(), &ca.issue(theirs), &[&ca]);
    let of_other_cluster = Tls::open(folder.path(), theirs).await.expect("right for them");
    assert_eq!(meet(&of_other_cluster, &shop).await.1, Err(Reason::WrongIdentity));
    assert_eq!(meet(&shop, &of_other_cluster).await.1, Err(Reason::WrongIdentity));
}

#[tokio::test]
async fn the_dialing_end_learns_that_it_was_refused() {
    let (ca, other) = (Authority::new(), Authority::new());
    let (_shop, shop) = member(&ca.issue(SHOP), &[&ca]).await;
    let (_late, late) = member(&other.issue(SHOP), &[&ca, &other]).await;
    assert_eq!(meet(&shop, &late).await, (Err(Reason::UnknownAuthority), Err(Reason::ByPeer)));
}

#[tokio::test]
async fn a_plaintext_stranger_and_one_that_goes_away_are_told_apart() {
    let ca = Authority::new();
    let (_folder, shop) = member(&ca.issue(SHOP), &[&ca]).await;
    let greeting = [0, 0, 0, 60, 1, 2, 3, 4];
    for (bytes, expected) in [(&greeting[..], Reason::Plaintext), (b"GET / HTTP/1.1\r\n\r\n", Reason::Plaintext), (b"", Reason::Closed)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connects");
        stream.write_all(bytes).await.expect("sends");
        stream.shutdown().await.expect("ends");
        let (accepted, _) = listener.accept().await.expect("accepts");
        let refused = shop.inner.current.load().acceptor.accept(accepted).await.expect_err("refused");
        assert_eq!(Reason::of(&refused), expected);
    }
}

#[tokio::test]
async fn authorities_overlap() {
    let (old, new) = (Authority::new(), Authority::new());
    let (_a, before) = member(&old.issue(SHOP), &[&old]).await;
    let (_b, bundle) = member(&old.issue(SHOP), &[&old, &new]).await;
    let (_c, leaf) = member(&new.issue(SHOP), &[&old, &new]).await;
    let (_d, after) = member(&new.issue(SHOP), &[&new]).await;
    for (one, other) in [(&before, &bundle), (&bundle, &leaf), (&leaf, &after)] {
        assert_eq!(meet(one, other).await, (Ok(()), Ok(())));
        assert_eq!(meet(other, one).await, (Ok(()), Ok(())));
    }
}

#[tokio::test]
async fn new_files_are_taken_up_and_broken_ones_are_not() {
    let (ca, other) = (Authority::new(), Authority::new());
    let first = ca.issue(SHOP);
    let (folder, shop) = member(&first, &[&ca]).await;
    let serial = |tls: &Tls| tls.inner.current.load().serial.clone();
    let at_first = serial(&shop);
    shop.refresh().await;
    assert_eq!(serial(&shop), at_first, "nothing changed");

    let second = ca.issue(SHOP);
    let path = |name: &str| folder.path().join(name);
    for (what, files) in [
        ("the certificate is new, the key is not", (second.0.clone(), first.1.clone())),
        ("half a certificate", (second.0[..200].to_owned(), second.1.clone())),
        ("an empty key", (second.0.clone(), String::new())),
        ("of another cluster", ca.issue("spiffe://holdfast/ns/default/cluster/other")),
        ("of an authority that is not in the bundle", other.issue(SHOP)),
    ] {
        write(folder.path(), &files, &[&ca]);
        shop.refresh().await;
        assert_eq!(serial(&shop), at_first, "{what}");
    }
    std::fs::remove_file(path("ca.crt")).expect("removed");
    shop.refresh().await;
    assert_eq!(serial(&shop), at_first, "a file is missing");
    std::fs::write(path("ca.crt"), "").expect("written");
    shop.refresh().await;
    assert_eq!(serial(&shop), at_first, "nobody to trust");

    write(folder.path(), &second, &[&ca, &other]);
    shop.refresh().await;
    assert_ne!(serial(&shop), at_first);
    assert_eq!(shop.inner.current.load().authorities.len(), 2);
}

#[tokio::test]
async fn a_set_that_cannot_be_used_is_refused_at_the_start_and_says_which_file() {
    let ca = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let open = async || Tls::open(folder.path(), SHOP).await.expect_err("refused").to_string();
    assert!(open().await.contains("tls.crt"));
    let (certificate, key) = ca.issue(SHOP);
    write(folder.path(), &(certificate.clone(), "-----BEGIN".to_owned()), &[&ca]);
    assert_eq!(open().await, "`tls.key` does not hold a private key in PEM format");
    write(folder.path(), &(certificate, key), &[]);
    assert_eq!(open().await, "`ca.crt` does not hold a certificate in PEM format");
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let ca = Authority::new();
    let pair = ca.issue(SHOP);
    let (folder, shop) = member(&pair, &[&ca]).await;
    let line = pair.1.lines().nth(1).expect("a line of the key").to_owned();
    assert!(!format!("{shop:?}").contains(&line[..16]));
    std::fs::write(folder.path().join("tls.crt"), &pair.1).expect("written");
    let error = Tls::open(folder.path(), SHOP).await.expect_err("a key is no certificate");
    assert!(!format!("{error} {error:?}").contains(&line[..16]));
}

#[tokio::test]
async fn an_expired_certificate_is_taken_but_counts_below_zero() {
    let ca = Authority::new();
    let (_folder, shop) = member(&ca.issue_for(SHOP, Duration::ZERO, Duration::ZERO), &[&ca]).await;
    assert!(shop.inner.current.load().seconds_left() < 0.0);
}

#[tokio::test]
async fn whoever_says_nothing_is_sent_away_in_time() {
    let ca = Authority::new();
    let (_folder, shop) = member(&ca.issue(SHOP), &[&ca]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let _silent = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connects");
    let (accepted, from) = listener.accept().await.expect("accepts");
    let waited = timeout(HANDSHAKE_TIMEOUT + Duration::from_secs(5), shop.accept(accepted, from)).await.expect("it ends");
    assert!(waited.is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Garbage, also such that begins like a handshake, ends the connection and nothing else.
    #[test]
    fn garbage_neither_hangs_nor_crashes(header in prop::bool::ANY, pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let ca = Authority::new();
            let (_folder, shop) = member(&ca.issue(SHOP), &[&ca]).await;
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let mut stranger = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connects");
            let (accepted, from) = listener.accept().await.expect("accepts");
            let speak = async {
                if header {
                    let _ = stranger.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]).await;
                }
                for piece in pieces {
                    // It may have been cut off already.
                    let _ = stranger.write_all(&piece).await;
                }
                let _ = stranger.shutdown().await;
            };
            let (refused, ()) = timeout(HANDSHAKE_TIMEOUT + Duration::from_secs(5), async {
                tokio::join!(shop.accept(accepted, from), speak)
            }).await.expect("it ends");
            assert!(refused.is_none());
        });
    }
}
