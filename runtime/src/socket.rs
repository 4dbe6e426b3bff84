//! The unix socket: a file, which outlives a process that was killed, and which must not be taken from one that lives.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use axum::serve::Listener;
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};

/// Why a socket could not be made.
#[derive(Debug, Error)]
pub enum SocketError {
    /// The folder is not there.
    #[error("the folder `{}` is not there (is the volume mounted?)", .0.display())]
    NoFolder(PathBuf),
    /// There is something else.
    #[error("it is there, and is no socket")]
    NoSocket,
    /// Another process serves it.
    #[error("another process listens on it")]
    InUse,
    /// The operating system refused.
    #[error("failed to {what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// The mode of a socket that the application uses, which may run as any user.
pub(crate) const EVERYBODY: u32 = 0o777;

/// The mode of a socket for the user of this process only.
pub(crate) const ONLY_US: u32 = 0o700;

/// A unix socket; its file goes when this does.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    file: (u64, u64),
}

impl Socket {
    /// Listens on `path`. A file that a dead process left is replaced in one step, so no client ever finds it missing, or with other permissions
    /// than those that `mode` says.
    pub(crate) fn bind(path: &Path, mode: u32) -> Result<Socket, SocketError> {
        let io = |what| move |source| SocketError::Io { what, source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(SocketError::NoFolder(folder.to_owned()));
        }
        check_stale(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let new = folder.join(format!(".{name}.{}", std::process::id()));
        // Of a former process with our number, which died between the next two steps.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io("remove a leftover beside it")(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&new).map_err(io("make it"))?;
        let placed = fs::set_permissions(&new, Permissions::from_mode(mode)).and_then(|()| fs::rename(&new, path));
        if let Err(error) = placed {
            // Nobody knows that file yet; the first error is the one to tell.
            let _ = fs::remove_file(&new);
            return Err(io("put it in its place")(error));
        }
        let file = identity(path).map_err(io("look at it"))?;
        Ok(Socket { listener, path: path.to_owned(), file })
    }
}

impl Listener for Socket {
    type Io = UnixStream;
    type Addr = <UnixListener as Listener>::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        Listener::accept(&mut self.listener).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Listener::local_addr(&self.listener)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Only if it is still this one: a successor may have put its own there.
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

fn check_stale(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(SocketError::Io { what: "look at it", source }),
        Ok(file) if !file.file_type().is_socket() => return Err(SocketError::NoSocket),
        Ok(_) => {}
    }
    // The standard library's: it does not wait, a connection is made or refused at once.
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse),
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Ok(()),
        Err(source) => Err(SocketError::Io { what: "find out whether another process listens on it", source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("redis.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        let socket = Socket::bind(&path, EVERYBODY).expect("a socket");
        assert_eq!(fs::metadata(&path).expect("the file system works").permissions().mode() & 0o777, 0o777);
        assert!(matches!(Socket::bind(&path, EVERYBODY), Err(SocketError::InUse)));
        drop(socket);
        assert_eq!(fs::read_dir(folder.path()).expect("the file system works").count(), 0, "nothing is left behind");
    }

    #[tokio::test]
    async fn what_is_not_ours_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("redis.sock");
        fs::write(&path, "precious").expect("the file system works");
        assert!(matches!(Socket::bind(&path, EVERYBODY), Err(SocketError::NoSocket)));
        assert_eq!(fs::read(&path).expect("the file system works"), b"precious");
        assert!(matches!(Socket::bind(&folder.path().join("no/redis.sock"), EVERYBODY), Err(SocketError::NoFolder(_))));
    }

    #[tokio::test]
    async fn a_successor_keeps_its_socket_when_its_predecessor_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("redis.sock");
        let old = Socket::bind(&path, EVERYBODY).expect("a socket");
        fs::remove_file(&path).expect("the file system works");
        let _new = Socket::bind(&path, EVERYBODY).expect("a socket");
        drop(old);
        assert!(path.exists());
    }
}
