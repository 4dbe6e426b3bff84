//! Second step of the pipeline: whether a spec can be built. Pure.
//!
//! The API server has refused most of what is wrong by the rules of the resource. Here is what those cannot say, and once more what would
//! hurt if the definition in the cluster were older than this operator.

use std::collections::BTreeMap;

use holdfast_api::{SessionCluster, SessionClusterSpec};
use k8s_openapi::api::core::v1::{Probe, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::cluster::Cluster;
use crate::quantity;

/// A value that cannot be built. Nothing but a change of the resource helps.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{field}: {value:?} is not right: {expected}")]
pub struct Invalid {
    /// Path of the field.
    pub field: String,
    /// What it says.
    pub value: String,
    /// What it may say.
    pub expected: String,
}

impl Invalid {
    fn new(field: impl Into<String>, value: impl ToString, expected: impl Into<String>) -> Self {
        Self { field: field.into(), value: value.to_string(), expected: expected.into() }
    }
}

/// Checks a resource that the API server holds.
///
/// # Errors
/// The first field that is wrong, with its value and what is right.
pub fn validate(resource: &SessionCluster) -> Result<Cluster, Invalid> {
    let missing = |field: &str| Invalid::new(field, "", "must be set; the API server does so");
    let name = resource.metadata.name.clone().ok_or_else(|| missing("metadata.name"))?;
    check_name(&name)?;
    let namespace = resource.namespace().ok_or_else(|| missing("metadata.namespace"))?;
    let uid = resource.uid().ok_or_else(|| missing("metadata.uid"))?;
    let spec = resource.spec.clone();

    range("spec.replicas", spec.replicas, 0, 64)?;
    range("spec.gateway.replicas", spec.gateway.replicas, 1, 32)?;
    session_keys(&spec)?;
    spec.sessions.max_active.map_or(Ok(()), |most| range("spec.sessions.maxActive", most, 1, 1_000_000_000))?;
    replication(&spec)?;
    let membership = &spec.membership;
    if membership.failure_timeout.as_std() < membership.heartbeat_interval.as_std() * 4 {
        let expected = format!("must be at least 4 times spec.membership.heartbeatInterval, which is {}", membership.heartbeat_interval);
        return Err(Invalid::new("spec.membership.failureTimeout", membership.failure_timeout, expected));
    }
    let app = &spec.workload.app;
    if app.port == 0 || [4000, 4001, 6379].contains(&app.port) {
        let expected = "must be 1 to 65535 and none of 4000, 4001 and 6379, where the runtime listens in the same pod";
        return Err(Invalid::new("spec.workload.app.port", app.port, expected));
    }
    in_process(&spec)?;
    let sets_redis_url = spec.is_in_process() || spec.security.redis.users_secret_ref.is_some();
    let is_taken = |name: &str| name == "PORT" || name.starts_with("HOLDFAST_") || (name == "REDIS_URL" && !sets_redis_url);
    if let Some(taken) = app.env.iter().find(|env| is_taken(&env.name)) {
        return Err(Invalid::new("spec.workload.app.env", &taken.name, "must be another name: Holdfast sets this variable"));
    }
    if let Some(env) = app.env.iter().find(|env| !is_variable_name(&env.name)) {
        return Err(Invalid::new("spec.workload.app.env", &env.name, "must be a name of printable characters without '='"));
    }
    spec.runtime.threads.map_or(Ok(()), |threads| range("spec.runtime.threads", threads, 1, 64))?;
    idle_timeout(&spec)?;
    resources("spec.runtime.resources", spec.runtime.resources.as_ref())?;
    resources("spec.workload.app.resources", app.resources.as_ref())?;
    resources("spec.gateway.resources", spec.gateway.resources.as_ref())?;
    probe("spec.workload.app.readinessProbe", app.readiness_probe.as_ref())?;
    probe("spec.workload.app.livenessProbe", app.liveness_probe.as_ref())?;

    Ok(Cluster { name, namespace, uid, generation: resource.metadata.generation.unwrap_or_default(), spec })
}

/// What only a runtime beside the application has.
fn in_process(spec: &SessionClusterSpec) -> Result<(), Invalid> {
    let (runtime, redis) = (&spec.runtime, &spec.security.redis);
    let given = [
        ("spec.workload.preset", spec.workload.preset.is_some()),
        ("spec.runtime.image", runtime.image.is_some()),
        ("spec.runtime.resources", runtime.resources.is_some()),
        ("spec.runtime.threads", runtime.threads.is_some()),
        ("spec.security.redis.usersSecretRef", redis.users_secret_ref.is_some()),
        ("spec.security.redis.idleTimeout", redis.idle_timeout.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| spec.is_in_process() && *is_given) {
        Some((field, _)) => Err(Invalid::new(field, "set", "must be left out when spec.workload.app.member is InProcess")),
        None => Ok(()),
    }
}

fn idle_timeout(spec: &SessionClusterSpec) -> Result<(), Invalid> {
    match spec.security.redis.idle_timeout {
        Some(timeout) if !(1..=8760 * 3600).contains(&timeout.as_std().as_secs()) => {
            Err(Invalid::new("spec.security.redis.idleTimeout", timeout, "must be 1s to 8760h"))
        }
        _ => Ok(()),
    }
}

fn session_keys(spec: &SessionClusterSpec) -> Result<(), Invalid> {
    let Some(keys) = &spec.sessions.keys else { return Ok(()) };
    if keys.is_empty() || keys.len() > 64 {
        let expected = "must be 1 to 64 patterns; left out, all keys are sessions";
        return Err(Invalid::new("spec.sessions.keys", format!("{} patterns", keys.len()), expected));
    }
    match keys.iter().find(|key| key.is_empty() || key.len() > 1024) {
        Some(wrong) => Err(Invalid::new("spec.sessions.keys", wrong, "must be patterns of 1 to 1024 bytes each, such as sess:*")),
        None => Ok(()),
    }
}

fn replication(spec: &SessionClusterSpec) -> Result<(), Invalid> {
    let replication = &spec.replication;
    range("spec.replication.copies", replication.copies, 0, 63)?;
    range("spec.replication.transport.connections", replication.transport.connections, 1, 8)?;
    let (queue, session) = (replication.transport.queue_bytes, spec.sessions.max_bytes);
    if queue.as_bytes() < 2 * session.as_bytes() {
        let expected = format!("must be at least twice spec.sessions.maxBytes, which is {session}");
        return Err(Invalid::new("spec.replication.transport.queueBytes", queue, expected));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Invalid> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let right = (1..=40).contains(&name.len())
        && name.bytes().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-');
    let expected = "must be 1 to 40 characters: lower case letters, digits and '-', starting with a letter and not ending with '-'";
    if right { Ok(()) } else { Err(Invalid::new("metadata.name", name, expected)) }
}

fn range(field: &str, value: u32, min: u32, max: u32) -> Result<(), Invalid> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(Invalid::new(field, value, format!("must be {min} to {max}"))) }
}

/// What a pod may have in the name of an environment variable since Kubernetes 1.32.
fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| (' '..='~').contains(&c) && c != '=')
}

