//! The inside of a running container, for a test that wants to be where the application is: its files and its network, without
//! a program in it and without a way through the cluster's network, so that a node that is cut off can still be asked.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::containers;
use super::faults::Error;
use super::handle::{Cluster, Error as ClusterError};
use super::process::Identity;

/// The number of a question to a name server.
const QUESTION: [u8; 2] = [0x48, 0x46];

/// A question for the IPv4 address of a name (RFC 1035, 4.1).
fn question(name: &str) -> Vec<u8> {
    let mut packet = [&QUESTION[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap_or(63));
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

/// A container as it runs now: of no use after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside {
    process: Identity,
}

impl Cluster {
    /// The inside of a container of a pod.
    pub fn inside(&self, ns: &str, pod: &str, container: &str) -> Result<Inside, ClusterError> {
        let lab = self.lab("looking into a container")?;
        let found = containers::of_name(&lab.state, &lab.topology, ns, pod, container).map_err(Error::from)?;
        let processes = found.processes().map_err(Error::from)?;
        let process = processes.into_iter().min_by_key(|process| process.started);
        let process = process.ok_or_else(|| Error::from(containers::Error::NoPod { pod: format!("{ns}/{pod}") }))?;
        Ok(Inside { process })
    }
}

impl Inside {
    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(self) -> bool {
        self.process.is_alive()
    }

    /// A file of the container, as this machine sees it. `path` is absolute in the container.
    #[must_use]
    pub fn file(self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/{}", self.process.pid, path.trim_start_matches('/')))
    }

    /// Connects to an address as the container's own processes would.
    ///
    /// # Errors
    /// What the system says.
    pub async fn connect(self, to: SocketAddr) -> io::Result<tokio::net::TcpStream> {
        let stream = self.there(move || std::net::TcpStream::connect_timeout(&to, Duration::from_secs(2))).await?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        tokio::net::TcpStream::from_std(stream)
    }

    /// A socket for datagrams, as the container's own processes would have it.
    ///
    /// # Errors
    /// What the system says.
    pub async fn datagrams(self) -> io::Result<tokio::net::UdpSocket> {
        let socket = self.there(|| std::net::UdpSocket::bind("0.0.0.0:0")).await?;
        socket.set_nonblocking(true)?;
        tokio::net::UdpSocket::from_std(socket)
    }

    /// Whether a name server answers a question for a name's address within a second, whatever its answer is.
    ///
    /// # Errors
    /// What the system says of the socket.
    pub async fn resolves(self, server: SocketAddr, name: &str) -> io::Result<bool> {
        let socket = self.datagrams().await?;
        socket.connect(server).await?;
        socket.send(&question(name)).await?;
        let mut answer = [0; 512];
        match tokio::time::timeout(Duration::from_secs(1), socket.recv(&mut answer)).await {
            Ok(Ok(length)) => Ok(length > 2 && answer[..2] == QUESTION),
            // Refused, as nobody listens: the server is not there.
            Ok(Err(_)) | Err(_) => Ok(false),
        }
    }

    /// Runs `make` in the container's network. A thread of its own enters that and ends in it; a socket stays where it was made.
    async fn there<T: Send + 'static>(self, make: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", self.process.pid))?;
        let (made, wait) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("inside".to_owned()).spawn(move || {
            let entered = setns(namespace, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
            // Nobody waits any more: then what was made is dropped.
            drop(made.send(entered.and_then(|()| make())));
        })?;
        wait.await.unwrap_or_else(|_| Err(io::Error::other("the thread in the container's network ended")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_as_the_standard_says() {
        assert_eq!(question("a.bc"), b"\x48\x46\x01\0\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x01\0\x01");
    }
}
