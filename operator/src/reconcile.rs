//! One pass over a cluster: the steps of the pipeline, one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_api::{SessionCluster, SessionClusterStatus, TlsMode, names};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::watch;

use crate::apply::{Applier, ApplyError, FIELD_MANAGER};
use crate::build::{self, GATEWAY_IMAGE_ANNOTATION, Images, Inputs, RUNTIME_IMAGE_ANNOTATION, TLS_ANNOTATION};
use crate::certificates::{self, CertificateError, Holder, Links, ROTATE_AUTHORITY_ANNOTATION, ROTATE_CERTIFICATES_ANNOTATION, Requests};
use crate::cluster::Cluster;
use crate::dereference::{self, Found, ReadError};
use crate::events::{self, Notice, Publisher};
use crate::lease::Leadership;
use crate::memory::{Memories, Memory};
use crate::observed::Observed;
use crate::pace::{self, Removal, Why};
use crate::places::{self, Placing};
use crate::problems::Problem;
use crate::register::{self, Step};
use crate::status::{self, Done, Failure, READY, RECONCILING, Stall};
use crate::survey::Survey;
use crate::validate::validate;

/// A resource as the watch delivers it, whether it can be read or not.
pub type Watched = DeserializeGuard<SessionCluster>;

/// How long a pass may take; a request that is never answered must not hold a cluster for ever.
const PASS: Duration = Duration::from_secs(30);
/// How often a cluster is looked at when nothing happens.
const QUIET: Duration = Duration::from_secs(300);
/// How often a cluster is looked at while it is on its way, besides whenever one of its objects changes.
const BUSY: Duration = Duration::from_secs(10);

/// What every pass needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Whether every watch has had its first answer.
    pub synced: watch::Receiver<bool>,
    /// Whether this process may write.
    pub leadership: Leadership,
    /// Images of clusters that are created from now on.
    pub images: Images,
    /// The nodes, as the watch last said.
    pub nodes: Store<Node>,
    /// The resources, as the watch last said.
    pub resources: Store<Watched>,
    /// Brings objects to the API server.
    pub applier: Applier,
    /// Publishes Events.
    pub publisher: Publisher,
    /// What is remembered between passes.
    pub memories: Memories,
}

/// Why a pass did not get to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Something could not be applied, and may be the next time.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The certificates of the links could not be kept.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// A pod could not be deleted.
    #[error("failed to delete pod `{pod}`")]
    Remove {
        /// Name of the pod.
        pod: String,
        /// Why.
        source: kube::Error,
    },
    /// The status could not be written.
    #[error("failed to write the status of cluster `{cluster}`")]
    Status {
        /// Name of the cluster.
        cluster: String,
        /// Why.
        source: kube::Error,
    },
    /// It took too long.
    #[error("the pass over cluster `{0}` was not over after {s} s", s = PASS.as_secs())]
    TooLong(String),
    /// Another replica leads now.
    #[error("this process leads no longer")]
    Deposed,
}

/// One pass over a cluster, for the controller.
///
/// # Errors
/// When the pass could not be finished; [`error_policy`] says when to try again.
pub async fn reconcile(resource: Arc<Watched>, context: Arc<Context>) -> Result<Action, Error> {
    if !context.leadership.is_held() {
        return Ok(Action::await_change());
    }
    let (name, namespace) = (resource.name_any(), resource.namespace().unwrap_or_default());
    let start = Instant::now();
    let result = match tokio::time::timeout(PASS, pass(&context, &namespace, &name)).await {
        Ok(result) => result,
        Err(_) => Err(Error::TooLong(name)),
    };
    metrics::histogram!("holdfast_operator_pass_seconds").record(start.elapsed());
    let outcome = if result.is_ok() { "ok" } else { "error" };
    metrics::counter!("holdfast_operator_passes_total", "result" => outcome).increment(1);
    context
        .memories
        .prune(context.resources.len(), |uid| context.resources.find(|known| known.meta().uid.as_deref() == Some(uid)).is_some());
    result
}

/// When to try again after a failed pass.
pub fn error_policy(resource: Arc<Watched>, error: &Error, context: Arc<Context>) -> Action {
    match error {
        // The new leader looks at everything; so does this process when it leads again.
        Error::Deposed => Action::await_change(),
        _ => Action::requeue(context.memories.failed(resource.meta().uid.as_deref().unwrap_or_default())),
    }
}

