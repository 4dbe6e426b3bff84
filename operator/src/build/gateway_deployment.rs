//! The gateways. One is added before one is taken away, and one that ends goes on serving until nobody sends it anything any more.

use std::collections::BTreeMap;

use holdfast_api::names;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{Container, EnvVar, Lifecycle, LifecycleHandler, PodSpec, PodTemplateSpec, SleepAction, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{GATEWAY_IMAGE_ANNOTATION, Images, meta, pod};
use crate::cluster::Cluster;

/// Name of the container.
pub(crate) const NAME: &str = "gateway";
/// Name of the port for health and metrics.
const ADMIN_PORT_NAME: &str = "admin";
/// Seconds until every node has learnt that the endpoint is gone.
const LINGER_SECONDS: i64 = 5;
/// Seconds for the requests that are in flight.
const GRACE_SECONDS: i64 = 60;
/// Seconds on a node that does not answer. Kubernetes' default is five minutes; a gateway holds nothing that would be worth the wait.
const LOST_NODE_SECONDS: i64 = 10;

pub(super) fn build(cluster: &Cluster, images: &Images) -> Deployment {
    let mut metadata = meta::object(cluster, names::gateway(&cluster.name), names::GATEWAY);
    metadata.annotations = Some(BTreeMap::from([(GATEWAY_IMAGE_ANNOTATION.to_owned(), images.gateway.clone())]));
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas: Some(i32::try_from(cluster.spec.gateway.replicas).expect("at most 32")),
            selector: meta::selector(cluster, names::GATEWAY),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::Int(1)),
                }),
            }),
            revision_history_limit: Some(5),
            template: template(cluster, images),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// The pod of a gateway; as with the members', any change restarts every gateway of every cluster.
fn template(cluster: &Cluster, images: &Images) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(meta::labels(cluster, names::GATEWAY)), ..ObjectMeta::default() }),
        spec: Some(PodSpec {
            service_account_name: Some(names::gateway(&cluster.name)),
            automount_service_account_token: Some(true),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            security_context: Some(pod::security()),
            topology_spread_constraints: Some(pod::spread(cluster, names::GATEWAY)),
            tolerations: Some(["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"].map(tolerated_briefly).into()),
            containers: vec![container(cluster, images)],
            volumes: Some(vec![pod::token_volume(cluster)]),
            ..PodSpec::default()
        }),
    }
}

fn container(cluster: &Cluster, images: &Images) -> Container {
    Container {
        name: NAME.to_owned(),
        image: Some(images.gateway.clone()),
        env: Some(environment(cluster)),
        ports: Some(vec![
            pod::container_port(names::HTTP_PORT_NAME, names::GATEWAY_PORT),
            pod::container_port(ADMIN_PORT_NAME, names::GATEWAY_ADMIN_PORT),
        ]),
        readiness_probe: Some(pod::http_probe("/readyz", ADMIN_PORT_NAME, 1, 1, 2)),
        liveness_probe: Some(pod::http_probe("/livez", ADMIN_PORT_NAME, 5, 3, 6)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler { sleep: Some(SleepAction { seconds: LINGER_SECONDS }), ..LifecycleHandler::default() }),
            ..Lifecycle::default()
        }),
        resources: Some(cluster.spec.gateway.resources.clone().unwrap_or_else(pod::default_resources)),
        security_context: Some(pod::own_container_security()),
        volume_mounts: Some(vec![pod::token_mount()]),
        ..Container::default()
    }
}

fn environment(cluster: &Cluster) -> Vec<EnvVar> {
    vec![
        pod::env("HOLDFAST_CLUSTER", &cluster.name),
        pod::env_of_field("HOLDFAST_NAMESPACE", "metadata.namespace"),
        pod::env_of_field("HOLDFAST_POD_NAME", "metadata.name"),
        pod::env("HOLDFAST_APP_SERVICE", names::app_service(&cluster.name)),
        pod::env("HOLDFAST_CONFIG_MAP", names::gateway(&cluster.name)),
        pod::token_env(),
        pod::env("HOLDFAST_LISTEN", format!("0.0.0.0:{}", names::GATEWAY_PORT)),
        pod::env("HOLDFAST_ADMIN_LISTEN", format!("0.0.0.0:{}", names::GATEWAY_ADMIN_PORT)),
    ]
}

fn tolerated_briefly(key: &str) -> Toleration {
    Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        toleration_seconds: Some(LOST_NODE_SECONDS),
        ..Toleration::default()
    }
}
