//! What the command `cluster` is told.

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// A real Kubernetes on this machine: control plane and nodes in network namespaces, and faults to try on them.
#[derive(Debug, Parser)]
#[command(name = "cluster", arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The cluster's name: several can run at once.
    #[arg(long, global = true, default_value = "holdfast")]
    pub(crate) name: String,
    /// Use the cluster of KUBECONFIG instead of one of this machine: for kubectl, helm and forward.
    #[arg(long, global = true)]
    pub(crate) existing: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the cluster, or what is missing of it, end all faults, and wait until pods can run.
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
    /// Show how the clusters of this machine are, machine by machine.
    Status,
    /// Run kubectl on the cluster.
    Kubectl(Rest),
    /// Run helm on the cluster.
    Helm(Rest),
    /// Print the path of the kubeconfig.
    Kubeconfig,
    /// Show the logs of the cluster's own programs (for those of pods: `kubectl logs`).
    Logs {
        /// Which: the beginning of a name, such as `node1` or `control-plane.etcd`; without it, all.
        #[arg(default_value = "")]
        program: String,
        /// How many lines of each.
        #[arg(long, default_value_t = 20)]
        lines: u32,
        /// Go on as they grow.
        #[arg(long, short)]
        follow: bool,
    },
    /// Build Holdfast's own images from this source tree and bring them into every node.
    Images,
    /// Build Holdfast's own images from this source tree as archives (as of `docker save`), for another registry.
    WriteImages {
        /// Where the nodes of the cluster will find them: the part before /holdfast/.
        #[arg(long, default_value = "localhost")]
        registry: String,
        /// The part after the colon.
        #[arg(long, default_value = "dev")]
        tag: String,
    },
    /// Bring images from archives (as of `docker save`) into every node.
    LoadImage {
        /// The archives.
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
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
    /// Kill one container of a pod by SIGKILL.
    KillContainer {
        #[command(flatten)]
        pod: Pod,
        /// The container.
        container: String,
    },
    /// Kill all containers of a pod by SIGKILL at once.
    KillPod(Pod),
    /// Make one container of a pod stand still (SIGSTOP).
    PauseContainer {
        #[command(flatten)]
        pod: Pod,
        /// The container.
        container: String,
    },
    /// Let a container go on.
    ResumeContainer {
        #[command(flatten)]
        pod: Pod,
        /// The container.
        container: String,
    },
    /// End a node as if its power were cut.
    KillNode(Node),
    /// Make a node stand still: stop all its processes.
    FreezeNode(Node),
    /// Pull a node's wire.
    CutNode(Node),
    /// Let a node's wire carry little.
    SlowLink {
        #[command(flatten)]
        node: Node,
        /// How much, in kbit/s.
        #[arg(default_value_t = 256)]
        kbit: u32,
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
    /// Stop the cluster's DNS.
    FreezeDns,
    /// Let the DNS go on.
    ThawDns,
    /// End every fault of a node.
    Heal(Node),
    /// End every fault.
    HealAll,
    /// Test the lab itself: two clusters at once, every fault, and that nothing is left of them. Takes some minutes.
    Selftest,
}

#[derive(Debug, Args)]
pub(crate) struct Rest {
    /// What it is given.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Pod {
    /// The pod's namespace.
    #[arg(long, short = 'n', default_value = "default")]
    pub(crate) namespace: String,
    /// The pod.
    pub(crate) pod: String,
}

#[derive(Debug, Args)]
pub(crate) struct Node {
    /// The node.
    pub(crate) node: String,
}

/// Names of machines with commas between them.
#[derive(Debug, Clone)]
pub(crate) struct Machines(Vec<String>);

impl FromStr for Machines {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()))
    }
}

impl Machines {
    pub(crate) fn names(&self) -> Vec<&str> {
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
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err("give a unit that is ms, s or m, as in 20s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_needs_a_unit() {
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("20").is_err() && duration("s").is_err() && duration("1h").is_err());
    }

    #[test]
    fn what_follows_kubectl_is_kubectls() {
        let arguments = Arguments::try_parse_from(["cluster", "--name", "a", "kubectl", "get", "pods", "-A", "--name=b"]).unwrap();
        assert_eq!(arguments.name, "a");
        let Command::Kubectl(rest) = arguments.command else { panic!("{:?}", arguments.command) };
        assert_eq!(rest.args, ["get", "pods", "-A", "--name=b"]);
    }
}
