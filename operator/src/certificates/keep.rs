//! Reads both Secrets, decides, and writes them: the authorities' first, then the pods'. Each is written over exactly what was read, so two operators
//! that both take themselves for the leader cannot undo each other's step.

use holdfast_api::names;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use super::issue::Issuing;
use super::plan::{carry_out, plan, waiting_for};
use super::{Holder, IssueError, Links, Requests, Step, Stored, TIMES, secrets};
use crate::apply::{ApplyError, FIELD_MANAGER, check_owner};
use crate::cluster::Cluster;

/// Why the certificates are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A Secret could not be read or written, or is somebody else's.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A certificate could not be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// Brings both Secrets to where they have to be now. Returns how the links stand, and what was done.
///
/// # Errors
/// When a Secret cannot be read or written, or belongs to somebody else.
pub async fn ensure(
    client: &Client,
    cluster: &Cluster,
    requests: &Requests,
    holders: &[Holder],
) -> Result<(Links, Vec<Step>), CertificateError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &cluster.namespace);
    let authorities = read(&api, cluster, &names::authority_secret(&cluster.name)).await?;
    let published = read(&api, cluster, &names::tls_secret(&cluster.name)).await?;
    let identity = names::member_identity(&cluster.namespace, &cluster.name);
    let before = Stored {
        authorities: authorities.as_ref().and_then(secrets::read_authorities),
        published: published.as_ref().map(|secret| secrets::read_published(secret, &identity)),
    };

    let now = Timestamp::now();
    let steps = plan(now, &before, requests, holders, &TIMES);
    let after = carry_out(now, &steps, &before, requests, &mut Issuing { cluster, times: &TIMES })?;
    if let Some(next) = after.authorities.as_ref().filter(|_| after.authorities != before.authorities) {
        write(&api, secrets::of_authorities(cluster, next), authorities).await?;
    }
    if let Some(next) = after.published.as_ref().filter(|_| after.published != before.published) {
        write(&api, secrets::of_published(cluster, next), published).await?;
    }
    for step in &steps {
        tracing::info!(cluster = cluster.name, namespace = cluster.namespace, ?step, "certificates of the links");
    }
    Ok((links(&after, holders), steps))
}

fn links(stored: &Stored, holders: &[Holder]) -> Links {
    let authorities = stored.authorities.as_ref();
    let end = |moment: Option<Timestamp>| moment.unwrap_or(Timestamp::UNIX_EPOCH);
    let leaf = stored.published.as_ref().and_then(|published| published.leaf.as_ref());
    Links::Encrypted {
        certificate: end(leaf.map(|leaf| leaf.until)),
        authority: end(authorities.and_then(|authorities| authorities.list.last()).map(|newest| newest.until)),
        rotating: authorities.is_some_and(|authorities| authorities.list.len() > 1),
        waiting: waiting_for(stored, holders),
    }
}

async fn read(api: &Api<Secret>, cluster: &Cluster, name: &str) -> Result<Option<Secret>, ApplyError> {
    let secret = api.get_opt(name).await.map_err(|source| ApplyError::api::<Secret>(name, source))?;
    if let Some(secret) = &secret {
        check_owner::<Secret>(cluster, &secret.metadata)?;
    }
    Ok(secret)
}

async fn write(api: &Api<Secret>, mut secret: Secret, before: Option<Secret>) -> Result<(), ApplyError> {
    let name = secret.name_any();
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let result = match before {
        None => api.create(&params, &secret).await,
        Some(before) => {
            secret.metadata.resource_version = before.metadata.resource_version;
            // It cannot be changed; whatever somebody made it, what counts is what is in it.
            secret.type_ = before.type_;
            api.replace(&name, &params, &secret).await
        }
    };
    result.map(drop).map_err(|source| ApplyError::api::<Secret>(&name, source))
}
