//! Members' certificates, as tests need them.

use holdfast_support::certificates::{Authority, SHOP, write};
use tempfile::TempDir;

use super::Tls;

/// A member's files, and what it makes of them.
pub(crate) async fn member(pair: &(String, String), trusted: &[&Authority]) -> (TempDir, Tls) {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), pair, trusted);
    let tls = Tls::open(folder.path(), SHOP).await.expect("a set that can be used");
    (folder, tls)
}
