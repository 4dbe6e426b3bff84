//! Fourth step of the pipeline: brings the objects to the API server, by server-side apply under one field manager.
//!
//! An object that was applied before and has not changed since, neither here nor there, is left alone: a pass over a settled cluster writes
//! nothing. An object of somebody else is never taken over.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use holdfast_api::{SessionCluster, SessionView, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Resource, ResourceExt};

use crate::build::{self, Applied, Prepared, Resources};
use crate::children::{Child, Children};
use crate::cluster::Cluster;
use crate::register::Step;

/// Field manager of everything that the operator writes.
pub const FIELD_MANAGER: &str = "holdfast-operator";

/// Why an object is not at the API server.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Somebody else has an object of this name.
    #[error("{kind} `{name}` exists and does not belong to this SessionCluster")]
    Taken {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The garbage collector has not finished with a cluster of the same name.
    #[error("{kind} `{name}` of an earlier SessionCluster of this name is still being removed")]
    Leftover {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The API server refused it, or could not be reached.
    #[error("failed to apply {kind} `{name}`")]
    Api {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
}

impl ApplyError {
    pub(crate) fn api<K: Resource<DynamicType = ()>>(name: &str, source: kube::Error) -> Self {
        Self::Api { kind: K::kind(&()).into_owned(), name: name.to_owned(), source }
    }
}

/// What was applied for one cluster, and how it looked then. By kind and name.
#[derive(Debug, Default)]
pub struct Ledger(HashMap<(String, String), Entry>);

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    desired: u64,
    there: u64,
}

/// Brings objects to the API server.
#[derive(Clone)]
pub struct Applier {
    client: Client,
    children: Arc<Children>,
}

impl Applier {
    /// Applies through `client` what the watches behind `children` do not show as applied already.
    pub fn new(client: Client, children: Arc<Children>) -> Self {
        Self { client, children }
    }

    /// Applies all objects of a cluster: first what pods need in order to start, then the pods.
    ///
    /// # Errors
    /// At the first object that is refused or not ours.
    pub async fn apply(
        &self,
        cluster: &Cluster,
        prepared: Resources<Prepared>,
        ledger: &mut Ledger,
    ) -> Result<Resources<Applied>, ApplyError> {
        // Without `..`: a new object must be applied, or this does not compile.
        let Resources {
            member_account,
            member_role,
            member_binding,
            gateway_account,
            gateway_role,
            gateway_binding,
            members_service,
            app_service,
            gateway_service,
            gateway_config,
            members,
            gateway,
            members_budget,
            gateway_budget,
            state: PhantomData,
        } = prepared;
        Ok(Resources {
            member_account: self.one(cluster, member_account, ledger).await?,
            member_role: self.one(cluster, member_role, ledger).await?,
            member_binding: self.one(cluster, member_binding, ledger).await?,
            gateway_account: self.one(cluster, gateway_account, ledger).await?,
            gateway_role: self.one(cluster, gateway_role, ledger).await?,
            gateway_binding: self.one(cluster, gateway_binding, ledger).await?,
            members_service: self.one(cluster, members_service, ledger).await?,
            app_service: self.one(cluster, app_service, ledger).await?,
            gateway_service: self.one(cluster, gateway_service, ledger).await?,
            gateway_config: self.one(cluster, gateway_config, ledger).await?,
            members_budget: self.one(cluster, members_budget, ledger).await?,
            gateway_budget: self.one(cluster, gateway_budget, ledger).await?,
            members: self.one(cluster, members, ledger).await?,
            gateway: self.one(cluster, gateway, ledger).await?,
            state: PhantomData,
        })
    }

    async fn one<K: Child>(&self, cluster: &Cluster, object: K, ledger: &mut Ledger) -> Result<K, ApplyError> {
        let name = object.name_any();
        let key = (K::kind(&()).into_owned(), name.clone());
        let desired = digest(&serde_json::to_string(&object).expect("objects of Kubernetes are JSON"));
        let known = self.children.metadata::<K>(&cluster.namespace, &name);
        if let Some(there) = &known
            && ledger.0.get(&key) == Some(&Entry { desired, there: mark(there) })
        {
            return Ok(object);
        }
        let api: Api<K> = Api::namespaced(self.client.clone(), &cluster.namespace);
        // What the watch does not show may still exist, without our labels.
        let existing = match known {
            Some(metadata) => Some(metadata),
            None => {
                let metadata: Api<PartialObjectMeta<K>> = Api::namespaced(self.client.clone(), &cluster.namespace);
                metadata.get_opt(&name).await.map_err(|source| ApplyError::api::<K>(&name, source))?.map(|object| object.metadata)
            }
        };
        if let Some(metadata) = &existing {
            check_owner::<K>(cluster, metadata)?;
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let applied = api.patch(&name, &params, &Patch::Apply(&object)).await.map_err(|source| ApplyError::api::<K>(&name, source))?;
        metrics::counter!("holdfast_operator_applied_total", "kind" => key.0.clone()).increment(1);
        tracing::debug!(kind = key.0, name, "applied");
        ledger.0.insert(key, Entry { desired, there: mark(applied.meta()) });
        Ok(applied)
    }

    /// Brings the register of the view to where it should be. `existing` is the one at the API server. Says whether anything was done.
    ///
    /// # Errors
    /// When it is not ours, or cannot be written.
    pub async fn register(&self, cluster: &Cluster, existing: Option<&SessionView>, step: &Step) -> Result<bool, ApplyError> {
        let api: Api<SessionView> = Api::namespaced(self.client.clone(), &cluster.namespace);
        if let Some(view) = existing {
            check_owner::<SessionView>(cluster, &view.metadata)?;
        }
        let name = names::view(&cluster.name);
        let written = match step {
            Step::Keep => return Ok(false),
            Step::Create { lost } => api.create(&post(), &build::empty_view(cluster, *lost)).await,
            Step::Mark(marks) => {
                // Only what was looked at is changed, or the epoch would be brought ahead of a view that members have put back meanwhile.
                let version = existing.and_then(|view| view.metadata.resource_version.clone());
                let mut patch = serde_json::json!({"metadata": {"resourceVersion": version, "annotations": marks.annotations}});
                if let Some(epoch) = marks.epoch {
                    patch["spec"] = serde_json::json!({"epoch": epoch, "sub": 0});
                }
                let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
                api.patch(&name, &params, &Patch::Merge(patch)).await
            }
        };
        match written {
            Ok(_) => Ok(true),
            // Somebody was faster; the next pass looks at what they made.
            Err(kube::Error::Api(status)) if status.is_already_exists() || status.is_conflict() => Ok(false),
            Err(source) => Err(ApplyError::api::<SessionView>(&name, source)),
        }
    }

    /// Creates the Secret with the admin token, unless there is one. What is in it is nobody's business here, so it is only tried.
    ///
    /// # Errors
    /// When it cannot be created.
    pub async fn ensure_secret(&self, cluster: &Cluster) -> Result<(), ApplyError> {
        let secret = build::admin_secret(cluster, rand::random());
        let name = secret.name_any();
        let api: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(self.client.clone(), &cluster.namespace);
        match api.create(&post(), &secret).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Err(source) => Err(ApplyError::api::<k8s_openapi::api::core::v1::Secret>(&name, source)),
        }
    }
}

fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// Whether an object belongs to this very cluster.
pub(crate) fn check_owner<K: Resource<DynamicType = ()>>(cluster: &Cluster, metadata: &ObjectMeta) -> Result<(), ApplyError> {
    let (kind, name) = (K::kind(&()).into_owned(), metadata.name.clone().unwrap_or_default());
    let controller = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    match controller {
        Some(owner) if owner.uid == cluster.uid => Ok(()),
        Some(owner) if owner.kind == SessionCluster::kind(&()) && owner.name == cluster.name => Err(ApplyError::Leftover { kind, name }),
        _ => Err(ApplyError::Taken { kind, name }),
    }
}

/// How an object looks to everybody but its own controller. Where the API server counts changes of the spec, status updates do not move this.
fn mark(metadata: &ObjectMeta) -> u64 {
    let version = match metadata.generation {
        Some(generation) => generation.to_string(),
        None => metadata.resource_version.clone().unwrap_or_default(),
    };
    let owners: Vec<&str> = metadata.owner_references.iter().flatten().map(|owner| owner.uid.as_str()).collect();
    digest(&(&metadata.uid, version, &metadata.labels, &metadata.annotations, owners))
}

fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn owned_by(kind: &str, uid: &str) -> ObjectMeta {
        let owner = OwnerReference {
            kind: kind.to_owned(),
            name: "shop".to_owned(),
            uid: uid.to_owned(),
            controller: Some(true),
            ..OwnerReference::default()
        };
        ObjectMeta { name: Some("shop".to_owned()), owner_references: Some(vec![owner]), ..ObjectMeta::default() }
    }

    #[test]
    fn an_object_of_somebody_else_is_not_taken_over() {
        let cluster = testing::cluster(json!({}));
        check_owner::<Service>(&cluster, &owned_by("SessionCluster", "cluster-uid")).expect("ours");
        let leftover = check_owner::<Service>(&cluster, &owned_by("SessionCluster", "earlier")).expect_err("not ours");
        assert_eq!(leftover.to_string(), "Service `shop` of an earlier SessionCluster of this name is still being removed");
        for stranger in [owned_by("Deployment", "other"), ObjectMeta { name: Some("shop".to_owned()), ..ObjectMeta::default() }] {
            let taken = check_owner::<Service>(&cluster, &stranger).expect_err("not ours");
            assert_eq!(taken.to_string(), "Service `shop` exists and does not belong to this SessionCluster");
        }
    }

    #[test]
    fn a_status_update_does_not_make_an_object_look_changed_but_a_label_does() {
        let at = |version: &str| ObjectMeta { generation: Some(1), resource_version: Some(version.to_owned()), ..ObjectMeta::default() };
        assert_eq!(mark(&at("1")), mark(&at("2")));
        let labelled = ObjectMeta { labels: Some([("a".to_owned(), "b".to_owned())].into()), ..at("1") };
        assert_ne!(mark(&at("1")), mark(&labelled));
        let plain = |version: &str| ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() };
        assert_ne!(mark(&plain("1")), mark(&plain("2")));
    }
}
