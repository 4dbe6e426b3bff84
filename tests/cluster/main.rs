//! The command `cluster`: a real Kubernetes on this machine, for people. Tests use the library behind it.

mod arguments;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use holdfast_tests::cluster::{self, Cluster, Options, Program};
use holdfast_tests::stage::{self, Images, Stage};

use arguments::{Arguments, Command, Machines, Node, Pod, Rest};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { name, existing, command }: Arguments) -> anyhow::Result<()> {
    match command {
        Command::WriteImages { registry, tag } => {
            for archive in stage::write_images(&Images { registry, tag }).await? {
                say(archive.display())?;
            }
        }
        command if existing => on(&Cluster::existing().await?, command).await?,
        Command::Up { nodes } => {
            let cluster = Cluster::up(Options { name, nodes }).await?;
            say(cluster.kubeconfig().display())?;
        }
        Command::Down { all: false } => cluster::remove(&name).await?,
        Command::Down { all: true } => {
            for name in cluster::names()? {
                cluster::remove(&name).await?;
            }
        }
        Command::Status => status().await?,
        Command::Logs { program, lines, follow } => logs(&name, &program, lines, follow)?,
        Command::Selftest => cluster::selftest().await?,
        command => on(&Cluster::open(&name).await?, command).await?,
    }
    Ok(())
}

/// What needs a cluster that is up.
async fn on(cluster: &Cluster, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Kubectl(Rest { args }) => become_program(cluster, Program::Kubectl, args)?,
        Command::Helm(Rest { args }) => become_program(cluster, Program::Helm, args)?,
        Command::Kubeconfig => say(cluster.kubeconfig().display())?,
        Command::Images => drop(Stage::new(cluster.clone()).bring_images().await?),
        Command::LoadImage { archives } => {
            for archive in archives {
                cluster.load_image(&archive).await?;
            }
        }
        Command::Forward { namespace, service, port, local, detach: true } => {
            let address = cluster.forward_service_detached(&namespace, &service, port, local).await?;
            say(format_args!("http://{address}"))?;
        }
        Command::Forward { namespace, service, port, local, detach: false } => {
            let forward = cluster.forward_service(&namespace, &service, port, local).await?;
            say(forward.url())?;
            tokio::signal::ctrl_c().await?;
        }
        Command::KillContainer { pod: Pod { namespace, pod }, container } => {
            cluster.kill_container(&namespace, &pod, &container).await?;
        }
        Command::KillPod(Pod { namespace, pod }) => cluster.kill_pod(&namespace, &pod).await?,
        Command::PauseContainer { pod: Pod { namespace, pod }, container } => {
            cluster.pause_container(&namespace, &pod, &container).await?;
        }
        Command::ResumeContainer { pod: Pod { namespace, pod }, container } => {
            cluster.resume_container(&namespace, &pod, &container).await?;
        }
        Command::KillNode(Node { node }) => cluster.kill_node(&node).await?,
        Command::FreezeNode(Node { node }) => cluster.freeze_node(&node).await?,
        Command::CutNode(Node { node }) => cluster.cut_off(&node).await?,
        Command::SlowLink { node: Node { node }, kbit } => cluster.slow_link(&node, kbit).await?,
        Command::Partition { one, other, one_way } => partition(cluster, &one, &other, one_way).await?,
        Command::FreezeApiserver { hold } => freeze_apiserver(cluster, hold).await?,
        Command::ThawApiserver => cluster.thaw_apiserver().await?,
        Command::FreezeDns => cluster.freeze_dns().await?,
        Command::ThawDns => cluster.thaw_dns().await?,
        Command::Heal(Node { node }) => cluster.heal(&node).await?,
        Command::HealAll => cluster.heal_all().await?,
        Command::Up { .. }
        | Command::Down { .. }
        | Command::Status
        | Command::Logs { .. }
        | Command::Selftest
        | Command::WriteImages { .. } => {
            anyhow::bail!("this is about the clusters of this machine: leave out --existing")
        }
    }
    Ok(())
}

/// Prints a line of the result. Nobody reads on at the end of a pipe that was closed, so nothing is lost then.
fn say(line: impl Display) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

async fn status() -> anyhow::Result<()> {
    let names = cluster::names()?;
    if names.is_empty() {
        say("no cluster is up; `cluster up` starts one")?;
    }
    for name in names {
        say(cluster::status(&name).await?)?;
    }
    Ok(())
}

/// Becomes `tail` on the logs whose names begin with `program`.
fn logs(cluster: &str, program: &str, lines: u32, follow: bool) -> anyhow::Result<()> {
    let files = cluster::logs(cluster, program)?;
    anyhow::ensure!(!files.is_empty(), "cluster `{cluster}` has no log whose name begins with `{program}`: `cluster logs` shows all");
    let mut tail = std::process::Command::new("tail");
    tail.arg(format!("--lines={lines}")).args(follow.then_some("--follow=name")).args(files);
    Err(tail.exec().into())
}

async fn partition(cluster: &Cluster, one: &Machines, other: &Machines, one_way: bool) -> anyhow::Result<()> {
    if one_way {
        cluster.partition_one_way(&one.names(), &other.names()).await?;
    } else {
        cluster.partition(&one.names(), &other.names()).await?;
    }
    Ok(())
}

/// Freezes the API server, for a while if one is given. An interrupt thaws it early.
async fn freeze_apiserver(cluster: &Cluster, hold: Option<Duration>) -> anyhow::Result<()> {
    cluster.freeze_apiserver().await?;
    if let Some(hold) = hold {
        let waited = tokio::select! {
            () = tokio::time::sleep(hold) => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted,
        };
        cluster.thaw_apiserver().await?;
        waited?;
    }
    Ok(())
}

/// Becomes kubectl or helm, with this command's terminal, and thereby with its signals and its exit code.
fn become_program(cluster: &Cluster, program: Program, args: Vec<OsString>) -> anyhow::Result<()> {
    Err(cluster.command(program, args).into_std().exec().into())
}