fn resources(field: &str, resources: Option<&ResourceRequirements>) -> Result<(), Invalid> {
    let Some(resources) = resources else { return Ok(()) };
    if resources.claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Err(Invalid::new(format!("{field}.claims"), "set", "must be absent: a pod of a SessionCluster has no resource claims"));
    }
    let requests = amounts(&format!("{field}.requests"), resources.requests.as_ref())?;
    let limits = amounts(&format!("{field}.limits"), resources.limits.as_ref())?;
    for (name, (value, text)) in &requests {
        if let Some((limit, limit_text)) = limits.get(name)
            && value > limit
        {
            return Err(Invalid::new(format!("{field}.requests.{name}"), text, format!("must be at most the limit, {limit_text}")));
        }
    }
    Ok(())
}

/// Values and texts of quantities by the name of their resource.
fn amounts(field: &str, quantities: Option<&BTreeMap<String, Quantity>>) -> Result<BTreeMap<String, (f64, String)>, Invalid> {
    let one = |(name, quantity): (&String, &Quantity)| match quantity::parse(&quantity.0) {
        Some(value) if value >= 0.0 => Ok((name.clone(), (value, quantity.0.clone()))),
        _ => Err(Invalid::new(format!("{field}.{name}"), &quantity.0, "must be a quantity such as 250m, 1 or 512Mi")),
    };
    quantities.into_iter().flatten().map(one).collect()
}

