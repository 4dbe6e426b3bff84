//! A `SessionCluster` that passed validation: the only thing that the pure steps accept.

use holdfast_api::{SessionCluster, SessionClusterSpec};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

/// A cluster whose spec can be built. Made by [`crate::validate::validate`] only.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Name of the resource, and the first part of the name of everything that belongs to it.
    pub name: String,
    /// Namespace of the resource and of everything that belongs to it.
    pub namespace: String,
    /// UID of the resource: a cluster that is deleted and created again is another one.
    pub uid: String,
    /// Generation of the spec.
    pub generation: i64,
    /// What was asked for.
    pub spec: SessionClusterSpec,
}

impl Cluster {
    /// The owner reference that lets the garbage collector remove whatever carries it.
    pub fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: SessionCluster::api_version(&()).into_owned(),
            kind: SessionCluster::kind(&()).into_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }

    /// The reference that Events about this cluster carry.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(SessionCluster::api_version(&()).into_owned()),
            kind: Some(SessionCluster::kind(&()).into_owned()),
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }
}
