//! Third step of the pipeline: the Kubernetes objects of a cluster. Pure; one file a resource.

mod app_container;
mod budgets;
mod gateway_deployment;
mod member_process;
mod meta;
mod once;
mod pod;
mod rbac;
mod runtime_container;
mod services;
mod stateful_set;

pub mod intent;

use std::marker::PhantomData;

use holdfast_api::GatewayIntent;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};

pub use self::app_container::NAME as APP_CONTAINER;
pub(crate) use self::meta::object;
pub use self::meta::{GATEWAY_IMAGE_ANNOTATION, RUNTIME_IMAGE_ANNOTATION, TLS_ANNOTATION};
pub use self::once::{admin_secret, empty_view};
use crate::cluster::Cluster;

/// Marks objects as built, not yet at the API server.
#[derive(Debug)]
pub struct Prepared;

/// Marks objects as the API server returned them.
#[derive(Debug)]
pub struct Applied;

/// All objects of a cluster that the operator keeps applying. The type says whether they have been: a status can only be made of applied ones.
#[derive(Debug)]
pub struct Resources<State> {
    /// ServiceAccount of the members.
    pub member_account: ServiceAccount,
    /// What members may do at the API server.
    pub member_role: Role,
    /// Gives the members' ServiceAccount its Role.
    pub member_binding: RoleBinding,
    /// ServiceAccount of the gateways.
    pub gateway_account: ServiceAccount,
    /// What gateways may do at the API server.
    pub gateway_role: Role,
    /// Gives the gateways' ServiceAccount its Role.
    pub gateway_binding: RoleBinding,
    /// Headless Service through which members find each other.
    pub members_service: Service,
    /// Service whose endpoints the gateways route to.
    pub app_service: Service,
    /// Service that users reach.
    pub gateway_service: Service,
    /// Instructions of the gateways.
    pub gateway_config: ConfigMap,
    /// The members.
    pub members: StatefulSet,
    /// The gateways.
    pub gateway: Deployment,
    /// How many members may be evicted at once.
    pub members_budget: PodDisruptionBudget,
    /// How many gateways may be evicted at once.
    pub gateway_budget: PodDisruptionBudget,
    /// How far they are.
    pub state: PhantomData<State>,
}

/// The images of a cluster. Chosen when it is created and kept, so that an upgrade of the operator restarts nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Image of the runtime, unless the spec names one.
    pub runtime: String,
    /// Image of the gateway.
    pub gateway: String,
}

/// What the objects are made from, besides the spec.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Its images.
    pub images: &'a Images,
    /// Instructions of its gateways.
    pub intent: &'a GatewayIntent,
    /// Members that the StatefulSet shall have now, on the way to `spec.replicas`.
    pub replicas: u32,
    /// Members whose pods may exist meanwhile: the larger of what is and what shall be.
    pub ordinals: u32,
    /// Whether the members' links are encrypted: as its pods were made, or will be.
    pub tls: bool,
    /// Whether a drained node may take a member.
    pub may_evict: bool,
}

/// The objects of a cluster.
pub fn build(inputs: &Inputs<'_>) -> Resources<Prepared> {
    let cluster = inputs.cluster;
    Resources {
        member_account: rbac::member_account(cluster),
        member_role: rbac::member_role(cluster, inputs.ordinals),
        member_binding: rbac::member_binding(cluster),
        gateway_account: rbac::gateway_account(cluster),
        gateway_role: rbac::gateway_role(cluster),
        gateway_binding: rbac::gateway_binding(cluster),
        members_service: services::members(cluster),
        app_service: services::app(cluster),
        gateway_service: services::gateway(cluster),
        gateway_config: intent::config_map(cluster, inputs.intent),
        members: stateful_set::build(cluster, inputs.images, inputs.replicas, inputs.tls),
        gateway: gateway_deployment::build(cluster, inputs.images),
        members_budget: budgets::members(cluster, inputs.may_evict),
        gateway_budget: budgets::gateway(cluster),
        state: PhantomData,
    }
}

#[cfg(test)]
mod tests;
