//! A real redis-server of the 7.0 line.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The real one; it ends with this.
pub(crate) struct Reference {
    process: Child,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Reference {
    pub(crate) fn start() -> Reference {
        Reference::with(&[])
    }

    /// One that knows the users `default`, whose password is `secret`, and `shop`, with `other`.
    pub(crate) fn with_users() -> Reference {
        let users = ["default on >secret", "shop on >other"].map(|user| format!("--user {user} ~* &* +@all"));
        let words: Vec<&str> = users.iter().flat_map(|user| user.split(' ')).collect();
        Reference::with(&words)
    }

    fn with(more: &[&str]) -> Reference {
        let folder = tempfile::tempdir().expect("a folder");
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let process = Command::new("redis-server")
            .args(["--port", &free.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--databases", "1"])
            .arg("--dir")
            .arg(folder.path())
            .args(more)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server of the 7.0 line has to be installed (apt-get install redis-server): `make test` does so");
        let reference = Reference { process, address: free, _folder: folder };
        let begin = Instant::now();
        while std::net::TcpStream::connect(free).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(10), "redis-server does not listen on {free}");
            std::thread::sleep(Duration::from_millis(10));
        }
        reference
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
