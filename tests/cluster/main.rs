//! The command `cluster`: a real Kubernetes on this machine, for people. Tests use the library behind it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use holdfast_tests::cluster::{self, Cluster, Options, Program};

/// A real Kubernetes on this machine: control plane and nodes in network namespaces, and faults to try on them.
#[derive(Debug, Parser)]
#[command(name = "cluster", arg_required_else_help = true)]
struct Arguments {
    /// The cluster's name: several can run at once.
    #[arg(long, global = true, default_value = "holdfast")]
    name: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the cluster, or what is missing of it, and wait until pods can run.
    Up {
        /// How many nodes it has.
        #[arg(long, default_value_t = 3)]
        nodes: u8,
    },
    /// End the cluster and remove everything of it.
    Down {
        /// All clusters of this machine.
        #[arg(long)]
        all: bool,
    },
    /// Run kubectl on the cluster.
    Kubectl {
        /// What kubectl is given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run helm on the cluster.
    Helm {
        /// What helm is given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Print the path of the kubeconfig.
    Kubeconfig,
    /// Bring images from archives (as of `docker save`) into every node.
    LoadImage {
        /// The archives.
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
    /// Kill one container of a pod by SIGKILL.
    KillContainer {
        /// The pod's namespace.
        #[arg(long, short = 'n', default_value = "default")]
        namespace: String,
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// Kill all containers of a pod by SIGKILL at once.
    KillPod {
        /// The pod's namespace.
        #[arg(long, short = 'n', default_value = "default")]
        namespace: String,
        /// The pod.
        pod: String,
    },
    /// End a node as if its power were cut.
    KillNode {
        /// The node.
        node: String,
    },
    /// Make a node stand still: stop all its processes.
    FreezeNode {
        /// The node.
        node: String,
    },
    /// Pull a node's wire.
    CutNode {
        /// The node.
        node: String,
    },
    /// Part two sets of machines, such as `node1,control-plane node2,node3`.
    Partition {
        /// The one set.
        one: Machines,
        /// The other set.
        other: Machines,
        /// Only the second set does not hear the first.
        #[arg(long)]
        one_way: bool,
    },
    /// Stop the API server.
    FreezeApiserver {
        /// Let it go on after so long, such as `20s`; without this, until `thaw-apiserver` or `heal-all`.
        #[arg(long = "for", value_parser = duration)]
        hold: Option<Duration>,
    },
    /// Let the API server go on.
    ThawApiserver,
    /// End every fault of a node.
    Heal {
        /// The node.
        node: String,
    },
    /// End every fault.
    HealAll,
    /// Forward a port of 127.0.0.1 to a Service until interrupted.
    Forward {
        /// The Service's namespace.
        #[arg(long, short = 'n', default_value = "default")]
        namespace: String,
        /// The Service.
        service: String,
        /// The Service's port.
        port: u16,
        /// The port of 127.0.0.1; a free one if not given.
        local: Option<u16>,
        /// Leave it running until the cluster goes down.
        #[arg(long)]
        detach: bool,
    },
}

/// Names of machines with commas between them.
#[derive(Debug, Clone)]
struct Machines(Vec<String>);

impl std::str::FromStr for Machines {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()))
    }
}

impl Machines {
    fn names(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

/// Reads a time such as `500ms`, `20s` or `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "give a number and a unit, such as 500ms, 20s or 2m".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err("give a unit that is ms, s or m, as in 20s".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let name = arguments.name;
    match arguments.command {
        Command::Up { nodes } => {
            let cluster = Cluster::up(Options { name, nodes }).await?;
            println!("{}", cluster.kubeconfig().display());
        }
        Command::Down { all: false } => cluster::remove(&name).await?,
        Command::Down { all: true } => {
            for name in cluster::names()? {
                cluster::remove(&name).await?;
            }
        }
        Command::Kubectl { args } => return pass_on(&Cluster::open(&name).await?, Program::Kubectl, args),
        Command::Helm { args } => return pass_on(&Cluster::open(&name).await?, Program::Helm, args),
        Command::Kubeconfig => println!("{}", Cluster::open(&name).await?.kubeconfig().display()),
        Command::LoadImage { archives } => {
            let cluster = Cluster::open(&name).await?;
            for archive in archives {
                cluster.load_image(&archive).await?;
            }
        }
        Command::KillContainer { namespace, pod, container } => {
            Cluster::open(&name).await?.kill_container(&namespace, &pod, &container).await?;
        }
        Command::KillPod { namespace, pod } => Cluster::open(&name).await?.kill_pod(&namespace, &pod).await?,
        Command::KillNode { node } => Cluster::open(&name).await?.kill_node(&node).await?,
        Command::FreezeNode { node } => Cluster::open(&name).await?.freeze_node(&node).await?,
        Command::CutNode { node } => Cluster::open(&name).await?.cut_off(&node).await?,
        Command::Partition { one, other, one_way: true } => {
            Cluster::open(&name).await?.partition_one_way(&one.names(), &other.names()).await?;
        }
        Command::Partition { one, other, one_way: false } => {
            Cluster::open(&name).await?.partition(&one.names(), &other.names()).await?;
        }
        Command::FreezeApiserver { hold } => freeze_apiserver(&Cluster::open(&name).await?, hold).await?,
        Command::ThawApiserver => Cluster::open(&name).await?.thaw_apiserver().await?,
        Command::Heal { node } => Cluster::open(&name).await?.heal(&node).await?,
        Command::HealAll => Cluster::open(&name).await?.heal_all().await?,
        Command::Forward { namespace, service, port, local, detach } => {
            let cluster = Cluster::open(&name).await?;
            if detach {
                println!("http://{}", cluster.forward_service_detached(&namespace, &service, port, local).await?);
            } else {
                let forward = cluster.forward_service(&namespace, &service, port, local).await?;
                println!("{}", forward.url());
                tokio::signal::ctrl_c().await?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
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
fn pass_on(cluster: &Cluster, program: Program, args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(cluster.command(program, args).into_std().exec().into())
}
