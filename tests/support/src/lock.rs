//! A lock between processes: a file that one of them holds locked. The kernel releases it when the holder dies, so a crash
//! leaves nothing to clear up by hand.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened or locked.
    #[error("failed to lock {path}")]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process held it all the time.
    #[error("another process holds {path} since {waited:?}: let it end, or end it")]
    Held {
        /// The lock's file.
        path: PathBuf,
        /// How long we waited.
        waited: Duration,
    },
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock at `path`, waiting up to `limit` for its holder; calls `waiting` once if there is one.
    pub async fn acquire(path: &Path, limit: Duration, waiting: impl FnOnce()) -> Result<Self, Error> {
        let started = Instant::now();
        let mut waiting = Some(waiting);
        loop {
            if let Some(lock) = Self::attempt(path).map_err(|source| Error::Io { path: path.to_owned(), source })? {
                return Ok(lock);
            }
            if started.elapsed() > limit {
                return Err(Error::Held { path: path.to_owned(), waited: limit });
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn attempt(path: &Path) -> io::Result<Option<Self>> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The last holder may have removed the file between our open and our lock: then this is a lock on nothing.
        let same = match fs::metadata(path) {
            Ok(found) => found.ino() == file.metadata()?.ino(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        Ok(same.then(|| Self { _file: file, path: path.to_owned() }))
    }

    /// Removes the lock's file while it is held, so that nothing is left of it.
    pub fn remove(self) -> Result<(), Error> {
        match fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Io { path: self.path.clone(), source }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_held_lock_is_waited_for_and_then_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::acquire(&path, Duration::ZERO, || {}).await.unwrap();
        let mut waited = false;
        let second = Lock::acquire(&path, Duration::from_millis(1), || waited = true).await;
        assert!(matches!(second, Err(Error::Held { .. })), "{second:?}");
        assert!(waited);
        held.remove().unwrap();
        assert!(!path.exists());
        Lock::acquire(&path, Duration::ZERO, || {}).await.unwrap();
    }
}
