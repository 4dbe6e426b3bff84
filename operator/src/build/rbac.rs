//! ServiceAccounts of members and gateways, and the least that each of them needs at the API server.
//!
//! Whatever stands here must also stand in the operator's own ClusterRole (charts/holdfast): nobody can grant what they do not have.

use holdfast_api::{SessionView, names};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::Resource;

use super::meta;
use crate::cluster::Cluster;

pub(super) fn member_account(cluster: &Cluster) -> ServiceAccount {
    account(cluster, names::member_account(&cluster.name), names::MEMBER)
}

pub(super) fn gateway_account(cluster: &Cluster) -> ServiceAccount {
    account(cluster, names::gateway(&cluster.name), names::GATEWAY)
}

/// Members agree on the view of their own cluster and note on it how their links are, and read the pods of their own cluster as proof of a death.
/// They may make the view anew, by a server-side apply: there the name is part of the request, so the right is for this one only.
pub(super) fn member_role(cluster: &Cluster, ordinals: u32) -> Role {
    let view = rule(
        SessionView::group(&()).as_ref(),
        SessionView::plural(&()).as_ref(),
        &["get", "list", "watch", "update", "patch", "create"],
        Some(vec![names::view(&cluster.name)]),
    );
    // An empty list of names would mean every pod of the namespace.
    let pods = (0..ordinals.max(1)).map(|ordinal| names::member_pod(&cluster.name, ordinal)).collect();
    role(cluster, names::member_account(&cluster.name), names::MEMBER, vec![view, rule("", "pods", &["get"], Some(pods))])
}

/// Gateways watch where the members are, and their own instructions. EndpointSlices have generated names, so they cannot be listed by name.
pub(super) fn gateway_role(cluster: &Cluster) -> Role {
    let watch = &["get", "list", "watch"];
    let slices = rule("discovery.k8s.io", "endpointslices", watch, None);
    let config = rule("", "configmaps", watch, Some(vec![names::gateway(&cluster.name)]));
    role(cluster, names::gateway(&cluster.name), names::GATEWAY, vec![slices, config])
}

pub(super) fn member_binding(cluster: &Cluster) -> RoleBinding {
    binding(cluster, names::member_account(&cluster.name), names::MEMBER)
}

pub(super) fn gateway_binding(cluster: &Cluster) -> RoleBinding {
    binding(cluster, names::gateway(&cluster.name), names::GATEWAY)
}

fn account(cluster: &Cluster, name: String, component: &str) -> ServiceAccount {
    ServiceAccount {
        metadata: meta::object(cluster, name, component),
        // Pods mount a token where they need one, not everywhere.
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

fn role(cluster: &Cluster, name: String, component: &str, rules: Vec<PolicyRule>) -> Role {
    Role { metadata: meta::object(cluster, name, component), rules: Some(rules) }
}

/// Binds the Role of a name to the ServiceAccount of the same name.
fn binding(cluster: &Cluster, name: String, component: &str) -> RoleBinding {
    RoleBinding {
        metadata: meta::object(cluster, name.clone(), component),
        role_ref: RoleRef { api_group: "rbac.authorization.k8s.io".to_owned(), kind: "Role".to_owned(), name: name.clone() },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name,
            namespace: Some(cluster.namespace.clone()),
            ..Subject::default()
        }]),
    }
}

fn rule(group: &str, resource: &str, verbs: &[&str], names: Option<Vec<String>>) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        resource_names: names,
        ..PolicyRule::default()
    }
}