fn probe(field: &str, probe: Option<&Probe>) -> Result<(), Invalid> {
    let Some(probe) = probe else { return Ok(()) };
    let handlers = [
        ("exec", probe.exec.is_some()),
        ("grpc", probe.grpc.is_some()),
        ("httpGet", probe.http_get.is_some()),
        ("tcpSocket", probe.tcp_socket.is_some()),
    ];
    let given: Vec<_> = handlers.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    if given.len() != 1 {
        return Err(Invalid::new(field, given.join(", "), "must have exactly one of exec, grpc, httpGet and tcpSocket"));
    }
    let ports =
        [probe.http_get.as_ref().map(|get| (&get.port, "httpGet")), probe.tcp_socket.as_ref().map(|socket| (&socket.port, "tcpSocket"))];
    for (port, handler) in ports.into_iter().flatten() {
        match port {
            IntOrString::String(name) if name != "http" => {
                return Err(Invalid::new(
                    format!("{field}.{handler}.port"),
                    name,
                    "must be a number, or `http`, which is spec.workload.app.port",
                ));
            }
            IntOrString::Int(number) if !(1..=65535).contains(number) => {
                return Err(Invalid::new(format!("{field}.{handler}.port"), number, "must be 1 to 65535"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn refused(change: serde_json::Value) -> String {
        validate(&testing::resource(change)).expect_err("invalid").to_string()
    }

    #[test]
    fn the_smallest_useful_cluster_is_valid() {
        let cluster = validate(&testing::resource(json!({}))).expect("valid");
        assert_eq!((cluster.name.as_str(), cluster.namespace.as_str(), cluster.spec.replicas), ("shop", "default", 3));
    }

    #[test]
    fn a_quantity_that_is_none_is_refused_by_name() {
        let refused = refused(json!({"workload": {"app": {"resources": {"limits": {"memory": "1Gb"}}}}}));
        assert_eq!(
            refused,
            r#"spec.workload.app.resources.limits.memory: "1Gb" is not right: must be a quantity such as 250m, 1 or 512Mi"#
        );
    }

    #[test]
    fn a_request_above_its_limit_is_refused() {
        let refused = refused(json!({"runtime": {"resources": {"limits": {"cpu": "500m"}, "requests": {"cpu": "1"}}}}));
        assert_eq!(refused, r#"spec.runtime.resources.requests.cpu: "1" is not right: must be at most the limit, 500m"#);
    }

    #[test]
    fn a_probe_needs_exactly_one_way_to_ask() {
        assert!(refused(json!({"workload": {"app": {"readinessProbe": {"periodSeconds": 1}}}})).contains("exactly one of"));
        let both = json!({"workload": {"app": {"livenessProbe": {"tcpSocket": {"port": 1}, "httpGet": {"port": 1}}}}});
        assert!(refused(both).starts_with(r#"spec.workload.app.livenessProbe: "httpGet, tcpSocket""#));
        let name = json!({"workload": {"app": {"livenessProbe": {"httpGet": {"port": "web"}}}}});
        assert!(refused(name).starts_with(r#"spec.workload.app.livenessProbe.httpGet.port: "web""#));
    }

    #[test]
    fn an_application_that_is_the_member_has_no_runtime_to_speak_of() {
        let refused = |mut change: serde_json::Value| {
            change["workload"]["app"] = json!({"member": "InProcess"});
            validate(&testing::resource(change)).expect_err("invalid").field
        };
        for (change, field) in [
            (json!({"workload": {"preset": "Rust"}}), "spec.workload.preset"),
            (json!({"runtime": {"image": "mine:1"}}), "spec.runtime.image"),
            (json!({"runtime": {"resources": {}}}), "spec.runtime.resources"),
            (json!({"runtime": {"threads": 2}}), "spec.runtime.threads"),
            (json!({"security": {"redis": {"usersSecretRef": {"name": "users"}}}}), "spec.security.redis.usersSecretRef"),
            (json!({"security": {"redis": {"idleTimeout": "5m"}}}), "spec.security.redis.idleTimeout"),
        ] {
            assert_eq!(refused(change), field);
        }
    }

    #[test]
    fn a_redis_url_is_the_applications_own_where_holdfast_cannot_know_it() {
        let env = json!([{"name": "REDIS_URL", "value": "redis://:secret@127.0.0.1:6379"}]);
        assert!(refused(json!({"workload": {"app": {"env": env}}})).starts_with(r#"spec.workload.app.env: "REDIS_URL""#));
        for also in
            [json!({"security": {"redis": {"usersSecretRef": {"name": "users"}}}}), json!({"workload": {"app": {"member": "InProcess"}}})]
        {
            let mut change = also;
            change["workload"]["app"]["env"] = env.clone();
            validate(&testing::resource(change)).expect("valid");
        }
    }

    #[test]
    fn what_an_older_definition_would_let_through_is_refused_here() {
        assert!(refused(json!({"replicas": 65})).contains(r#"spec.replicas: "65" is not right: must be 0 to 64"#));
        assert!(refused(json!({"membership": {"failureTimeout": "900ms"}})).starts_with(r#"spec.membership.failureTimeout: "900ms""#));
        assert!(refused(json!({"replication": {"copies": 64}})).contains(r#"spec.replication.copies: "64" is not right: must be 0 to 63"#));
        assert!(
            refused(json!({"sessions": {"maxBytes": "32Mi"}, "replication": {"transport": {"queueBytes": "8Mi"}}}))
                .starts_with(r#"spec.replication.transport.queueBytes: "8Mi" is not right: must be at least twice spec.sessions.maxBytes"#)
        );
        assert!(
            refused(json!({"sessions": {"keys": ["sess:*", ""]}})).starts_with(r#"spec.sessions.keys: "" is not right: must be patterns"#)
        );
        assert!(refused(json!({"sessions": {"maxActive": 0}})).starts_with(r#"spec.sessions.maxActive: "0" is not right: must be 1 to"#));
        assert!(refused(json!({"sessions": {"keys": []}})).starts_with(r#"spec.sessions.keys: "0 patterns" is not right"#));
        assert!(refused(json!({"workload": {"app": {"port": 4001}}})).starts_with(r#"spec.workload.app.port: "4001""#));
        assert!(
            refused(json!({"workload": {"app": {"env": [{"name": "REDIS_URL"}]}}})).starts_with(r#"spec.workload.app.env: "REDIS_URL""#)
        );
        assert!(refused(json!({"workload": {"app": {"env": [{"name": "A=B"}]}}})).starts_with(r#"spec.workload.app.env: "A=B""#));
        assert!(refused(json!({"runtime": {"threads": 65}})).starts_with(r#"spec.runtime.threads: "65" is not right: must be 1 to 64"#));
        let timeout = json!({"security": {"redis": {"idleTimeout": "500ms"}}});
        assert!(refused(timeout).starts_with(r#"spec.security.redis.idleTimeout: "500ms" is not right: must be 1s to 8760h"#));
        let mut named = testing::resource(json!({}));
        named.metadata.name = Some("shop.1".to_owned());
        assert!(validate(&named).expect_err("invalid").to_string().starts_with(r#"metadata.name: "shop.1""#));
    }
}
