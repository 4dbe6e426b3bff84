//! The three Services: how members find each other, what gateways route to, and what users reach.

use holdfast_api::names;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta;
use crate::cluster::Cluster;

/// Headless, and with addresses of members that are not ready: a member must find the others before it can become ready.
pub(super) fn members(cluster: &Cluster) -> Service {
    Service {
        metadata: meta::object(cluster, names::members_service(&cluster.name), names::MEMBER),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(meta::selector_labels(cluster, names::MEMBER)),
            ports: Some(vec![port(names::REPLICATION_PORT_NAME, names::REPLICATION_PORT), port(names::ADMIN_PORT_NAME, names::ADMIN_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// A second Service beside the headless one, because the EndpointSlices of that one mark everything as ready.
pub(super) fn app(cluster: &Cluster) -> Service {
    Service {
        metadata: meta::object(cluster, names::app_service(&cluster.name), names::MEMBER),
        spec: Some(ServiceSpec {
            selector: Some(meta::selector_labels(cluster, names::MEMBER)),
            ports: Some(vec![port(names::HTTP_PORT_NAME, names::SERVICE_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// What users, an Ingress or an HTTPRoute reach.
pub(super) fn gateway(cluster: &Cluster) -> Service {
    Service {
        metadata: meta::object(cluster, names::gateway_service(&cluster.name), names::GATEWAY),
        spec: Some(ServiceSpec {
            selector: Some(meta::selector_labels(cluster, names::GATEWAY)),
            ports: Some(vec![port(names::HTTP_PORT_NAME, names::SERVICE_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// A port that leads to the container's port of the same name.
fn port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        target_port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}
