//! Forwards to a cluster that is not the lab's, through its API server: for each connection a pod is chosen anew, so that a
//! backend that has gone is no more than the end of its own connections.

use std::collections::VecDeque;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::forward::{Error, Forward, Lifeline, listen};

/// Where to.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// The pods behind a Service, by the name of its port; a Service with one port may have no name for it.
    Service { namespace: String, name: String, port: Option<String> },
    /// One pod.
    Pod { namespace: String, name: String, port: u16 },
}

/// Starts a forwarder that lives as long as what this returns.
pub(super) fn start(client: Client, target: Target, port: Option<u16>) -> Result<Forward, Error> {
    let (listener, address) = listen(port)?;
    let fail = |source| Error::Listen { address, source };
    listener.set_nonblocking(true).map_err(fail)?;
    let listener = TcpListener::from_std(listener).map_err(fail)?;
    let cancelled = CancellationToken::new();
    tokio::spawn(cancelled.clone().run_until_cancelled_owned(serve(listener, address, client, target)));
    Ok(Forward::new(address, Lifeline::Task { _guard: cancelled.drop_guard() }))
}

async fn serve(listener: TcpListener, address: SocketAddr, client: Client, target: Target) {
    let mut turn = 0_usize;
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                turn = turn.wrapping_add(1);
                let (client, target) = (client.clone(), target.clone());
                tokio::spawn(async move {
                    if let Err(error) = carry(connection, client, &target, turn).await {
                        tracing::warn!(%address, ?target, %error, "failed to forward a connection");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%address, %error, "failed to accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Carries one connection to the first backend that takes it, beginning with another one each turn.
async fn carry(mut connection: TcpStream, client: Client, target: &Target, turn: usize) -> anyhow::Result<()> {
    let (namespace, mut backends) = backends(&client, target).await?;
    anyhow::ensure!(!backends.is_empty(), "no pod is ready");
    let first = turn % backends.len();
    backends.rotate_left(first);
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let mut refused = None;
    for (pod, port) in backends {
        match pods.portforward(&pod, &[port]).await {
            Ok(mut forwarder) => {
                let mut stream = forwarder.take_stream(port).expect("the port is the one that was asked for");
                tokio::io::copy_bidirectional(&mut connection, &mut stream).await?;
                return Ok(());
            }
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.expect("there was a backend, and it was not taken").into())
}

async fn backends(client: &Client, target: &Target) -> Result<(String, VecDeque<(String, u16)>), kube::Error> {
    match target {
        Target::Pod { namespace, name, port } => Ok((namespace.clone(), VecDeque::from([(name.clone(), *port)]))),
        Target::Service { namespace, name, port } => {
            let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
            let slices = Api::<EndpointSlice>::namespaced(client.clone(), namespace).list(&of_service).await?;
            Ok((namespace.clone(), ready(&slices.items, port.as_deref())))
        }
    }
}

/// The ready pods in the slices of a Service, each with the number that its port has there.
fn ready(slices: &[EndpointSlice], port: Option<&str>) -> VecDeque<(String, u16)> {
    let mut found = VecDeque::new();
    for slice in slices {
        let mut ports = slice.ports.iter().flatten();
        // The API server writes the name of a port that has none as an empty one.
        let port = ports.find(|one| one.name.as_deref().unwrap_or_default() == port.unwrap_or_default());
        let Some(port) = port.and_then(|port| u16::try_from(port.port?).ok()) else {
            tracing::debug!(slice = slice.name_any(), "the slice lacks the port");
            continue;
        };
        // Not known counts as ready (EndpointConditions in the API's documentation).
        let is_ready = |conditions: Option<bool>| conditions.unwrap_or(true);
        let endpoints = slice.endpoints.iter().filter(|one| is_ready(one.conditions.as_ref().and_then(|found| found.ready)));
        found.extend(endpoints.filter_map(|one| Some((one.target_ref.as_ref()?.name.clone()?, port))));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slice(port: serde_json::Value, ready: Option<bool>) -> EndpointSlice {
        let endpoint = json!({"addresses": ["10.0.0.1"], "conditions": {"ready": ready}, "targetRef": {"name": "shop-0"}});
        let slice = json!({"metadata": {}, "addressType": "IPv4", "endpoints": [endpoint], "ports": [port]});
        serde_json::from_value(slice).unwrap()
    }

    #[test]
    fn only_ready_pods_are_backends() {
        let port = || json!({"name": "http", "port": 8080});
        let wanted = VecDeque::from([("shop-0".to_owned(), 8080)]);
        assert_eq!(ready(&[slice(port(), Some(true))], Some("http")), wanted);
        assert_eq!(ready(&[slice(port(), None)], Some("http")), wanted);
        assert!(ready(&[slice(port(), Some(false))], Some("http")).is_empty());
    }

    #[test]
    fn a_port_is_found_by_its_name_or_by_having_none() {
        assert!(ready(&[slice(json!({"name": "admin", "port": 1}), None)], Some("http")).is_empty());
        assert_eq!(ready(&[slice(json!({"name": "", "port": 1}), None)], None).len(), 1);
    }
}
