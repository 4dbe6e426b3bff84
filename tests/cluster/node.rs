//! A node: containerd, kubelet and kube-proxy, and the files that tell them who they are.

use std::time::{Duration, Instant};

use holdfast_support::command::Run;
use serde_json::{Value, json};

use super::cgroups;
use super::control_plane::{daemon, pki};
use super::namespaces::Namespaces;
use super::process::{self, Daemon};
use super::programs::PAUSE_IMAGE;
use super::state::{self, State};
use super::topology::Topology;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A process did not start.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// Its cgroup could not be made.
    #[error(transparent)]
    Cgroup(#[from] cgroups::Error),
    /// A file could not be written.
    #[error(transparent)]
    State(#[from] state::Error),
    /// containerd did not answer.
    #[error("containerd of `{node}` did not answer within {waited:?}: {log}")]
    Containerd {
        /// The node.
        node: String,
        /// How long it had.
        waited: Duration,
        /// The end of its log.
        log: String,
    },
}

/// Where containerd of `node` listens.
pub(super) fn containerd_socket(state: &State, node: &str) -> String {
    state.node(node).join("run/containerd.sock").display().to_string()
}

/// The arguments of `ctr` for the pods' containers and images of `node`.
pub(super) fn ctr(state: &State, node: &str, args: &[&str]) -> Run {
    let socket = containerd_socket(state, node);
    Run::new("ctr", [&["--address", &socket, "--namespace", "k8s.io"], args].concat())
}

/// Writes the files of `node`.
pub(super) fn configure(state: &State, topology: &Topology, node: &str) -> Result<(), Error> {
    let number = topology.number(node).expect("only nodes of the topology are configured");
    let file = |name: &str| state.node(node).join(name);
    state.create(file("run"))?;
    cgroups::create(Namespaces::of(state, node).cgroup())?;
    state.write(file("cni/10-pods.conflist"), format!("{:#}\n", network_plugins(state, topology, node, number)))?;
    state.write(file("containerd.toml"), containerd_config(state, node))?;
    state.write(file("kubelet.json"), format!("{:#}\n", kubelet_config(state, topology, node)))?;
    // Pods with the node's own DNS get a server that is not there: nothing in the lab has a name outside of the cluster.
    state.write(file("resolv.conf"), "nameserver 127.0.0.1\n")?;
    Ok(())
}

/// Starts containerd of `node` unless it runs, and waits until it answers.
pub(super) async fn start_containerd(state: &State, node: &str) -> Result<(), Error> {
    let config = state.node(node).join("containerd.toml").display().to_string();
    let daemon = Daemon {
        name: format!("{node}.containerd"),
        machine: node.to_owned(),
        program: "containerd".into(),
        args: vec!["--config".to_owned(), config],
    };
    let identity = daemon.start(state)?;
    let limit = Duration::from_secs(30);
    let started = Instant::now();
    while ctr(state, node, &["version"]).limit(Duration::from_secs(5)).output().await.is_err() {
        let waited = started.elapsed();
        if waited > limit || !identity.is_alive() {
            return Err(Error::Containerd { node: node.to_owned(), waited, log: process::log_end(state, &daemon.name) });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Starts kubelet and kube-proxy of `node` unless they run.
pub(super) fn start_agents(state: &State, topology: &Topology, node: &str) -> Result<(), Error> {
    daemon(state, node, "kubelet", kubelet(state, topology, node)).start(state)?;
    daemon(state, node, "kube-proxy", proxy(state, topology, node)).start(state)?;
    Ok(())
}

fn kubelet(state: &State, topology: &Topology, node: &str) -> Vec<String> {
    let number = topology.number(node).expect("only nodes of the topology are started");
    let file = |name: &str| state.node(node).join(name).display().to_string();
    let zone = Topology::zone(number);
    vec![
        format!("--config={}", file("kubelet.json")),
        format!("--kubeconfig={}", pki(state, &format!("{node}.kubeconfig"))),
        format!("--root-dir={}", file("kubelet")),
        format!("--cert-dir={}", file("kubelet-pki")),
        format!("--hostname-override={node}"),
        format!("--node-ip={}", topology.addresses.node(number)),
        format!("--node-labels=topology.kubernetes.io/zone={zone},topology.kubernetes.io/region=lab"),
    ]
}

/// The arguments of kube-proxy for `node`.
pub(super) fn proxy(state: &State, topology: &Topology, node: &str) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", pki(state, "kube-proxy.kubeconfig")),
        format!("--hostname-override={node}"),
        format!("--cluster-cidr={}", topology.addresses.pods()),
        "--proxy-mode=nftables".to_owned(),
        // These limits are the host's, and not a namespace's to change.
        "--conntrack-max-per-core=0".to_owned(),
        "--conntrack-tcp-timeout-established=0".to_owned(),
        "--conntrack-tcp-timeout-close-wait=0".to_owned(),
    ]
}

/// Pods are connected point to point and routed. On a bridge, the answer to a pod on the same node would not pass the rules
/// that turned a Service's address into the pod's.
fn network_plugins(state: &State, topology: &Topology, node: &str, number: u8) -> Value {
    let range = json!([{"subnet": topology.addresses.pods_of(number).to_string()}]);
    let data = state.node(node).join("cni-addresses").display().to_string();
    let addresses = json!({"type": "host-local", "ranges": [range], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": data});
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": false, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

fn containerd_config(state: &State, node: &str) -> String {
    let dir = state.node(node).display().to_string();
    let socket = containerd_socket(state, node);
    // The `opt` plugin would make /opt/containerd on the host; the file systems of the others are not used.
    format!(
        r#"version = 2
root = "{dir}/containerd"
state = "{dir}/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_hugetlb_controller = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{dir}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
"#
    )
}

fn kubelet_config(state: &State, topology: &Topology, node: &str) -> Value {
    let file = |name: &str| state.node(node).join(name).display().to_string();
    let socket = containerd_socket(state, node);
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "x509": {"clientCAFile": pki(state, "ca.crt")},
            "webhook": {"enabled": true},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki(state, &format!("{node}.crt")),
        "tlsPrivateKeyFile": pki(state, &format!("{node}.key")),
        "clusterDNS": [topology.addresses.dns_service().to_string()],
        "clusterDomain": "cluster.local",
        // All pods of the node are in a cgroup of its own. It is the machine's resources that all nodes share, so none is kept
        // to a part of them.
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": Namespaces::of(state, node).cgroup(),
        "cgroupsPerQOS": true,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "containerRuntimeEndpoint": format!("unix://{socket}"),
        "resolvConf": file("resolv.conf"),
        // Images come by `load-image` and from nowhere else: none may be collected, and a full disk is the host's affair.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%",
        },
        "localStorageCapacityIsolation": false,
        "makeIPTablesUtilChains": false,
        "nodeStatusUpdateFrequency": "2s",
        "nodeStatusReportFrequency": "10s",
        "nodeLeaseDurationSeconds": 8,
        "syncFrequency": "10s",
        "podLogsDir": file("pod-logs"),
        "volumePluginDir": file("volume-plugins"),
        "shutdownGracePeriod": "0s",
    })
}

#[cfg(test)]
mod tests {
    use super::super::addresses::Addresses;
    use super::*;

    fn lab() -> (State, Topology) {
        (State::new("a").unwrap(), Topology::new(Addresses::new(1).unwrap(), 3))
    }

    #[test]
    fn two_nodes_share_no_address_and_no_folder() {
        let (state, topology) = lab();
        let texts = ["node1", "node2"].map(|node| {
            let number = topology.number(node).unwrap();
            [
                network_plugins(&state, &topology, node, number).to_string(),
                containerd_config(&state, node),
                kubelet_config(&state, &topology, node).to_string(),
                kubelet(&state, &topology, node).join(" "),
            ]
        });
        for (one, two) in texts[0].iter().zip(&texts[1]) {
            assert_eq!(
                &one.replace("node1", "node2")
                    .replace("198.18.32.0/24", "198.18.33.0/24")
                    .replace("zone1", "zone2")
                    .replace("56.101", "56.102"),
                two
            );
        }
    }

    #[test]
    fn a_node_says_its_zone() {
        let (state, topology) = lab();
        assert!(kubelet(&state, &topology, "node3").iter().any(|arg| arg.contains("topology.kubernetes.io/zone=zone3,")));
    }
}
