//! The folder in which what was built or installed for tests is kept from one run to the next.

use std::path::PathBuf;

/// Neither HOLDFAST_CACHE nor HOME says where the cache is.
#[derive(Debug, thiserror::Error)]
#[error("no place for the cache: set HOLDFAST_CACHE (or HOME)")]
pub struct NoCache;

/// `HOLDFAST_CACHE`, or `~/.cache/holdfast`. It need not exist.
///
/// # Errors
/// When neither HOLDFAST_CACHE nor HOME is set.
pub fn folder() -> Result<PathBuf, NoCache> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("HOLDFAST_CACHE").or_else(|| Some(set("HOME")?.join(".cache/holdfast"))).ok_or(NoCache)
}