async fn pass(context: &Context, namespace: &str, name: &str) -> Result<Action, Error> {
    let (metadata, before, stall) = match dereference::resource(&context.client, namespace, name).await? {
        Found::Gone => return Ok(Action::await_change()),
        Found::Malformed { metadata, status, error } => (metadata, status, Stall { reason: "InvalidSpec", message: error }),
        Found::Resource(resource) => match validate(&resource) {
            Ok(cluster) => {
                let mut memory = context.memories.take(&cluster.uid);
                // In a box, as the two below: together they would fill a thread's stack in a debug build.
                let result = Box::pin(pipeline(context, &cluster, &resource, &mut memory)).await;
                context.memories.put(&cluster.uid, memory);
                return result;
            }
            Err(invalid) => {
                let stall = Stall { reason: "InvalidSpec", message: invalid.to_string() };
                (Box::new(resource.metadata), Box::new(resource.status.unwrap_or_default()), stall)
            }
        },
    };
    // Nothing but a change of the resource helps.
    let about = ObjectReference {
        api_version: Some(SessionCluster::api_version(&()).into_owned()),
        kind: Some(SessionCluster::kind(&()).into_owned()),
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        ..ObjectReference::default()
    };
    let after = status::of_invalid(stall, metadata.generation, &before, Timestamp::now());
    report(context, &about, &before, &after, Vec::new()).await?;
    Ok(Action::await_change())
}

async fn pipeline(context: &Context, cluster: &Cluster, resource: &SessionCluster, memory: &mut Memory) -> Result<Action, Error> {
    let before = resource.status.clone().unwrap_or_default();
    let about = cluster.reference();
    let observed = Box::pin(dereference::observe(&context.client, cluster, &context.nodes)).await?;
    let survey = Survey::of(&cluster.name, &observed, &cluster.spec.replication);

    let plan = pace::decide(cluster, &survey);
    let intent = build::intent::next(cluster, observed.gateway_config.as_ref());
    let tls = has_tls(cluster, &observed, &survey);
    let prepared = build::build(&Inputs {
        cluster,
        images: &pinned(&context.images, &observed),
        intent: &intent,
        replicas: plan.replicas,
        ordinals: cluster.spec.replicas.max(survey.ordinals()),
        tls,
        may_evict: survey.may_evict(),
    });

    lead(context)?;
    let mut notices: Vec<Notice> = Vec::new();
    let step = register::next(cluster, &observed, status::knows_view(resource));
    let applied = async {
        let changed = context.applier.register(cluster, observed.view.as_ref(), &step).await?;
        notices.extend(of_register(&step, &observed).filter(|_| changed));
        if let Some(waiting) = view_lost(cluster, &observed, &step) {
            return Err(Blocked::Failure(waiting));
        }
        if secret_is_due(memory, &before) {
            context.applier.ensure_secret(cluster).await?;
            memory.secret_tried = Some(Instant::now());
        }
        // Before the pods, which do not start without them.
        let (links, steps) = if tls {
            Box::pin(certificates::ensure(&context.client, cluster, &requests(resource), &holders(&survey))).await?
        } else if cluster.spec.security.tls.mode == TlsMode::Managed {
            (Links::MadeWithout, Vec::new())
        } else {
            (Links::Disabled, Vec::new())
        };
        Ok((Box::pin(context.applier.apply(cluster, prepared, &mut memory.ledger)).await?, links, steps))
    }
    .await;
    let (applied, links, steps) = match applied {
        Ok(applied) => applied,
        Err(Blocked::Error(error)) => return Err(error),
        Err(Blocked::Failure(failure)) => {
            let after = status::of_failed(cluster, &survey, &failure, &before, observed.now);
            report(context, &about, &before, &after, notices).await?;
            return Ok(Action::requeue(context.memories.failed(&cluster.uid)));
        }
    };

    notices.extend(events::scaled(survey.current, plan.replicas));
    notices.extend(events::certified(&steps));
    for placing in places::due(&observed) {
        lead(context)?;
        place(context, cluster, &placing).await;
    }
    for removal in &plan.removals {
        lead(context)?;
        if remove(context, cluster, removal).await? {
            notices.push(events::removed(removal));
        }
    }

    let done = Done { applied: &applied, intent: &intent, plan: &plan, links: &links };
    let after = status::of_applied(cluster, &survey, &done, &before, observed.now);
    report(context, &about, &before, &after, notices).await?;
    context.memories.succeeded(&cluster.uid);
    let settled = status::is_true(&after.conditions, READY) && !status::is_true(&after.conditions, RECONCILING);
    Ok(Action::requeue(if settled { QUIET } else { BUSY }))
}

