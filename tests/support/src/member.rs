//! One member: a process of the release binary, as the kubelet would run it.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context;
use tokio::process::{Child, Command};

use super::api_server::kubeconfig;

#[derive(Debug)]
pub(crate) struct Member {
    child: Child,
    folder: tempfile::TempDir,
    /// Where its sessions are reached by the Redis protocol.
    pub(crate) redis: SocketAddr,
    pub(crate) pid: u32,
}

/// What differs between members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) id: u8,
    /// New for each pod.
    pub(crate) start: u32,
    pub(crate) ip: Ipv4Addr,
    pub(crate) replication: u16,
    pub(crate) api_server: SocketAddr,
    pub(crate) name_server: SocketAddr,
    pub(crate) copies: u8,
}

impl Member {
    pub(crate) fn start(place: Place) -> anyhow::Result<Self> {
        let Place { id, start, ip, replication, api_server, name_server, copies } = place;
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("token"), "0123456789abcdef0123456789abcdef")?;
        std::fs::write(path("kubeconfig"), kubeconfig(api_server))?;
        let free = || anyhow::Ok(TcpListener::bind((ip, 0))?.local_addr()?);
        let (redis, admin) = (free()?, free()?);
        let mut command = Command::new(binary()?);
        command
            .arg("run")
            .env_clear()
            .env("KUBECONFIG", path("kubeconfig"))
            .env("HOLDFAST_CLUSTER", "shop")
            .env("HOLDFAST_NAMESPACE", "ns")
            .env("HOLDFAST_POD_NAME", format!("shop-{id}"))
            .env("HOLDFAST_POD_UID", format!("uid-{start}"))
            .env("HOLDFAST_POD_IP", ip.to_string())
            .env("HOLDFAST_COPIES", copies.to_string())
            .env("HOLDFAST_MEMBERS_SERVICE", "shop-members")
            .env("HOLDFAST_CLUSTER_DOMAIN", "cluster.test")
            .env("HOLDFAST_NAMESERVER", name_server.to_string())
            .env("HOLDFAST_REPLICATION_LISTEN", format!("{ip}:{replication}"))
            .env("HOLDFAST_ADMIN_LISTEN", admin.to_string())
            .env("HOLDFAST_REDIS_LISTEN", redis.to_string())
            .env("HOLDFAST_ADMIN_TOKEN_FILE", path("token"))
            .env("HOLDFAST_REDIS_SOCKET", path("redis.sock"))
            .env("HOLDFAST_ADMIN_SOCKET", path("admin.sock"))
            .env("HOLDFAST_LOG_FORMAT", "text")
            .stderr(Stdio::from(File::create(path("log"))?))
            .kill_on_drop(true);
        let child = command.spawn().context("cannot start holdfast-runtime")?;
        let pid = child.id().context("holdfast-runtime ended at once")?;
        Ok(Self { child, folder, redis, pid })
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("cannot kill a member")
    }

    /// The last lines of its log, for an error.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// The runtime, built beside this program.
fn binary() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe().context("cannot find this program")?;
    let path = here.with_file_name("holdfast-runtime");
    anyhow::ensure!(path.exists(), "`{}` is not there: build it in the same profile (`make bench` does)", path.display());
    Ok(path)
}
