//! Metadata of everything that belongs to clusters, as the watches last said: enough to see whether an object is still as it was applied.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::store::WriterDropped;
use kube::runtime::reflector::{ObjectRef, Store};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A kind of object that the operator applies.
pub trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static
{
    /// Where the watch of this kind keeps what it saw.
    fn store(children: &Children) -> &Store<PartialObjectMeta<Self>>;
}

macro_rules! children {
    ($($(#[$doc:meta])* $field:ident: $kind:ty,)*) => {
        /// What the watches saw, by kind.
        #[derive(Clone, Debug)]
        pub struct Children {
            $($(#[$doc])* pub $field: Store<PartialObjectMeta<$kind>>,)*
        }

        impl Children {
            /// Waits until every watch has had its first answer.
            ///
            /// # Errors
            /// When a watch was dropped before.
            pub async fn synced(&self) -> Result<(), WriterDropped> {
                $(self.$field.wait_until_ready().await?;)*
                Ok(())
            }
        }

        $(impl Child for $kind {
            fn store(children: &Children) -> &Store<PartialObjectMeta<Self>> {
                &children.$field
            }
        })*
    };
}

children! {
    /// ServiceAccounts.
    accounts: ServiceAccount,
    /// Roles.
    roles: Role,
    /// RoleBindings.
    bindings: RoleBinding,
    /// Services.
    services: Service,
    /// ConfigMaps.
    config_maps: ConfigMap,
    /// StatefulSets.
    stateful_sets: StatefulSet,
    /// Deployments.
    deployments: Deployment,
    /// PodDisruptionBudgets.
    budgets: PodDisruptionBudget,
}

impl Children {
    /// What the watch last said about an object; `None`: there is none with the operator's labels.
    pub fn metadata<K: Child>(&self, namespace: &str, name: &str) -> Option<ObjectMeta> {
        K::store(self).get(&ObjectRef::new(name).within(namespace)).map(|object| object.metadata.clone())
    }
}