/// What kept the objects from being applied.
enum Blocked {
    /// It belongs in the status.
    Failure(Failure),
    /// It is likely to pass.
    Error(Error),
}

impl From<CertificateError> for Blocked {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::Apply(error) => error.into(),
            CertificateError::Issue(_) => Self::Error(error.into()),
        }
    }
}

impl From<ApplyError> for Blocked {
    fn from(error: ApplyError) -> Self {
        match &error {
            ApplyError::Taken { .. } => {
                let message = format!("{error}: rename one of them, or delete it if it is not needed");
                Self::Failure(Failure::Stall(Stall { reason: "NameTaken", message }))
            }
            ApplyError::Leftover { .. } => {
                Self::Failure(Failure::Problem(Problem { reason: "EarlierClusterRemains".to_owned(), message: error.to_string() }))
            }
            ApplyError::Api { kind, name, source: kube::Error::Api(status) } => {
                let message = format!("the API server refuses {kind} {name}: {}", status.message);
                match status.code {
                    422 => Self::Failure(Failure::Stall(Stall { reason: "Refused", message })),
                    403 => Self::Failure(Failure::Problem(Problem { reason: "ApplyFailed".to_owned(), message })),
                    _ => Self::Error(error.into()),
                }
            }
            ApplyError::Api { .. } => Self::Error(error.into()),
        }
    }
}

/// What people should know of a step that was taken.
fn of_register(step: &Step, observed: &Observed) -> Option<Notice> {
    match step {
        Step::Create { lost } => lost.map(events::view_remade),
        Step::Mark(marks) => {
            let is_abandoned = marks.annotations.get(names::FOUNDED_ANNOTATION) == Some(&None);
            (is_abandoned && observed.view.as_ref().is_some_and(register::is_lost)).then(events::view_abandoned)
        }
        Step::Keep => None,
    }
}

/// As long as the members' view is not back, nothing is known about them, so nothing of them is touched.
fn view_lost(cluster: &Cluster, observed: &Observed, step: &Step) -> Option<Failure> {
    let name = names::view(&cluster.name);
    let message = match (step, observed.view.as_ref().filter(|view| register::is_lost(view))) {
        (Step::Create { lost: Some(epoch) }, _) => format!("SessionView {name} was at epoch {epoch} and was deleted; made it anew"),
        (Step::Mark(marks), _) if marks.epoch.is_some() => format!("SessionView {name} was deleted and made anew by somebody else"),
        (Step::Mark(marks), Some(_)) if marks.annotations.contains_key(names::FOUNDED_ANNOTATION) => return None,
        (_, Some(view)) => {
            let witnesses = register::witnesses(observed, view).join(", ");
            format!("SessionView {name} was deleted and made anew; these members may have the view and put it back: {witnesses}")
        }
        _ => return None,
    };
    Some(Failure::Problem(Problem { reason: "ViewLost".to_owned(), message }))
}

/// Tells a pod where it is. Nothing depends on it at once, and the next pass tries again.
async fn place(context: &Context, cluster: &Cluster, placing: &Placing) {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &cluster.namespace);
    let patch = Patch::Merge(serde_json::json!({"metadata": {"uid": placing.uid, "annotations": placing.place}}));
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    if let Err(error) = pods.patch_metadata(&placing.pod, &params, &patch).await {
        tracing::warn!(cluster = cluster.name, pod = placing.pod, %error, "failed to tell a pod its zone");
    }
}

