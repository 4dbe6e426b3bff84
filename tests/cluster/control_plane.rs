//! The control plane: etcd, the API server, the controller manager, the scheduler, a kube-proxy so that the control plane's
//! machine reaches Services, and the forwarder through which the host reaches the API server.

use std::net::SocketAddr;

use super::forward;
use super::process::Daemon;
use super::state::State;
use super::topology::{CONTROL_PLANE, Topology};

/// The API server's name in the records and the logs.
pub(super) const API_SERVER: &str = "control-plane.kube-apiserver";
/// The forwarder's.
pub(super) const API_FORWARD: &str = "control-plane.forward-api";

/// A daemon of `machine` that runs one of the Kubernetes programs.
pub(super) fn daemon(state: &State, machine: &str, program: &str, args: Vec<String>) -> Daemon {
    Daemon { name: format!("{machine}.{program}"), machine: machine.to_owned(), program: state.path("bin").join(program), args }
}

/// A path of the cluster's certificates.
pub(super) fn pki(state: &State, file: &str) -> String {
    state.path("pki").join(file).display().to_string()
}

/// What the API server needs and what it is; the rest of the control plane waits for it.
pub(super) fn first(state: &State, topology: &Topology) -> Vec<Daemon> {
    vec![daemon(state, CONTROL_PLANE, "etcd", etcd(state)), daemon(state, CONTROL_PLANE, "kube-apiserver", api_server(state, topology))]
}

/// The rest of the control plane.
pub(super) fn second(state: &State, topology: &Topology) -> Vec<Daemon> {
    // A kube-proxy must be some node's. Beside the Services' own rules, that only chooses addresses for node ports.
    let proxy = super::node::proxy(state, topology, &topology.nodes[0]);
    vec![
        daemon(state, CONTROL_PLANE, "kube-controller-manager", controller_manager(state)),
        daemon(state, CONTROL_PLANE, "kube-scheduler", scheduler(state)),
        daemon(state, CONTROL_PLANE, "kube-proxy", proxy),
    ]
}

/// Starts the forwarder from 127.0.0.1:`port` to the API server, unless it runs.
pub(super) fn start_forwarder(state: &State, topology: &Topology, port: u16) -> Result<(), forward::Error> {
    let to = SocketAddr::from((topology.addresses.control_plane(), 6443));
    forward::start_detached(state, API_FORWARD, to, Some(port)).map(drop)
}

fn etcd(state: &State) -> Vec<String> {
    let data = state.path("etcd").display().to_string();
    vec![
        format!("--data-dir={data}"),
        // The cluster does not outlive the machine's boot, so neither need its data.
        "--unsafe-no-fsync".to_owned(),
        "--listen-client-urls=http://127.0.0.1:2379".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:2379".to_owned(),
        "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

fn api_server(state: &State, topology: &Topology) -> Vec<String> {
    let pki = |file| pki(state, file);
    vec![
        "--etcd-servers=http://127.0.0.1:2379".to_owned(),
        "--bind-address=0.0.0.0".to_owned(),
        format!("--advertise-address={}", topology.addresses.control_plane()),
        "--secure-port=6443".to_owned(),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--service-account-key-file={}", pki("tokens.pub")),
        format!("--service-account-signing-key-file={}", pki("tokens.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
        format!("--kubelet-client-certificate={}", pki("kubelet-client.crt")),
        format!("--kubelet-client-key={}", pki("kubelet-client.key")),
        format!("--kubelet-certificate-authority={}", pki("ca.crt")),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        format!("--service-cluster-ip-range={}", topology.addresses.services()),
        "--endpoint-reconciler-type=lease".to_owned(),
    ]
}

fn controller_manager(state: &State) -> Vec<String> {
    let pki = |file| pki(state, file);
    vec![
        format!("--kubeconfig={}", pki("kube-controller-manager.kubeconfig")),
        "--leader-elect=false".to_owned(),
        "--enable-hostpath-provisioner".to_owned(),
        format!("--root-ca-file={}", pki("ca.crt")),
        format!("--service-account-private-key-file={}", pki("tokens.key")),
        "--use-service-account-credentials".to_owned(),
        // With the default of 20 requests a second its controllers take 5 s to start.
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
        // Less than the default of 50 s, as tests wait for a lost node to be NotReady; but more than the 20 s for which they freeze
        // the API server. With 8 s, all nodes were NotReady after such a freeze, and every Service was empty for 10 s.
        "--node-monitor-grace-period=30s".to_owned(),
        "--node-monitor-period=1s".to_owned(),
        "--horizontal-pod-autoscaler-sync-period=5s".to_owned(),
    ]
}

fn scheduler(state: &State) -> Vec<String> {
    vec![format!("--kubeconfig={}", pki(state, "kube-scheduler.kubeconfig")), "--leader-elect=false".to_owned()]
}
