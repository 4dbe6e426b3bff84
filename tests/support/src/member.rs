//! One member: a process of the runtime, or of an application that is a member itself, as the kubelet would run it.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use tokio::process::Child;

use crate::api_server::{self, CLUSTER, NAMESPACE};
use crate::name_server::{DOMAIN, SERVICE};

/// The pod that a member runs in.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its ordinal.
    pub id: u8,
    /// New for each pod.
    pub uid: String,
    /// Its address, in 127.0.0.0/8.
    pub ip: Ipv4Addr,
    /// The port for the other members.
    pub replication: u16,
}

impl Pod {
    /// The runtime at `binary` with this sub-command, in this environment, with its files in `folder`. Where the API server and the names are is not
    /// said yet, and ports that nobody has to know are any that are free.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn command(&self, binary: &Path, action: &str, folder: &Path) -> anyhow::Result<Command> {
        let Self { id, uid, ip, replication } = self;
        let path = |name: &str| folder.join(name);
        std::fs::write(path("token"), "0123456789abcdef0123456789abcdef").context("cannot write a token")?;
        let mut command = Command::new(binary);
        command
            .arg(action)
            .env_clear()
            .env("KUBECONFIG", "/dev/null")
            .env("HOLDFAST_CLUSTER", CLUSTER)
            .env("HOLDFAST_NAMESPACE", NAMESPACE)
            .env("HOLDFAST_POD_NAME", format!("{CLUSTER}-{id}"))
            .env("HOLDFAST_POD_UID", uid)
            .env("HOLDFAST_POD_IP", ip.to_string())
            .env("HOLDFAST_MEMBERS_SERVICE", SERVICE)
            .env("HOLDFAST_CLUSTER_DOMAIN", DOMAIN)
            .env("HOLDFAST_REPLICATION_LISTEN", format!("{ip}:{replication}"))
            .env("HOLDFAST_ADMIN_LISTEN", format!("{ip}:0"))
            .env("HOLDFAST_REDIS_LISTEN", format!("{ip}:0"))
            .env("HOLDFAST_ADMIN_TOKEN_FILE", path("token"))
            .env("HOLDFAST_REDIS_SOCKET", path("redis.sock"))
            .env("HOLDFAST_ADMIN_SOCKET", path("admin.sock"));
        Ok(command)
    }
}

/// What is around members.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Where the API server listens.
    pub api_server: SocketAddr,
    /// Where the name server listens.
    pub name_server: SocketAddr,
    /// How many copies each session gets.
    pub copies: u8,
    /// On how many threads it serves clients; as it comes if not set.
    pub threads: Option<u8>,
}

/// A process, killed when it is dropped.
#[derive(Debug)]
pub struct Member {
    child: Child,
    folder: tempfile::TempDir,
    /// Its process.
    pub pid: u32,
    /// Where its sessions are reached by the Redis protocol.
    pub redis: SocketAddr,
    /// Where it tells about itself.
    pub admin: SocketAddr,
    /// Where users come in, if it is an application.
    pub users: SocketAddr,
}

impl Member {
    /// Starts the runtime at `binary`; it is not ready yet.
    ///
    /// # Errors
    /// When its files cannot be written, or it cannot be started.
    pub fn start(binary: &Path, pod: &Pod, surroundings: Surroundings) -> anyhow::Result<Self> {
        Self::launch(binary, |_| "run".to_owned(), pod, surroundings)
    }

    /// Starts the application at `binary`, which is a member itself and is given `--listen`; it is not ready yet.
    ///
    /// # Errors
    /// When its files cannot be written, or it cannot be started.
    pub fn start_application(binary: &Path, pod: &Pod, surroundings: Surroundings) -> anyhow::Result<Self> {
        Self::launch(binary, |users| format!("--listen={users}"), pod, surroundings)
    }

    fn launch(binary: &Path, action: impl Fn(SocketAddr) -> String, pod: &Pod, surroundings: Surroundings) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("kubeconfig"), api_server::kubeconfig(surroundings.api_server)).context("cannot write a kubeconfig")?;
        let [redis, admin, users] = free(pod.ip).context("no port is free")?;
        let mut command = pod.command(binary, &action(users), folder.path())?;
        command
            .env("KUBECONFIG", path("kubeconfig"))
            .env("HOLDFAST_NAMESERVER", surroundings.name_server.to_string())
            .env("HOLDFAST_COPIES", surroundings.copies.to_string())
            .env("HOLDFAST_ADMIN_LISTEN", admin.to_string())
            .env("HOLDFAST_REDIS_LISTEN", redis.to_string())
            .env("HOLDFAST_LOG_FORMAT", "text")
            .stderr(Stdio::from(File::create(path("log")).context("cannot make a log")?));
        if let Some(threads) = surroundings.threads {
            command.env("HOLDFAST_THREADS", threads.to_string());
        }
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("cannot start `{}`", binary.display()))?;
        let pid = child.id().context("it ended at once")?;
        Ok(Self { child, folder, pid, redis, admin, users })
    }

    /// One of its files.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// SIGKILL; returns when the process is gone.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("cannot kill a member")
    }

    /// Waits for its end, and returns its exit code.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn ended(&mut self) -> anyhow::Result<Option<i32>> {
        Ok(self.child.wait().await.context("cannot wait for a member")?.code())
    }
}

/// All are held until all are known, so that they differ.
fn free<const N: usize>(ip: Ipv4Addr) -> std::io::Result<[SocketAddr; N]> {
    let held = (0..N).map(|_| TcpListener::bind((ip, 0))).collect::<std::io::Result<Vec<_>>>()?;
    let addresses = held.iter().map(TcpListener::local_addr).collect::<std::io::Result<Vec<_>>>()?;
    Ok(addresses.try_into().expect("as many as are held"))
}