/// The images that the cluster was created with; before that, the operator's own.
fn pinned(defaults: &Images, observed: &Observed) -> Images {
    let annotation = |metadata: Option<&kube::core::ObjectMeta>, key: &str| {
        metadata.and_then(|metadata| metadata.annotations.as_ref()?.get(key).cloned())
    };
    let members = observed.members.as_ref().map(|members| &members.metadata);
    let gateway = observed.gateway.as_ref().map(|gateway| &gateway.metadata);
    Images {
        runtime: annotation(members, RUNTIME_IMAGE_ANNOTATION).unwrap_or_else(|| defaults.runtime.clone()),
        gateway: annotation(gateway, GATEWAY_IMAGE_ANNOTATION).unwrap_or_else(|| defaults.gateway.clone()),
    }
}

/// Whether links are encrypted. Members with and without cannot reach each other, so this is chosen while there are none, and kept until there are none.
fn has_tls(cluster: &Cluster, observed: &Observed, survey: &Survey) -> bool {
    match &observed.members {
        Some(members) if !survey.members.is_empty() || survey.current.is_some_and(|current| current > 0) => members
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(TLS_ANNOTATION))
            .is_some_and(|mode| mode == "Managed"),
        _ => cluster.spec.security.tls.mode == TlsMode::Managed,
    }
}

/// What people ask for about certificates.
fn requests(resource: &SessionCluster) -> Requests {
    let asked = |key| resource.annotations().get(key).cloned();
    Requests { certificates: asked(ROTATE_CERTIFICATES_ANNOTATION), authority: asked(ROTATE_AUTHORITY_ANNOTATION) }
}

/// The members' pods, with what they say that they have.
fn holders(survey: &Survey) -> Vec<Holder> {
    survey.members.iter().map(|member| Holder { pod: member.name.clone(), has: member.links.clone() }).collect()
}

/// The operator never looks at this Secret. It tries once for each cluster in its life, and again now and then while pods may be waiting for it.
fn secret_is_due(memory: &Memory, before: &SessionClusterStatus) -> bool {
    match memory.secret_tried {
        None => true,
        Some(at) => !status::is_true(&before.conditions, READY) && at.elapsed() > BUSY,
    }
}

/// Deletes a pod; `false` if that very pod was gone already.
async fn remove(context: &Context, cluster: &Cluster, removal: &Removal) -> Result<bool, Error> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &cluster.namespace);
    let params = DeleteParams {
        // Nobody on a dead node would report that the pod has ended.
        grace_period_seconds: (removal.why == Why::NodeLost).then_some(0),
        preconditions: Some(Preconditions { uid: Some(removal.uid.clone()), resource_version: None }),
        ..DeleteParams::default()
    };
    match pods.delete(&removal.pod, &params).await {
        Ok(_) => {
            tracing::info!(cluster = cluster.name, pod = removal.pod, why = ?removal.why, "deleted a pod");
            Ok(true)
        }
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(false),
        Err(source) => Err(Error::Remove { pod: removal.pod.clone(), source }),
    }
}

/// Writes the status if it says anything new, and publishes what happened.
async fn report(
    context: &Context,
    about: &ObjectReference,
    before: &SessionClusterStatus,
    after: &SessionClusterStatus,
    mut notices: Vec<Notice>,
) -> Result<(), Error> {
    if before != after {
        lead(context)?;
        write_status(&context.client, about, after).await?;
        notices.extend(events::between(before, after));
    }
    context.publisher.publish(about, notices).await;
    Ok(())
}

async fn write_status(client: &Client, about: &ObjectReference, after: &SessionClusterStatus) -> Result<(), Error> {
    let name = about.name.clone().unwrap_or_default();
    let kind = ApiResource::erase::<SessionCluster>(&());
    // Not as a SessionCluster: a malformed one gets a status too, and could not be read back.
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), about.namespace.as_deref().unwrap_or_default(), &kind);
    let patch = serde_json::json!({
        "apiVersion": about.api_version,
        "kind": about.kind,
        // A resource of the same name that came since is left alone.
        "metadata": {"name": name, "uid": about.uid},
        "status": after,
    });
    match api.patch_status(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&patch)).await {
        Ok(_) => {
            metrics::counter!("holdfast_operator_status_writes_total").increment(1);
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(source) => Err(Error::Status { cluster: name, source }),
    }
}

/// Whether this process still leads; asked again before each write that is not an apply of what is there anyway.
fn lead(context: &Context) -> Result<(), Error> {
    if context.leadership.is_held() { Ok(()) } else { Err(Error::Deposed) }
}

#[cfg(test)]
mod tests;
